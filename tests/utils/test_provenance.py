"""Provenance of results: manifests beside them and embedded in figures."""

import json

import matplotlib.pyplot as plt
import pytest
from PIL import Image

import ssdie.utils.provenance
from ssdie.data.photos import find_photos, fingerprint
from ssdie.ops.images import write_image
from ssdie.utils.provenance import describe_other_code, figure_metadata, make_manifest, read_manifest
from ssdie.utils.provenance import write_manifest as write
from ssdie.workbook.figures.grids import save_figure
from ssdie.workbook.session import begin_notebook


@pytest.fixture(autouse=True)
def no_notebook(monkeypatch):
    """Start without a running notebook and without SSDIE_DATA."""
    monkeypatch.delenv("SSDIE_DATA", raising=False)
    ssdie.utils.provenance.current_manifest.clear()  # shared with ssdie.workbook.session


def test_a_manifest_records_code_data_and_seed_but_no_path_or_time(tmp_path):
    begin_notebook(tmp_path, "01_dust_synthesis", 7)
    manifest = read_manifest(tmp_path)
    keys = ["commit", "dirty", "code", "versions", "photos", "parameters", "device", "seed"]
    assert list(manifest) == keys and manifest["seed"] == 7 and manifest["photos"]["train"]["clear"]["count"] == 24
    assert len(manifest["commit"]) >= 7 and "+" not in manifest["commit"] and isinstance(manifest["dirty"], bool)
    assert str(tmp_path) not in json.dumps(manifest)
    assert begin_notebook(tmp_path / "again", "01_dust_synthesis", 7) == manifest


def test_fingerprint_covers_names_sizes_and_optionally_contents(tmp_path, picture):
    photo = tmp_path / "dusty" / "train" / "a.bmp"
    write_image(photo, picture[0])
    names, contents = (fingerprint(find_photos(tmp_path), limit) for limit in (0, 2**20))
    data = bytearray(photo.read_bytes())
    data[-1] ^= 255
    photo.write_bytes(data)  # the size stays
    assert fingerprint(find_photos(tmp_path)) == names and names["dusty"]["of"] == "names and sizes"
    assert fingerprint(find_photos(tmp_path), 2**20)["dusty"]["sha256"] != contents["dusty"]["sha256"]
    photo.rename(photo.with_name("b.bmp"))
    assert fingerprint(find_photos(tmp_path))["dusty"] != names["dusty"]


def test_figures_embed_the_manifest_and_are_equal_if_it_is_equal(tmp_path):
    manifest = begin_notebook(tmp_path / "run", "05_paper_figures", 0)

    def draw(folder):
        figure = plt.figure(figsize=(1, 1))
        figure.add_subplot().plot([0, 1])
        plt.close(figure)
        return save_figure(figure, "line", folder)

    one, two = draw(tmp_path / "one"), draw(tmp_path / "two")
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(one, two, strict=True))
    assert json.loads(Image.open(one[0]).text["manifest"]) == manifest
    assert manifest["code"].encode() in one[1].read_bytes() and manifest["commit"].encode() in one[1].read_bytes()
    begin_notebook(tmp_path / "run", "05_paper_figures", 1)
    assert all(a.read_bytes() != b.read_bytes() for a, b in zip(one, draw(tmp_path / "three"), strict=True))


def test_without_a_notebook_figures_embed_no_manifest():
    assert figure_metadata() == {}


def test_results_of_another_version_of_the_code_are_reported(tmp_path, monkeypatch):
    assert describe_other_code(tmp_path) == ""
    write(tmp_path, make_manifest({}, 0, {}, "cpu", "1a2b3c4+"))
    assert describe_other_code(tmp_path) == ""
    monkeypatch.setattr(ssdie.utils.provenance, "code_digest", lambda: "another")
    message = f"{tmp_path.name} was made by another version of the code (commit 1a2b3c4 and changes); remove the folder"
    assert describe_other_code(tmp_path).startswith(message)
