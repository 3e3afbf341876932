"""The enhancement explorer: its functions without widgets, then the widgets."""

import io
from datetime import datetime

import numpy as np
import pytest
import torch
from PIL import Image

from ssdie.data.sample import read_pair
from ssdie.enhancement.photo import enhance
from ssdie.evaluation.baselines import METHOD_TITLES
from ssdie.evaluation.metrics import measure
from ssdie.workbook.explorers import views
from ssdie.workbook.explorers.enhancement import EnhancementExplorer
from ssdie.workbook.explorers.files import METHODS, enhance_full_size
from ssdie.workbook.explorers.views import crop, measure_shown, preview, split_view


def test_unknown_method_is_refused(scene, model):
    with pytest.raises(ValueError, match="gray_world"):
        enhance_full_size(scene[0], "magic", model)


def test_preview_approximates_the_reduced_full_size(model, monkeypatch):
    monkeypatch.setattr(views, "PREVIEW", 64)
    dusty = read_pair("scene_000001", (96, 128))[0]
    displayed = preview(dusty, "ssdie", model, 64)
    whole = enhance_full_size(dusty, "ssdie", model, 64)
    small = torch.nn.functional.interpolate(whole[None], (48, 64), mode="area")[0]
    assert displayed.shape == (3, 48, 64) and (displayed - small).abs().mean() < 0.02


def test_metrics_equal_those_of_measure(scene, model):
    enhanced = enhance_full_size(scene[0], "clahe_lab", model)
    whole = measure(enhanced[None], scene[0][None])
    facts = measure_shown(enhanced, scene[0])
    assert facts == pytest.approx({name: whole[name] for name in facts})


def test_crop_stays_within_the_picture():
    picture = torch.arange(12.0).view(1, 2, 6)
    assert crop(picture, 2, 0.0, 0.0).tolist() == [[[0, 1, 2]]]
    assert crop(picture, 2, 1.0, 1.0).tolist() == [[[9, 10, 11]]]
    assert torch.equal(crop(picture, 1, 0.3, 0.9), picture)


def test_split_view_shows_dusty_on_the_left_and_enhanced_on_the_right():
    before, after = torch.zeros(3, 4, 300), torch.full((3, 4, 300), 0.5)
    view = split_view(before, after, 0.25)
    assert view[..., :75].max() == 0 and (view[..., 75] == 1).all() and (view[..., 76:] == 0.5).all()
    assert torch.equal(split_view(before, after, 1.0), before)
    assert (split_view(before, after, 0.0)[..., 1:] == 0.5).all()


def test_enhancement_explorer_follows_its_controls(scene, model):
    panel = EnhancementExplorer({"one": scene[0], "two": read_pair("scene_000003", (48, 64))[0]}, model)
    images, before = [panel.compare.after], panel.compare.before
    steps = [("method", "msrcr"), ("strength", 0.5), ("view", "dark channel"), ("view", "zoom"), ("across", 0.2)]
    for name, value in [*steps, ("zoom", 8.0)]:
        panel.controls[name].value = value
        images.append(panel.compare.after)
    assert len(set(images)) == len(images)
    panel.controls["view"].value, panel.controls["strength"].value = "photo", 0.0
    assert panel.compare.after == panel.compare.before == before
    assert panel.facts["e"] == pytest.approx(0, abs=1e-6) and panel.facts["r"] == pytest.approx(1, abs=1e-6)
    panel.gallery.value = "two"
    assert panel.compare.before != before and panel.status.value.count("alert") == 0


def test_every_method_can_be_chosen(scene, model):
    panel = EnhancementExplorer({"one": scene[0]}, model)
    for method in METHODS:
        panel.controls["method"].value = method
        assert panel.compare.labels == ("dusty", METHOD_TITLES[method]) and "alert" not in panel.status.value


def test_strength_is_that_of_enhance(scene, model):
    panel = EnhancementExplorer({"one": scene[0]}, model)
    panel.controls["strength"].value = 0.5
    expected = enhance(scene[0], model, strength=0.5)
    assert (panel.enhanced_full_size() - expected).abs().mean() < 0.01
    assert (panel.enhanced() - expected).abs().mean() < 0.01


def test_a_double_click_zooms_to_the_clicked_position(scene, model):
    panel = EnhancementExplorer({"one": scene[0]}, model)
    panel.compare.focus = [0.7, 0.4]
    values = {name: panel.controls[name].value for name in ("view", "across", "down")}
    assert values == {"view": "zoom", "across": pytest.approx(0.7), "down": pytest.approx(0.4)}
    panel.compare.focus = [1.0, 0.5]  # the right border of the region shown at zoom 4
    assert panel.controls["across"].value == pytest.approx(0.7 + 0.5 / 4)


def test_previews_of_every_method_are_prepared(scene, model):
    panel = EnhancementExplorer({"one": scene[0]}, model)
    panel._prepare(panel.previews)
    assert {method for method, _ in panel.previews} == set(METHODS)
    previous = {}
    panel._prepare(previous)  # of a photo that is no longer displayed
    assert previous == {}


def upload(content: bytes, name: str) -> tuple:
    """Value of the upload control for one file."""
    properties = {"name": name, "type": "image/png", "size": len(content), "last_modified": datetime(2024, 1, 1)}
    return ({**properties, "content": memoryview(content)},)


def test_an_uploaded_photo_is_shown_and_downloaded_at_its_size(scene, model, monkeypatch):
    panel, sent = EnhancementExplorer({"one": scene[0]}, model), []
    buffer = io.BytesIO()
    Image.fromarray(np.full((300, 700, 3), (200, 120, 40), np.uint8)).save(buffer, "PNG")
    panel.upload.value = upload(buffer.getvalue(), "mine.png")
    assert panel.gallery.names == ["one", "mine.png"] and panel.gallery.value == "mine.png"
    assert Image.open(io.BytesIO(panel.compare.after)).size == (512, 219)
    monkeypatch.setattr(panel.download, "send", lambda content, buffers: sent.append((content, buffers[0])))
    panel.send_download()
    assert sent[0][0] == {"name": "mine_ssdie.png", "type": "image/png"}
    assert Image.open(io.BytesIO(sent[0][1])).size == (700, 300)


def test_a_file_that_is_no_image_gives_a_message_and_the_explorer_still_works(scene, model):
    panel = EnhancementExplorer({"one": scene[0]}, model)
    before = panel.compare.after
    panel.upload.value = upload(b"only text", "<text>.png")
    assert 'role="alert"' in panel.status.value and "&lt;text&gt;.png cannot be read" in panel.status.value
    assert panel.compare.after == before and panel.gallery.names == ["one"]
    panel.controls["strength"].value = 0.5
    assert "alert" not in panel.status.value and panel.compare.after != before


def test_the_credit_of_a_photo_is_shown_below_it_and_drawn_below_its_figure(scene, model):
    explorer = EnhancementExplorer({"one": scene[0], "two": scene[0]}, model, credits={"two": "By <Ada>, CC BY 4.0"})
    assert "Ada" not in explorer.credit.value and not explorer.figure().texts
    explorer.gallery.value = "two"
    assert "By &lt;Ada&gt;, CC BY 4.0" in explorer.credit.value
    assert [text.get_text() for text in explorer.figure().texts] == ["By <Ada>, CC BY 4.0"]
