"""The explorers: their functions without widgets, then the widgets as a user moves them."""

import asyncio
import io
from datetime import datetime

import numpy as np
import pytest
import torch
from PIL import Image

import ssdie.workbook.explorers.enhancement
from ssdie.data.sample import read_pair
from ssdie.enhancement.photo import enhance
from ssdie.evaluation.metrics import color_cast, measure
from ssdie.losses import LossWeights
from ssdie.networks.generators import build_generator
from ssdie.synthesis.dust import add_dust
from ssdie.synthesis.recipes import read_dust
from ssdie.training.config import TrainConfig
from ssdie.training.stages import train
from ssdie.workbook.explorers import widgets as panels
from ssdie.workbook.explorers.dust import DEPTHS, DUST, DustExplorer, draw_settings, make_dust, save_dusty, view_dust
from ssdie.workbook.explorers.enhancement import (
    METHODS,
    EnhancementExplorer,
    crop,
    enhance_whole,
    measure_shown,
    preview,
    split_view,
)
from ssdie.workbook.explorers.training import (
    TrainingExplorer,
    list_runs,
    load_current,
    start_small_training,
)


@pytest.fixture(scope="module")
def scene():
    return read_pair("scene_000001", (48, 64))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_generator("msff", width=8, head="scattering").eval()


@pytest.fixture(autouse=True)
def nobody(monkeypatch):
    """No threads that prepare what nobody looks at."""
    monkeypatch.setenv(panels.STATIC, "1")


def click(panel, description: str) -> None:
    """Press the button with that label."""
    found = [w for w in walk(panel) if getattr(w, "description", "") == description]
    assert len(found) == 1, description
    found[0].click()


def walk(widget):
    """A widget and all in it."""
    yield widget
    for child in getattr(widget, "children", ()):
        yield from walk(child)


# Dust -------------------------------------------------------------------------------------------------------


def test_dust_orders_the_channels_and_keeps_green():
    beta = make_dust(density=3.0, ratio=2.25).beta[0]
    assert beta.tolist() == pytest.approx([2.0, 3.0, 4.5])


def test_no_dust_gives_the_clear_picture_back(scene):
    pictures, facts = view_dust(*scene, density=0.0, light=0.0, noise=0.0, quality=101)
    assert torch.allclose(pictures["dusty"], pictures["clear"], atol=1e-5)
    assert list(facts.values()) == pytest.approx([1, 1, 1])


def test_far_pixels_of_dense_dust_take_the_colour_of_the_airlight(scene):
    pictures, _ = view_dust(*scene, density=7.9, airlight="#ff8000", noise=0.0, quality=101)
    sky = pictures["dusty"][:, scene[1][0] == 1]
    assert sky.mean(1).tolist() == pytest.approx([1.0, 128 / 255, 0.0], abs=0.02)


def test_more_density_lets_less_light_through(scene):
    seen = [view_dust(*scene, density=d)[1]["green"] for d in (0.2, 1.0, 5.0)]
    assert seen == sorted(seen, reverse=True)


