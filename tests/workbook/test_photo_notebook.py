"""Notebook 00 with a photo of one's own: the written copy is that of `ssdie enhance`."""

import json

import numpy as np
from PIL import Image
from profiles import icc_profile

from ssdie import enhance
from ssdie.data.sample import read_pair
from ssdie.photo import color, read_photo
from ssdie.synthesis.dust import add_dust
from ssdie.utils.paths import project_root

PROPHOTO, D50 = ((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)), (0.3457, 0.3585)
CELLS = ("run: str", "from pathlib", "list_examples(sample=", "enhanced = enhance(", "write_image(folder")  # their code


def test_profile_and_exif_of_the_photo_are_kept(tmp_path, monkeypatch):
    """Case B35: a ProPhoto JPEG that lies on its side."""
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.chdir(project_root())
    clear, depth = read_pair("scene_100003", (96, 128))
    dusty = add_dust(clear[None], depth[None], "reference", 0).dusty[0].permute(1, 2, 0).numpy()
    space = color.from_primaries("ProPhoto", PROPHOTO, color.SAMPLES**1.8, D50)
    profile = icc_profile(color.SRGB_TO_XYZ @ space.matrix, 1.8)
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Acme", 6
    stored = Image.fromarray(color.as_depth(space.from_srgb(dusty), np.uint8))
    stored.save(tmp_path / "own.jpg", quality=95, exif=exif.tobytes(), icc_profile=profile)
    notebook = json.loads((project_root() / "notebooks" / "00_enhance_a_photo.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    variables: dict = {}
    for start in CELLS:
        (code,) = (code for code in cells if start in code)
        exec(code, variables)
        if start == "run: str":
            variables |= {"run": str(tmp_path / "run"), "photo": str(tmp_path / "own.jpg")}
    written = tmp_path / "run" / "00_enhance_a_photo" / "own.png"
    expected = enhance(tmp_path / "own.jpg", strength=1.0)
    copy = read_photo(written)
    assert copy.metadata.icc == profile and copy.frames[0].shape == (128, 96, 3)
    with Image.open(written) as picture:
        assert picture.getexif()[0x010F] == "Acme" and picture.getexif()[0x0112] == 1
    assert np.abs(copy.frames[0] - expected.array).mean() < 0.01
    shown = variables["enhanced"][0].permute(1, 2, 0).numpy()
    assert np.abs(shown - expected.array).mean() < 0.01  # what the notebook shows
