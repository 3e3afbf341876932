import pytest
import torch
import torch.nn.functional as F

from ssdie.networks.discriminators import DarkChannelNet, PatchDiscriminator
from ssdie.networks.generators import MSFF, PatchGenerator, UNetGenerator, build_generator, count_parameters
from ssdie.networks.layers import CrossAttention, Reflect, ReflectConv2d, join

SMALL = {
    "msff": lambda: MSFF(width=8),
    "scattering": lambda: MSFF(width=8, head="scattering"),
    "smooth": lambda: MSFF(width=8, head="scattering", smooth=2),
    "unet": lambda: UNetGenerator(width=4, levels=5),
    "patch": lambda: PatchGenerator(width=4),
}


@pytest.mark.parametrize(
    ("network", "parameters"),
    [
        (MSFF, 1_005_714),
        (UNetGenerator, 54_414_531),
        (PatchGenerator, 30_066_502),
        (PatchDiscriminator, 2_765_633),
        (DarkChannelNet, 2_763_585),
    ],
)
def test_parameter_counts_are_the_papers(network, parameters):
    with torch.device("meta"):
        assert count_parameters(network()) == parameters


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("size", [(64, 64), (37, 50), (1, 3), (130, 9)])
def test_generators_take_any_size(name, size):
    network = SMALL[name]().eval()
    with torch.no_grad():
        enhanced = network(torch.rand(1, 3, *size))
    assert enhanced.shape == (1, 3, *size)
    assert enhanced.dtype == torch.float32 and enhanced.min() >= 0 and enhanced.max() <= 1


