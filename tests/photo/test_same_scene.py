"""The same scene in another colour space is repaired alike."""

import zlib

import numpy as np
import pytest
from profiles import icc_profile
from skimage.color import deltaE_ciede2000, rgb2lab

from ssdie.data.sample import read_pair
from ssdie.enhancement.result import enhance_photo
from ssdie.photo import color, read_photo
from ssdie.photo.hdr import PRIMARIES
from ssdie.photo.metadata import write_chunks
from ssdie.synthesis.dust import add_dust

imagecodecs = pytest.importorskip("imagecodecs")
PROPHOTO, D50 = ((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)), (0.3457, 0.3585)
SPACES = {
    "Display P3": (PRIMARIES["p3"], 2.2, color.D65, np.uint8),
    "Adobe RGB": (color.ADOBE_RGB, 563 / 256, color.D65, np.uint8),
    "Rec. 2020": (PRIMARIES["bt2020"], 2.2, color.D65, np.uint8),
    "ProPhoto": (PROPHOTO, 1.8, D50, np.uint16),
    "red and blue exchanged": (PRIMARIES["bt709"][::-1], 2.2, color.D65, np.uint8),
}


@pytest.fixture(scope="module")
def scene():
    """A dusty photo, sRGB in [0, 1]."""
    clear, depth = read_pair("scene_100003")
    return add_dust(clear[None], depth[None], "reference", 0).dusty[0].permute(1, 2, 0).numpy()


def as_png(values: np.ndarray, dtype: type, icc: bytes = b"") -> bytes:
    chunks = [(b"iCCP", b"icc\0\0" + zlib.compress(icc), True)] if icc else []
    return write_chunks(bytes(imagecodecs.png_encode(np.ascontiguousarray(color.as_depth(values, dtype)))), chunks)


@pytest.fixture(scope="module")
def expected(scene):
    """The repair of the sRGB photo."""
    return enhance_photo(read_photo(as_png(scene, np.uint8))).array / 255


@pytest.mark.parametrize("name", SPACES)
def test_every_space_gets_the_same_repair(name, scene, expected, tmp_path):
    """Case B15: the copy is in the space of the photo, and looks as the copy of the sRGB photo does."""
    primaries, gamma, white, dtype = SPACES[name]
    space = color.from_primaries(name, primaries, color.SAMPLES**gamma, white)
    profile = icc_profile(color.SRGB_TO_XYZ @ space.matrix, gamma)
    enhance_photo(read_photo(as_png(space.from_srgb(scene), dtype, profile))).save(tmp_path / "out.png")
    copy = read_photo(tmp_path / "out.png")
    assert copy.metadata.icc == profile and copy.originals[0].dtype == dtype
    assert deltaE_ciede2000(rgb2lab(copy.frames[0]), rgb2lab(expected)).mean() < 0.7
