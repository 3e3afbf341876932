"""The dust explorer: its functions without widgets, then the widgets."""

import pytest
import torch

from ssdie.data.sample import read_pair
from ssdie.synthesis.dust import add_dust
from ssdie.synthesis.recipes import read_dust
from ssdie.workbook.explorers.dust import DustExplorer
from ssdie.workbook.explorers.dust_settings import (
    DEFAULT_SETTINGS,
    DEPTHS,
    draw_settings,
    make_dust,
    save_dusty,
    view_dust,
)


def click(panel, description: str) -> None:
    """Press the button with that label."""
    found = [w for w in walk(panel) if getattr(w, "description", "") == description]
    assert len(found) == 1, description
    found[0].click()


def walk(widget):
    """Yield a widget and all of its descendants."""
    yield widget
    for child in getattr(widget, "children", ()):
        yield from walk(child)


def test_density_is_the_extinction_of_green_and_ratio_that_of_blue_to_red():
    beta = make_dust(density=3.0, ratio=2.25).beta[0]
    assert beta.tolist() == pytest.approx([2.0, 3.0, 4.5])


def test_no_dust_leaves_the_image_unchanged(scene):
    pictures, means = view_dust(*scene, density=0.0, light=0.0, noise=0.0, quality=101)
    assert torch.allclose(pictures["dusty"], pictures["clear"], atol=1e-5)
    assert list(means.values()) == pytest.approx([1, 1, 1])


def test_far_pixels_of_dense_dust_take_the_colour_of_the_airlight(scene):
    pictures, _ = view_dust(*scene, density=7.9, airlight="#ff8000", noise=0.0, quality=101)
    sky = pictures["dusty"][:, scene[1][0] == 1]
    assert sky.mean(1).tolist() == pytest.approx([1.0, 128 / 255, 0.0], abs=0.02)


def test_transmission_falls_with_density(scene):
    transmission = [view_dust(*scene, density=d)[1]["green"] for d in (0.2, 1.0, 5.0)]
    assert transmission == sorted(transmission, reverse=True)


def test_equal_settings_give_equal_images(scene):
    first, second = (view_dust(*scene, **DEFAULT_SETTINGS)[0]["dusty"] for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("wrong", [{"density": -1.0}, {"ratio": 0.5}, {"light": 2.0}, {"quality": 0}])
def test_settings_outside_their_range_are_refused(wrong):
    with pytest.raises(ValueError, match="dust: expected .* got"):
        make_dust(**wrong)


def test_drawn_settings_are_valid():
    for seed in range(20):
        make_dust(**draw_settings(seed))


@pytest.mark.parametrize("name", DEPTHS)
def test_estimated_depth_lies_in_the_unit_interval(name, scene):
    depth = DEPTHS[name](scene[0][None])
    assert depth.shape == (1, 1, 48, 64) and depth.min() >= 0 and depth.max() <= 1


def test_saved_dust_reproduces_the_image_exactly(scene, tmp_path):
    settings = draw_settings(5)
    dusty = view_dust(*scene, **settings)[0]["dusty"]
    paths = [save_dusty(tmp_path, "street", dusty, settings) for _ in range(2)]
    assert [path.name for path in paths[1]] == ["street-2.png", "street-2.json"]
    again = add_dust(scene[0][None], scene[1][None], paths[0][1], generator=0).dusty[0]
    assert torch.equal(again, dusty)
    assert torch.equal(read_dust(paths[0][1]).beta, make_dust(**settings).beta)


def test_a_file_without_dust_parameters_is_refused(tmp_path):
    (tmp_path / "wrong.json").write_text("[1, 2]")
    with pytest.raises(ValueError, match="wrong.json: expected a JSON file"):
        read_dust(tmp_path / "wrong.json")


def test_dust_explorer_follows_its_controls(scene, tmp_path):
    panel = DustExplorer({"one": scene, "two": read_pair("scene_000002", (48, 64))}, tmp_path)
    dusty, first = panel.pictures["dusty"], panel.pictures["dusty"].value
    images = [first]
    for name, value in (("density", 6.0), ("ratio", 3.0), ("airlight", "#336699"), ("light", 1.0), ("quality", 20)):
        panel.sliders[name].value = value
        images.append(dusty.value)
    for name, value in (("source", "flat"), ("scene", "two")):
        panel.choice[name].value = value
        images.append(dusty.value)
    assert len(set(images)) == len(images)
    click(panel, "reset")
    panel.choice["scene"].value, panel.choice["source"].value = "one", "of the scene"
    assert dusty.value == first and panel.settings == DEFAULT_SETTINGS
    click(panel, "airlight from real")
    assert {k for k, v in panel.settings.items() if v != DEFAULT_SETTINGS[k]} == {"airlight"}
    click(panel, "random")
    assert panel.settings["density"] != DEFAULT_SETTINGS["density"]
    click(panel, "save")
    assert "saved one-1.png" in panel.status.value and len(list(tmp_path.glob("one-1.*"))) == 2


def test_an_exception_in_a_callback_is_shown_in_the_panel(scene, tmp_path):
    def broken(clear):
        raise ZeroDivisionError("no <depth> here")

    panel = DustExplorer({"one": scene}, tmp_path, {"broken": broken})
    panel.choice["source"].value = "broken"
    assert 'role="alert"' in panel.status.value and "no &lt;depth&gt; here" in panel.status.value
    assert "Traceback" in panel.status.value
    panel.choice["source"].value = "flat"
    assert "alert" not in panel.status.value


def test_one_click_opens_the_dusty_image_in_the_enhancement_explorer(scene, tmp_path):
    panel = DustExplorer({"one": scene}, tmp_path)
    click(panel, "enhance")
    assert panel.below.children == (panel.enhancement,) and panel.enhancement.name == "one-1.png"
    assert torch.equal(panel.enhancement.dusty, panel.dusty())
    panel.sliders["density"].value = 6.0
    click(panel, "enhance")
    assert panel.enhancement.gallery.names == ["one-1.png", "one-2.png"]
    assert torch.equal(panel.enhancement.dusty, panel.dusty()) and "alert" not in panel.status.value