@pytest.mark.parametrize("name", SMALL)
def test_evaluation_is_deterministic_and_training_draws_from_the_given_generator(name):
    torch.manual_seed(0)
    network, dusty = SMALL[name](), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        network.eval()
        assert torch.equal(network(dusty), network(dusty))
        network.train()
        for module in network.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        first, again, other = (network(dusty, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", SMALL)
def test_bfloat16_autocast_stays_close_to_float32(name):
    torch.manual_seed(0)
    network, dusty = SMALL[name]().eval(), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        exact = network(dusty)
        with torch.autocast("cpu", torch.bfloat16):
            rough = network(dusty)
    assert rough.dtype == torch.float32
    assert (exact - rough).abs().mean() < 0.02


@pytest.mark.parametrize("name", SMALL)
def test_gradients_reach_every_parameter(name):
    torch.manual_seed(0)
    network = SMALL[name]()
    for module in network.modules():
        if isinstance(module, CrossAttention):
            torch.nn.init.ones_(module.gamma)
    network(torch.rand(2, 3, 64, 64)).sum().backward()
    without = [n for n, p in network.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert not without


def test_attention_equals_the_explicit_matrix():
    torch.manual_seed(0)
    attention = CrossAttention(32)
    torch.nn.init.constant_(attention.gamma, 0.7)
    fine, coarse = torch.randn(2, 32, 6, 5), torch.randn(2, 32, 4, 7)
    query, key, value = (f.flatten(2) for f in (attention.query(fine), attention.key(coarse), attention.value(coarse)))
    weights = torch.softmax(query.transpose(1, 2) @ key, dim=-1)  # (N, HW, hw), no 1 / sqrt(d)
    expected = fine + 0.7 * (value @ weights.transpose(1, 2)).view_as(fine)
    assert torch.allclose(attention(fine, coarse), expected, atol=1e-5)


def test_attention_starts_as_the_identity():
    fine = torch.randn(1, 16, 3, 3)
    assert torch.equal(CrossAttention(16)(fine, torch.randn(1, 16, 3, 3)), fine)


def test_the_scattering_head_starts_near_the_identity():
    torch.manual_seed(0)
    network, dusty = MSFF(width=8, head="scattering").eval(), torch.rand(1, 3, 30, 42)
    with torch.no_grad():
        assert (network(dusty) - dusty).abs().mean() < 0.05


def test_smooth_maps_have_no_grid_of_four_pixels_and_keep_the_photos_edges():
    torch.manual_seed(0)
    tile, dusty = torch.randn(1, 6, 4, 4), torch.full((1, 3, 32, 40), 0.5)
    dusty[..., 20:] = torch.tensor([0.3, 0.4, 0.8]).view(3, 1, 1)  # an edge
    plain, smooth = (MSFF(width=8, head="scattering", smooth=radius).eval() for radius in (0, 2))

    def give(maps):
        for network in (plain, smooth):
            network.features = lambda x, generator: maps
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            return [network(dusty) for network in (plain, smooth)]

    gridded, filtered = (picture[..., 6:-6, 26:-6].std(dim=(2, 3)) for picture in give(0.1 * tile.repeat(1, 1, 8, 10)))
    assert gridded.min() > 0.02 and (filtered < 0.1 * gridded).all()
    step = torch.full((1, 6, 32, 40), 0.1)
    step[..., 20:] = -0.1
    sharp, kept = give(step)
    assert torch.allclose(sharp, kept, atol=2e-3)
    with pytest.raises(ValueError, match='Only "scattering" has maps'):
        MSFF(width=8, smooth=2)


def test_patch_generator_puts_every_patch_back_in_its_place():
    network = PatchGenerator(width=4).eval()
    network.unet.transform = lambda patches, generator: patches  # identity on patches
    network.blend = torch.nn.Identity()
    x = torch.rand(2, 3, 128, 192) * 2 - 1
    assert torch.allclose(network.transform(x), torch.tanh(x))


def test_reflected_border_is_pytorchs_and_keeps_the_precision_of_the_map():
    given = torch.randn(2, 3, 9, 7, generator=torch.Generator().manual_seed(0))
    theirs = torch.nn.Conv2d(3, 4, 4, 2, (2, 1), padding_mode="reflect")
    ours = ReflectConv2d(3, 4, 4, 2, (2, 1))
    ours.load_state_dict(theirs.state_dict())
    assert torch.equal(ours(given), theirs(given))
    kept = []
    watch = torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.dtype), lambda x: x)
    with watch, torch.autocast("cpu", torch.bfloat16):
        ours(given.bfloat16().requires_grad_())
    assert kept and set(kept) == {torch.bfloat16}  # PyTorch's own reflection makes float32 of it


@pytest.mark.parametrize("border", [(0, 0), (1, 1), (3, 2)])
def test_gradient_of_a_reflected_border_is_pytorchs(border):
    random = torch.Generator().manual_seed(0)
    given = torch.randn(2, 3, 4, 5, generator=random, dtype=torch.float64, requires_grad=True)
    rows, columns = border
    ours = Reflect.apply(given, rows, columns)
    theirs = F.pad(given, (columns, columns, rows, rows), mode="reflect")
    gradient = torch.randn(theirs.shape, generator=random, dtype=torch.float64)
    found, wanted = (torch.autograd.grad(padded, given, gradient)[0] for padded in (ours, theirs))
    assert torch.equal(ours, theirs) and torch.allclose(found, wanted, rtol=1e-14)
    assert torch.autograd.gradcheck(lambda x: Reflect.apply(x, rows, columns), given)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_joined_maps_get_the_gradient_of_pytorchs_cat_without_gaps(layout):
    random = torch.Generator().manual_seed(0)
    maps = [torch.randn(2, c, 4, 5, generator=random).to(memory_format=layout).requires_grad_() for c in (3, 6)]
    joined = join(*maps)
    assert torch.equal(joined, torch.cat(maps, 1))
    gradient = torch.randn(joined.shape, generator=random).to(memory_format=layout)
    found = torch.autograd.grad(joined, maps, gradient)
    assert torch.equal(found[0], gradient[:, :3]) and torch.equal(found[1], gradient[:, 3:])
    assert all(part.is_contiguous(memory_format=layout) for part in found)
    maps[1].requires_grad_(False)  # as the photo, which nobody trains
    assert torch.autograd.grad(join(*maps).sum(), maps[0])[0].eq(1).all()


@pytest.mark.parametrize("name", SMALL)
def test_batch_normalisation_is_never_handed_a_gradient_with_gaps(name):
    network, seen = SMALL[name]().to(memory_format=torch.channels_last), []
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.register_forward_hook(lambda m, i, output: output.register_hook(seen.append) and None)
    network(torch.rand(2, 3, 64, 64)).square().mean().backward()
    assert seen and all(gradient.is_contiguous(memory_format=torch.channels_last) for gradient in seen)


def test_discriminator_is_its_layers_in_turn_and_keeps_each_map_once():
    dark_channel_net = PatchDiscriminator(width=8).double()  # in training mode: BatchNorm too sees what it should
    image = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    image.requires_grad_()

    def look(forward):
        kept = {}

        def keep(x):
            kept[x.data_ptr()] = x
            return x

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            logits = forward()
        gradients = torch.autograd.grad(logits.square().sum(), (image, *dark_channel_net.parameters()))
        return logits, gradients, sum(x.nbytes for x in kept.values())

    logits, gradients, held = look(lambda: dark_channel_net(image))
    plain, wanted, more = look(lambda: torch.nn.Sequential(*dark_channel_net)(2 * image - 1))
    assert torch.equal(logits, plain)
    assert all(torch.allclose(a, b) for a, b in zip(gradients, wanted, strict=True))
    first = 8 * 2 * 8 * 32 * 32  # bytes of the first map, which only the plain one keeps beside its copy with a border
    assert more - held > first


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_discriminators_give_one_logit_a_patch(channels):
    dark_channel_net = PatchDiscriminator(channels, width=8).eval()
    assert dark_channel_net(torch.rand(2, channels, 64, 64)).shape == (2, 1, 6, 6)
    assert dark_channel_net(torch.rand(1, channels, 70, 45)).shape[:2] == (1, 1)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="msff, unet, patch"):
        build_generator("gan")
    with pytest.raises(ValueError, match="head"):
        MSFF(head="sigmoid")
