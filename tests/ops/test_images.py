import numpy as np
import pytest
import torch
from PIL import Image

from ssdie.ops import images


def test_written_image_is_read_back_rounded_to_8_bits(tmp_path, picture):
    images.write_image(tmp_path / "a.png", picture[0])
    assert torch.equal(images.read_image(tmp_path / "a.png"), torch.round(picture[0] * 255) / 255)


def test_exif_orientation_is_applied(tmp_path):
    upright = np.zeros((4, 6, 3), np.uint8)
    upright[0, 0] = 255  # one bright corner
    exif = Image.Exif()
    exif[0x0112] = 6  # to be rotated clockwise by 90 degrees
    Image.fromarray(np.rot90(upright)).save(tmp_path / "rotated.png", exif=exif)
    read = images.read_image(tmp_path / "rotated.png")
    assert read.shape == (3, 4, 6)
    assert read[:, 0, 0].tolist() == [1, 1, 1]


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK", "1", "I;16"])
def test_every_mode_is_read_as_rgb(tmp_path, mode):
    photo = Image.fromarray(np.full((5, 7), 65535, np.uint16)) if mode == "I;16" else Image.new("RGB", (7, 5), "white")
    suffix = "tif" if mode == "CMYK" else "png"
    (photo if mode == "I;16" else photo.convert(mode)).save(tmp_path / f"a.{suffix}")
    assert torch.equal(images.read_image(tmp_path / f"a.{suffix}"), torch.ones(3, 5, 7))


def test_transparent_pixels_become_white(tmp_path):
    Image.new("RGBA", (2, 2), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert images.read_image(tmp_path / "clear.png").min() == 1


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (torch.zeros(1, 3, 4, 4, dtype=torch.uint8), TypeError, "uint8"),
        (np.zeros((1, 3, 4, 4)), TypeError, "ndarray"),
        (torch.zeros(3, 4, 4), ValueError, "batch axis"),
        (torch.zeros(1, 1, 4, 4), ValueError, r"\(1, 1, 4, 4\)"),
        (torch.full((1, 3, 4, 4), 255.0), ValueError, "255"),
        (torch.full((1, 3, 4, 4), float("nan")), ValueError, "nan"),
    ],
)
def test_invalid_image_raises(image, error, message):
    with pytest.raises(error, match=message):
        images.check_image(image)


def test_resizing_keeps_the_mean(generator):
    large = torch.rand(1, 3, 120, 160, generator=generator)
    small = images.fit_long_side(large, 40)
    assert small.shape == (1, 3, 30, 40)
    assert torch.allclose(small.mean(), large.mean(), atol=2e-3)
    assert images.fit_short_side(large, 240).shape == (1, 3, 240, 320)
    assert images.fit_long_side(large, 1000) is large
