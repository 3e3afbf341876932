"""Photos opened in and downloaded from the enhancement explorer keep metadata, colour profile and bit depth."""

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from ssdie.enhancement.photo import enhance
from ssdie.evaluation.baselines import METHOD_TITLES
from ssdie.evaluation.methods import METHODS as EVALUATED
from ssdie.evaluation.methods import PEER
from ssdie.photo import read_photo
from ssdie.workbook.explorers.enhancement import EnhancementExplorer
from ssdie.workbook.explorers.files import METHODS, as_photo, encode_download, enhance_file, photo_to_tensor

NOISE = np.random.default_rng(0).integers(40, 200, (60, 80, 3), np.uint8)


@pytest.fixture
def jpeg(tmp_path):
    """A JPEG file with a maker and a colour profile."""
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(NOISE).save(tmp_path / "mine.JPG", "JPEG", exif=exif, icc_profile=profile, quality=95)
    return tmp_path / "mine.JPG"


@pytest.mark.parametrize("method", ["ssdie", "gray_world"])
def test_download_keeps_exif_and_colour_profile(jpeg, model, method):
    panel, sent = EnhancementExplorer({"mine.JPG": jpeg}, model), []
    panel.download.send = lambda content, buffers: sent.append((content, buffers[0]))
    panel.controls["method"].value = method
    panel.send_download()
    ((properties, content),) = sent
    before, after = Image.open(jpeg), Image.open(io.BytesIO(content))
    assert properties == {"name": f"mine_{method}.jpg", "type": "image/jpeg"} and after.size == before.size
    assert after.getexif()[0x010F] == "Maker" and after.info["icc_profile"] == before.info["icc_profile"]
    assert np.abs(np.asarray(after).astype(int) - np.asarray(before)).mean() > 1


def test_the_released_method_gives_the_pixels_of_enhance(jpeg, model):
    downloaded = enhance_file(as_photo(jpeg), "ssdie", model, 64, 0.5)
    assert np.array_equal(downloaded.array, enhance(jpeg, model, 0.5, 64).array)


def test_a_path_that_is_entered_adds_the_photo(jpeg, scene, model):
    panel = EnhancementExplorer({"one": scene[0]}, model)
    panel.path.value = f" {jpeg} "
    assert panel.gallery.value == "mine.JPG" and panel.dusty.shape == (3, 60, 80)
    panel.path.value = str(jpeg.with_name("<missing>.jpg"))
    assert 'role="alert"' in panel.status.value and "&lt;missing&gt;.jpg cannot be read" in panel.status.value
    assert panel.gallery.value == "mine.JPG"


@pytest.mark.parametrize("method", METHODS)
def test_sixteen_bit_grey_stays_sixteen_bit_grey(tmp_path, model, method):
    path = tmp_path / "grey.png"
    Image.fromarray((NOISE[..., 0].astype(np.uint16) << 8) + 1).save(path)
    name, content, mime = encode_download(enhance_file(as_photo(path), method, model), path.name, method)
    frame = read_photo(content).frames[0]
    assert (name, mime) == (f"grey_{method}.png", "image/png")
    assert frame.dtype == np.uint16 and frame.shape == (60, 80)


def test_strength_0_of_a_baseline_changes_nothing(jpeg):
    photo = as_photo(jpeg)
    assert np.array_equal(enhance_file(photo, "msrcr", None, strength=0.0).array, photo.frames[0])


def test_transparent_pixels_are_displayed_over_white(tmp_path):
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:4, :, 3] = 255
    Image.fromarray(pixels).save(tmp_path / "alpha.png")
    displayed = photo_to_tensor(as_photo(tmp_path / "alpha.png"))
    assert displayed[:, :4].max() == 0 and displayed[:, 4:].min() == 1


def test_tensors_are_written_as_png_or_jpeg_by_their_name():
    tensor = torch.from_numpy(NOISE).permute(2, 0, 1) / 255
    assert np.array_equal(as_photo(tensor, "a.png").frames[0], NOISE)
    kinds = [encode_download(enhance_file(as_photo(tensor, n), "rop", None), n, "rop")[::2] for n in ("a.png", "b")]
    assert kinds == [("a_rop.png", "image/png"), ("b_rop.jpg", "image/jpeg")]


def test_every_method_has_a_distinct_title():
    assert {*METHODS, *EVALUATED, PEER} == set(METHOD_TITLES)
    assert len(set(METHOD_TITLES.values())) == len(METHOD_TITLES)