def test_the_same_settings_give_the_same_picture(scene):
    first, second = (view_dust(*scene, **DUST)[0]["dusty"] for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("wrong", [{"density": -1.0}, {"ratio": 0.5}, {"light": 2.0}, {"quality": 0}])
def test_dust_refuses_what_makes_no_sense(wrong):
    with pytest.raises(ValueError, match="wanted"):
        make_dust(**wrong)


def test_drawn_settings_are_settings():
    for seed in range(20):
        make_dust(**draw_settings(seed))


@pytest.mark.parametrize("name", DEPTHS)
def test_guessed_depth_is_depth(name, scene):
    depth = DEPTHS[name](scene[0][None])
    assert depth.shape == (1, 1, 48, 64) and depth.min() >= 0 and depth.max() <= 1


def test_saved_dust_is_taken_back_to_the_last_bit(scene, tmp_path):
    settings = draw_settings(5)
    dusty = view_dust(*scene, **settings)[0]["dusty"]
    paths = [save_dusty(tmp_path, "street", dusty, settings) for _ in range(2)]
    assert [path.name for path in paths[1]] == ["street-2.png", "street-2.json"]
    again = add_dust(scene[0][None], scene[1][None], paths[0][1], generator=0).dusty[0]
    assert torch.equal(again, dusty)
    assert torch.equal(read_dust(paths[0][1]).beta, make_dust(**settings).beta)


def test_what_holds_no_dust_is_said_so(tmp_path):
    (tmp_path / "wrong.json").write_text("[1, 2]")
    with pytest.raises(ValueError, match="wrong.json: expected a JSON file"):
        read_dust(tmp_path / "wrong.json")


def test_dust_explorer_follows_its_controls(scene, tmp_path):
    panel = DustExplorer({"one": scene, "two": read_pair("scene_000002", (48, 64))}, tmp_path)
    dusty, first = panel.pictures["dusty"], panel.pictures["dusty"].value
    shown = [first]
    for name, value in (("density", 6.0), ("ratio", 3.0), ("airlight", "#336699"), ("light", 1.0), ("quality", 20)):
        panel.sliders[name].value = value
        shown.append(dusty.value)
    for name, value in (("source", "flat"), ("scene", "two")):
        panel.choice[name].value = value
        shown.append(dusty.value)
    assert len(set(shown)) == len(shown)
    click(panel, "reset")
    panel.choice["scene"].value, panel.choice["source"].value = "one", "of the scene"
    assert dusty.value == first and panel.settings == DUST
    click(panel, "airlight from real")
    assert {k for k, v in panel.settings.items() if v != DUST[k]} == {"airlight"}
    click(panel, "random")
    assert panel.settings["density"] != DUST["density"]
    click(panel, "save")
    assert "saved one-1.png" in panel.status.value and len(list(tmp_path.glob("one-1.*"))) == 2


def test_a_failing_callback_is_told_in_the_panel(scene, tmp_path):
    def broken(clear):
        raise ZeroDivisionError("no <depth> today")

    panel = DustExplorer({"one": scene}, tmp_path, {"broken": broken})
    panel.choice["source"].value = "broken"
    assert 'role="alert"' in panel.status.value and "no &lt;depth&gt; today" in panel.status.value
    assert "Traceback" in panel.status.value
    panel.choice["source"].value = "flat"
    assert "alert" not in panel.status.value


# Enhancement ------------------------------------------------------------------------------------------------


def test_unknown_method_is_refused(scene, model):
    with pytest.raises(ValueError, match="gray_world"):
        enhance_whole(scene[0], "magic", model)


def test_preview_is_the_full_size_from_afar(model, monkeypatch):
    monkeypatch.setattr(ssdie.workbook.explorers.enhancement, "PREVIEW", 64)
    dusty = read_pair("scene_000001", (96, 128))[0]
    shown = preview(dusty, "ssdie", model, 64)
    whole = enhance_whole(dusty, "ssdie", model, 64)
    small = torch.nn.functional.interpolate(whole[None], (48, 64), mode="area")[0]
    assert shown.shape == (3, 48, 64) and (shown - small).abs().mean() < 0.02


def test_facts_are_those_of_measure(scene, model):
    enhanced = enhance_whole(scene[0], "clahe_lab", model)
    whole = measure(enhanced[None], scene[0][None])
    facts = measure_shown(enhanced, scene[0])
    assert facts == pytest.approx({name: whole[name] for name in facts})


def test_crop_stays_within_the_picture():
    picture = torch.arange(12.0).view(1, 2, 6)
    assert crop(picture, 2, 0.0, 0.0).tolist() == [[[0, 1, 2]]]
    assert crop(picture, 2, 1.0, 1.0).tolist() == [[[9, 10, 11]]]
    assert torch.equal(crop(picture, 1, 0.3, 0.9), picture)


def test_split_view_shows_before_on_the_left_and_after_on_the_right():
    before, after = torch.zeros(3, 4, 300), torch.full((3, 4, 300), 0.5)
    view = split_view(before, after, 0.25)
    assert view[..., :75].max() == 0 and (view[..., 75] == 1).all() and (view[..., 76:] == 0.5).all()
    assert torch.equal(split_view(before, after, 1.0), before)
    assert (split_view(before, after, 0.0)[..., 1:] == 0.5).all()


def test_enhancement_explorer_follows_its_controls(scene, model):
    panel = EnhancementExplorer({"one": scene[0], "two": read_pair("scene_000003", (48, 64))[0]}, model)
    shown, before = [panel.compare.after], panel.compare.before
    steps = [("method", "msrcr"), ("strength", 0.5), ("view", "dark channel"), ("view", "zoom"), ("across", 0.2)]
    for name, value in [*steps, ("zoom", 8.0)]:
        panel.controls[name].value = value
        shown.append(panel.compare.after)
    assert len(set(shown)) == len(shown)
    panel.controls["view"].value, panel.controls["strength"].value = "photo", 0.0
    assert panel.compare.after == panel.compare.before == before
    assert panel.facts["e"] == pytest.approx(0, abs=1e-6) and panel.facts["r"] == pytest.approx(1, abs=1e-6)
    panel.gallery.value = "two"
    assert panel.compare.before != before and panel.status.value.count("alert") == 0


def test_every_method_can_be_chosen(scene, model):
    panel = EnhancementExplorer({"one": scene[0]}, model)
    for method in METHODS:
        panel.controls["method"].value = method
        assert panel.compare.labels == ("dusty", method) and "alert" not in panel.status.value


def test_strength_is_that_of_enhance(scene, model):
    panel = EnhancementExplorer({"one": scene[0]}, model)
    panel.controls["strength"].value = 0.5
    wanted = enhance(scene[0], model, strength=0.5)
    assert (panel.enhanced_whole() - wanted).abs().mean() < 0.01
    assert (panel.enhanced() - wanted).abs().mean() < 0.01


def test_a_double_click_zooms_to_its_place(scene, model):
    panel = EnhancementExplorer({"one": scene[0]}, model)
    panel.compare.focus = [0.7, 0.4]
    values = {name: panel.controls[name].value for name in ("view", "across", "down")}
    assert values == {"view": "zoom", "across": pytest.approx(0.7), "down": pytest.approx(0.4)}
    panel.compare.focus = [1.0, 0.5]  # the right border of what is seen at 4 x
    assert panel.controls["across"].value == pytest.approx(0.7 + 0.5 / 4)


def test_photos_are_prepared_by_every_method(scene, model):
    panel = EnhancementExplorer({"one": scene[0]}, model)
    panel._prepare(panel.known)
    assert {method for method, _ in panel.known} == set(METHODS)
    other = dict(panel.known)
    panel._prepare(other)  # of a photo that is no more on display: nothing is done
    assert other == panel.known


def upload(content: bytes, name: str) -> tuple:
    """What a file chooser holds."""
    about = {"name": name, "type": "image/png", "size": len(content), "last_modified": datetime(2024, 1, 1)}
    return ({**about, "content": memoryview(content)},)


def test_a_photo_of_ones_own_is_shown_and_handed_back_at_its_size(scene, model, monkeypatch):
    panel, handed = EnhancementExplorer({"one": scene[0]}, model), []
    buffer = io.BytesIO()
    Image.fromarray(np.full((300, 700, 3), (200, 120, 40), np.uint8)).save(buffer, "PNG")
    panel.upload.value = upload(buffer.getvalue(), "mine.png")
    assert panel.gallery.names == ["one", "mine.png"] and panel.gallery.value == "mine.png"
    assert Image.open(io.BytesIO(panel.compare.after)).size == (512, 219)
    monkeypatch.setattr(panel.download, "send", lambda content, buffers: handed.append((content, buffers[0])))
    panel.send_whole()
    assert handed[0][0] == {"name": "mine_ssdie.png", "type": "image/png"}
    assert Image.open(io.BytesIO(handed[0][1])).size == (700, 300)


def test_what_is_no_picture_is_said_so_and_the_explorer_goes_on(scene, model):
    panel = EnhancementExplorer({"one": scene[0]}, model)
    before = panel.compare.after
    panel.upload.value = upload(b"only text", "<text>.png")
    assert 'role="alert"' in panel.status.value and "&lt;text&gt;.png: it is no picture" in panel.status.value
    assert panel.compare.after == before and panel.gallery.names == ["one"]
    panel.controls["strength"].value = 0.5
    assert "alert" not in panel.status.value and panel.compare.after != before


# Training ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory, photo_folder):
    """A finished run of four steps, the checkpoint of its second step beside it."""
    folder = tmp_path_factory.mktemp("runs")
    settings = {"batch": 2, "size": 32, "report_every": 1, "save_every": 2, "options": {"width": 8}, "ema": 0.5}
    weights = LossWeights(perceptual=0, style=0, gradient=1)
    config = TrainConfig("supervised", folder / "a", photo_folder, steps=4, weights=weights, **settings)
    for report in train(config):
        if report["step"] == 3:  # the second was saved before this report
            (folder / "b").mkdir()
            (folder / "b" / "checkpoint.pt").write_bytes((folder / "a" / "checkpoint.pt").read_bytes())
            (folder / "b" / "log.csv").write_bytes((folder / "a" / "log.csv").read_bytes())
    return folder


def test_runs_are_listed_newest_first(trained):
    assert {run.name for run in list_runs(trained)} == {"a", "b"}
    (trained / "b" / "log.csv").touch()
    assert list_runs(trained)[0].name == "b"


def test_the_generator_of_a_run_is_loaded_as_far_as_it_is(trained, tmp_path):
    (last, step), (earlier, earlier_step) = load_current(trained / "a"), load_current(trained / "b")
    assert (step, earlier_step) == (0, 2) and not last.training and not earlier.training
    photo = read_pair("scene_000000", (32, 48))[0][None]
    assert not torch.equal(last(photo), earlier(photo))
    assert load_current(tmp_path) == (None, 0)


def test_training_explorer_follows_a_run(trained, scene):
    panel = TrainingExplorer(trained, {"one": scene[0], "two": read_pair("scene_000002", (48, 64))[0]}, trained / "b")
    curves, after = panel.curves.value, panel.compare.after
    assert "step <b>3</b>" in panel.facts.value and "by step 2" in panel.facts.value
    panel.draw()
    assert panel.curves.value is curves and panel.compare.after is after  # nothing new, nothing drawn
    panel.gallery.value = "two"
    assert panel.compare.after != after
    panel.runs.value = trained / "a"
    assert "step <b>4</b>, done" in panel.facts.value and panel.curves.value != curves
    assert len(panel.figure().axes) >= 2


def test_training_explorer_shows_the_photo_itself_until_there_is_a_checkpoint(trained, scene, tmp_path):
    panel = TrainingExplorer(trained, {"one": scene[0]}, trained / "a")
    assert panel.compare.after != panel.compare.before
    panel = TrainingExplorer(tmp_path, {"one": scene[0]}, tmp_path / "new")
    assert panel.compare.after == panel.compare.before != b"" and "at the first checkpoint" in panel.facts.value


def test_training_explorer_looks_again_by_itself(trained, scene, monkeypatch):
    monkeypatch.delenv(panels.STATIC)

    async def watch() -> str:
        panel = TrainingExplorer(trained, {"one": scene[0]}, trained / "b", every=0.01)
        with (trained / "b" / "log.csv").open("a") as log:
            log.write(",".join("9" for _ in panel.rows[0]) + "\n")
        for _ in range(500):
            await asyncio.sleep(0.01)
            if "step <b>9</b>" in panel.facts.value:
                break
        panel.follow.value = False
        await asyncio.wait_for(panel.task, 5)
        return panel.facts.value

    assert "step <b>9</b>" in asyncio.run(watch())


def test_a_folder_without_runs_is_refused(tmp_path, scene):
    with pytest.raises(ValueError, match="holds no run"):
        TrainingExplorer(tmp_path, {"one": scene[0]})


def test_a_small_training_that_fails_says_why(tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(RuntimeError, match="steps"):
        start_small_training(tmp_path / "run", steps="many", wait=True)


# Parts ------------------------------------------------------------------------------------------------------


def test_headless_runs_show_a_figure_and_readers_the_widgets(scene, tmp_path, monkeypatch):
    panel = DustExplorer({"one": scene}, tmp_path)
    assert panel._repr_mimebundle_()["image/png"].startswith(b"\x89PNG")
    monkeypatch.delenv(panels.STATIC)
    assert "application/vnd.jupyter.widget-view+json" in panel._repr_mimebundle_()


def test_mean_colour_tells_the_cast(scene):
    _, a, b = panels.mean_color(scene[0])
    assert np.hypot(a, b) == pytest.approx(color_cast(scene[0][None]).item())


def test_cast_is_drawn_where_it_lies():
    drawn = panels.draw_cast((50.0, 0.0, 0.0), (50.0, 30.0, 999.0), ("<b>", "after"))
    assert 'cx="75.0" cy="75.0" r="4.5"' in drawn and 'cx="108.0" cy="9.0"' in drawn  # too far: at the border
    assert "&lt;b&gt;" in drawn


def test_histogram_has_a_peak_where_the_values_are():
    picture = torch.stack([torch.full((8, 8), v) for v in (0.0, 0.5, 1.0)])
    red, green, blue = (line.split('"')[1].split() for line in panels.draw_histogram(picture).split("<polyline ")[1:])
    peaks = [min(range(64), key=lambda k, line=line: float(line[k].split(",")[1])) for line in (red, green, blue)]
    assert peaks == [0, 31, 63]


def test_encoded_picture_decodes_to_itself():
    decoded = np.asarray(Image.open(io.BytesIO(panels.encode(torch.full((1, 16, 24), 0.25)))))
    assert decoded.shape == (16, 24, 3) and abs(int(decoded[0, 0, 0]) - 64) <= 1
