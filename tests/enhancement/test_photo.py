"""Enhancement at full resolution: the network's colour change is applied without seams, for every type of input."""

import numpy as np
import pytest
import torch
from PIL import Image

from ssdie import enhance
from ssdie.enhancement.tensors import find_maps
from ssdie.networks.generators import Generator, build_generator
from ssdie.ops.images import resize


class Recolour(Generator):
    """A network with the same change at every pixel: J = gain I + offset, by channel."""

    def __init__(self, gain=(1.0, 1.0, 1.0), offset=(0.0, 0.0, 0.0)):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.tensor(gain).view(1, 3, 1, 1))
        self.offset = torch.nn.Parameter(torch.tensor(offset).view(1, 3, 1, 1))

    def transform(self, x, generator=None):
        return 2 * ((x + 1) / 2 * self.gain + self.offset) - 1


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_generator("msff", width=8, head="scattering").eval()
        torch.nn.init.normal_(network.output.weight, std=0.5)
    return network


def as_bytes(photo: torch.Tensor) -> np.ndarray:
    return (photo.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()


# The change itself -------------------------------------------------------------------------------------------------


def test_strength_zero_and_an_identity_network_change_nothing(photo, model):
    pixels = as_bytes(photo)
    for changed in (
        enhance(pixels, model, strength=0.0, working_size=64, postprocess=False),
        enhance(pixels, Recolour().eval(), working_size=64, postprocess=False),
    ):
        assert np.abs(changed.astype(int) - pixels).max() <= 1


def test_a_uniform_colour_change_is_applied_to_every_pixel(photo):
    network = Recolour((0.7, 0.9, 1.3), (0.1, 0.05, -0.05)).eval()
    expected = (photo * network.gain[0] + network.offset[0]).clamp(0, 1)
    enhanced = enhance(photo, network, working_size=60, postprocess=False)
    assert (enhanced - expected).abs().mean() < 0.005
    assert (enhanced - expected).abs().max() < 0.06


def test_the_change_is_proportional_to_the_strength(photo, model):
    steps = [enhance(photo, model, strength=s, working_size=64, postprocess=False) for s in (0.0, 0.5, 1.0)]
    moved = [(step - photo).abs().mean().item() for step in steps]
    assert moved[0] < 1e-4 < moved[1] < moved[2]
    assert moved[1] / moved[2] == pytest.approx(0.5, abs=0.1)


def test_at_the_working_size_the_result_is_the_output_of_the_network(photo, model):
    with torch.inference_mode():
        direct = model(photo[None])[0]
    assert (direct - photo).abs().mean() > 0.02  # not the identity
    assert (enhance(photo, model, working_size=180, postprocess=False) - direct).abs().mean() < 0.01


def test_the_enhancement_does_not_depend_on_the_resolution(photo, model):
    large = resize(photo[None], (480, 720))[0]
    enhanced = resize(enhance(large, model, working_size=90)[None], (120, 180))[0]
    assert (enhanced - enhance(photo, model, working_size=90)).abs().mean() < 0.01


def test_edges_stay_as_sharp_as_the_photo(model):
    """A step edge is neither blurred nor gets a halo."""
    step = torch.cat((torch.full((3, 200, 150), 0.35), torch.full((3, 200, 150), 0.6)), dim=2)
    enhanced = enhance(step, Recolour((0.8, 1.0, 1.2)).eval(), working_size=75, postprocess=False)[:, 100]
    expected = step[:, 100] * torch.tensor([[0.8], [1.0], [1.2]])
    assert (enhanced - expected).abs().max() < 0.02


def test_network_is_deterministic(photo, model):
    pixels = as_bytes(photo)
    assert np.array_equal(enhance(pixels, model), enhance(pixels, model))


def test_correction_reproduces_the_network_in_its_windows(photo, model):
    maps = find_maps(photo[None], model, postprocess=False)[0]
    assert maps.shape == (12, 120, 180)
    again = torch.einsum("kchw,chw->khw", maps[:9].unflatten(0, (3, 3)), photo) + maps[9:]
    with torch.inference_mode():
        output = model(photo[None])[0]
    assert (again.clamp(0, 1) - output).abs().mean() < 0.01


# Types of input -------------------------------------------------------------------------------------------------


def test_type_and_shape_of_the_input_are_kept(photo, model, tmp_path):
    pixels = as_bytes(photo)
    arrays = [pixels, (pixels * np.uint16(257)), pixels / np.float32(255), pixels / 255.0, pixels[..., 0]]
    arrays += [np.dstack((pixels, pixels[..., :1])), pixels[::-1, ::2]]
    for array in arrays:
        enhanced = enhance(array, model, working_size=64)
        assert (enhanced.shape, enhanced.dtype) == (array.shape, array.dtype)
    for tensor in (photo, photo.double(), torch.stack((photo, photo.flip(2)))):
        enhanced = enhance(tensor, model, working_size=64)
        assert (enhanced.shape, enhanced.dtype) == (tensor.shape, tensor.dtype)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    for source in (tmp_path / "a.png", str(tmp_path / "a.png"), Image.fromarray(pixels)):
        enhanced = enhance(source, model, working_size=64)
        image = enhanced if isinstance(source, Image.Image) else enhanced.image
        assert isinstance(image, Image.Image) and enhanced.size == (180, 120)
        assert np.array_equal(np.asarray(enhanced), enhance(pixels, model, working_size=64))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("working_size", [64, 512])
def test_half_precision_inputs_keep_their_type(photo, model, kind, working_size):
    expected = enhance(photo, model, working_size=working_size)
    enhanced = enhance(photo.to(kind), model, working_size=working_size)
    assert enhanced.dtype == kind and (enhanced.float() - expected).abs().mean() < 4 * torch.finfo(kind).eps
    assert enhance(photo[None].to(kind), model, working_size=working_size).dtype == kind
    if kind == torch.float16:
        for array in (photo.permute(1, 2, 0), photo[0], torch.cat((photo, photo[:1])).permute(1, 2, 0)):
            half = enhance(array.half().numpy(), model, working_size=working_size)
            assert half.dtype == np.float16 and half.shape == array.shape
            single = enhance(array.contiguous().numpy(), model, working_size=working_size)
            assert np.abs(half.astype(float) - single).mean() < 4e-3


@pytest.mark.parametrize("working_size", [64, 512])
def test_enhanced_tensors_are_detached_and_usable_in_autograd(photo, model, working_size):
    tracked = photo.clone().requires_grad_()
    enhanced = enhance(tracked, model, working_size=working_size)
    assert not enhanced.requires_grad and torch.equal(enhanced, enhance(photo, model, working_size=working_size))
    weight = torch.ones((), requires_grad=True)
    (weight * enhanced).mean().backward()
    assert weight.grad > 0 and tracked.grad is None
    assert not enhance(torch.stack((tracked, tracked)), model, working_size=working_size).requires_grad


def test_a_video_is_refused_with_the_command_for_it(tmp_path, model):
    (tmp_path / "in.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    with pytest.raises(ValueError, match="got a video. Use `ssdie enhance"):
        enhance(tmp_path / "in.mp4", model)
    with pytest.raises(FileNotFoundError):
        enhance(tmp_path / "missing.mp4", model)


def test_integer_and_float_inputs_agree(photo, model):
    pixels = as_bytes(photo)
    whole = enhance(pixels, model, working_size=64).astype(float) / 255
    deep = enhance(pixels * np.uint16(257), model, working_size=64) / 65535
    fraction = enhance(pixels / np.float32(255), model, working_size=64)
    assert np.abs(whole - fraction).max() < 0.02 and np.abs(deep - fraction).max() < 0.02


def test_the_input_is_not_modified(photo, model):
    pixels, tensor = as_bytes(photo), photo.clone()
    kept = pixels.copy()
    enhance(pixels, model, working_size=64)
    enhance(tensor, model, working_size=64)
    assert np.array_equal(pixels, kept) and torch.equal(tensor, photo)


def test_grey_stays_grey_and_alpha_stays(photo, model):
    pixels = as_bytes(photo)
    alpha = np.arange(120 * 180, dtype=np.uint8).reshape(120, 180)
    assert np.array_equal(enhance(np.dstack((pixels, alpha)), model, working_size=64)[..., 3], alpha)
    modes = {"L": "L", "LA": "LA", "RGBA": "RGBA", "P": "RGB", "1": "L", "CMYK": "RGB", "I;16": "I;16"}
    for mode, expected in modes.items():
        picture = Image.fromarray(pixels)
        picture = picture.convert("L").convert(mode) if mode == "I;16" else picture.convert(mode)
        assert enhance(picture, model, working_size=64).mode == expected


def test_orientation_is_applied_once(photo, model):
    picture, exif = Image.fromarray(as_bytes(photo)), Image.Exif()
    exif[0x0112] = 8
    picture.info["exif"] = exif.tobytes()
    enhanced = enhance(picture, model, working_size=64)
    assert enhanced.size == (120, 180) and "exif" not in enhanced.info


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (30, 1), (2, 300), (7, 7)])
def test_any_size(size, model):
    enhanced = enhance(np.full((*size, 3), 120, np.uint8), model, working_size=64)
    assert enhanced.shape == (*size, 3)


@pytest.mark.parametrize(
    "photo, sentence",
    [
        (np.zeros((4, 4, 2), np.uint8), "shape"),
        (np.zeros((0, 4, 3), np.uint8), "shape"),
        (np.zeros((4, 4, 3), np.int64), "int64"),
        (torch.zeros(3, 4, 4, dtype=torch.uint8), "float"),
        (torch.zeros(4, 4, 3), "float tensor"),
        (torch.zeros(3, 4, 4).to(torch.float8_e5m2), "float8_e5m2"),
        (17, "int"),
    ],
)
def test_unsupported_inputs_are_refused_with_a_sentence(photo, sentence, model):
    with pytest.raises((TypeError, ValueError), match=sentence):
        enhance(photo, model)


def test_wrong_strength_is_refused(photo, model):
    with pytest.raises(ValueError, match="strength: .* got 2"):
        enhance(photo, model, strength=2)
