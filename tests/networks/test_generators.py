"""Generators, discriminators and their layers: sizes, gradients, equality with the plain PyTorch versions."""

import pytest
import torch
import torch.nn.functional as F

from ssdie.networks.discriminators import DarkChannelNet, PatchDiscriminator
from ssdie.networks.generators import MSFF, PatchGenerator, UNetGenerator, build_generator, count_parameters
from ssdie.networks.layers import CrossAttention, Reflect, ReflectConv2d, join

SMALL = {
    "msff": lambda: MSFF(width=8),
    "scattering": lambda: MSFF(width=8, head="scattering"),
    "smooth": lambda: MSFF(width=8, head="scattering", smooth=2, knee=0.8),
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
def test_parameter_counts_equal_those_of_the_paper(network, parameters):
    with torch.device("meta"):
        assert count_parameters(network()) == parameters


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("size", [(64, 64), (37, 50), (1, 3), (130, 9)])
def test_generators_accept_any_size(name, size):
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
            approximate = network(dusty)
    assert approximate.dtype == torch.float32
    assert (exact - approximate).abs().mean() < 0.02


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


def test_smoothing_removes_a_grid_of_four_pixels_and_keeps_edges_of_the_photo():
    torch.manual_seed(0)
    tile, dusty = torch.randn(1, 6, 4, 4), torch.full((1, 3, 32, 40), 0.5)
    dusty[..., 20:] = torch.tensor([0.3, 0.4, 0.8]).view(3, 1, 1)  # an edge
    plain, smooth = (MSFF(width=8, head="scattering", smooth=radius).eval() for radius in (0, 2))

    def enhance_with(features):
        for network in (plain, smooth):
            network.features = lambda x, generator: features
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            return [network(dusty) for network in (plain, smooth)]

    pictures = enhance_with(0.1 * tile.repeat(1, 1, 8, 10))
    gridded, filtered = (picture[..., 6:-6, 26:-6].std(dim=(2, 3)) for picture in pictures)
    assert gridded.min() > 0.02 and (filtered < 0.1 * gridded).all()
    step = torch.full((1, 6, 32, 40), 0.1)
    step[..., 20:] = -0.1
    sharp, kept = enhance_with(step)
    assert torch.allclose(sharp, kept, atol=2e-3)
    with pytest.raises(ValueError, match='smooth: expected 0 with head "tanh"'):
        MSFF(width=8, smooth=2)
    for options in ({"knee": 0.8}, {"knee": 0.0, "head": "scattering"}):
        with pytest.raises(ValueError, match="knee: expected a value above 0 and at most 1"):
            MSFF(width=8, **options)


def test_patch_generator_reassembles_patches_in_order():
    network = PatchGenerator(width=4).eval()
    network.unet.transform = lambda patches, generator: patches  # identity on patches
    network.blend = torch.nn.Identity()
    x = torch.rand(2, 3, 128, 192) * 2 - 1
    assert torch.allclose(network.transform(x), torch.tanh(x))


def test_reflection_padding_equals_that_of_pytorch_and_saves_bfloat16_activations():
    features = torch.randn(2, 3, 9, 7, generator=torch.Generator().manual_seed(0))
    theirs = torch.nn.Conv2d(3, 4, 4, 2, (2, 1), padding_mode="reflect")
    ours = ReflectConv2d(3, 4, 4, 2, (2, 1))
    ours.load_state_dict(theirs.state_dict())
    assert torch.equal(ours(features), theirs(features))
    saved = []
    hooks = torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x.dtype), lambda x: x)
    with hooks, torch.autocast("cpu", torch.bfloat16):
        ours(features.bfloat16().requires_grad_())
    assert saved and set(saved) == {torch.bfloat16}  # PyTorch's reflection padding converts to float32


@pytest.mark.parametrize("border", [(0, 0), (1, 1), (3, 2)])
def test_gradient_of_reflection_padding_equals_that_of_pytorch(border):
    random = torch.Generator().manual_seed(0)
    features = torch.randn(2, 3, 4, 5, generator=random, dtype=torch.float64, requires_grad=True)
    rows, columns = border
    ours = Reflect.apply(features, rows, columns)
    theirs = F.pad(features, (columns, columns, rows, rows), mode="reflect")
    gradient = torch.randn(theirs.shape, generator=random, dtype=torch.float64)
    got, expected = (torch.autograd.grad(padded, features, gradient)[0] for padded in (ours, theirs))
    assert torch.equal(ours, theirs) and torch.allclose(got, expected, rtol=1e-14)
    assert torch.autograd.gradcheck(lambda x: Reflect.apply(x, rows, columns), features)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_join_has_the_gradients_of_torch_cat_as_contiguous_tensors(layout):
    random = torch.Generator().manual_seed(0)
    feature_maps = [torch.randn(2, c, 4, 5, generator=random).to(memory_format=layout).requires_grad_() for c in (3, 6)]
    joined = join(*feature_maps)
    assert torch.equal(joined, torch.cat(feature_maps, 1))
    gradient = torch.randn(joined.shape, generator=random).to(memory_format=layout)
    got = torch.autograd.grad(joined, feature_maps, gradient)
    assert torch.equal(got[0], gradient[:, :3]) and torch.equal(got[1], gradient[:, 3:])
    assert all(part.is_contiguous(memory_format=layout) for part in got)
    feature_maps[1].requires_grad_(False)  # such as the input image
    assert torch.autograd.grad(join(*feature_maps).sum(), feature_maps[0])[0].eq(1).all()


@pytest.mark.parametrize("name", SMALL)
def test_batch_norm_gets_contiguous_gradients(name):
    network, gradients = SMALL[name]().to(memory_format=torch.channels_last), []
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.register_forward_hook(lambda m, i, output: output.register_hook(gradients.append) and None)
    network(torch.rand(2, 3, 64, 64)).square().mean().backward()
    assert gradients and all(gradient.is_contiguous(memory_format=torch.channels_last) for gradient in gradients)


def test_discriminator_equals_its_layers_in_sequence_and_saves_each_feature_map_once():
    discriminator = PatchDiscriminator(width=8).double()  # in training mode, for the batch statistics of BatchNorm
    image = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    image.requires_grad_()

    def run(forward):
        saved = {}

        def save(x):
            saved[x.data_ptr()] = x
            return x

        with torch.autograd.graph.saved_tensors_hooks(save, lambda x: x):
            logits = forward()
        gradients = torch.autograd.grad(logits.square().sum(), (image, *discriminator.parameters()))
        return logits, gradients, sum(x.nbytes for x in saved.values())

    logits, gradients, memory = run(lambda: discriminator(image))
    plain, expected, plain_memory = run(lambda: torch.nn.Sequential(*discriminator)(2 * image - 1))
    assert torch.equal(logits, plain)
    assert all(torch.allclose(a, b) for a, b in zip(gradients, expected, strict=True))
    first = 8 * 2 * 8 * 32 * 32  # bytes of the first feature map; the plain version saves it and its padded copy
    assert plain_memory - memory > first


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_discriminators_return_one_logit_per_patch(channels):
    discriminator = PatchDiscriminator(channels, width=8).eval()
    assert discriminator(torch.rand(2, channels, 64, 64)).shape == (2, 1, 6, 6)
    assert discriminator(torch.rand(1, channels, 70, 45)).shape[:2] == (1, 1)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="msff, unet, patch"):
        build_generator("gan")
    with pytest.raises(ValueError, match="head"):
        MSFF(head="sigmoid")
