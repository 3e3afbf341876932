import io

import numpy as np
import pytest
import torch
from PIL import Image

from ssdie.ops.images import to_display
from ssdie.photo.files import array_to_pil, pil_to_array
from ssdie.synthesis.dust import add_sensor_noise, compress_jpeg


def save_and_read_jpeg(image: torch.Tensor, quality: int) -> np.ndarray:
    file = io.BytesIO()
    array_to_pil(to_display(image)).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return pil_to_array(Image.open(file))


@pytest.mark.parametrize("quality", [20, 50, 90])
def test_simulated_jpeg_has_the_error_of_a_real_file(picture, quality):
    smooth = torch.nn.functional.interpolate(picture[:1], scale_factor=2, mode="bicubic").clamp(0, 1)
    simulated = to_display(compress_jpeg(smooth, torch.tensor([float(quality)])))
    decoded, original = save_and_read_jpeg(smooth, quality), to_display(smooth)
    loss = np.abs(decoded - original).mean()
    assert np.abs(simulated - decoded).mean() < 0.35 * loss + 1e-3


def test_each_image_has_its_own_quality(picture):
    both = compress_jpeg(picture, torch.tensor([10.0, 90.0]))
    assert torch.allclose(both[:1], compress_jpeg(picture[:1], torch.tensor([10.0])), atol=1e-6)
    loss = (both - picture).abs().mean((1, 2, 3))
    assert loss[0] > 1.5 * loss[1]


def test_noise_has_the_variance_of_the_formula():
    levels = torch.tensor([0.2, 0.8]).view(2, 1, 1, 1).expand(2, 3, 100, 100)
    noisy = add_sensor_noise(levels, torch.tensor([0.02, 0.02]), torch.Generator().manual_seed(0))
    measured = (noisy - levels).flatten(1).std(1)
    assert torch.allclose(measured, 0.02 * torch.tensor([0.7, 1.3]).sqrt(), rtol=0.03)


def test_zero_noise_changes_nothing(picture):
    assert torch.equal(add_sensor_noise(picture, torch.zeros(2)), picture)
