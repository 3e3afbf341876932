"""The explorers: their functions without widgets, then the widgets as a user moves them."""

import io
from datetime import datetime

import numpy as np
import pytest
import torch
from PIL import Image

from ssdie.explore import (
    DUST,
    connect,
    draw_settings,
    encode,
    explore_dust,
    explore_enhancement,
    make_dust,
    split_view,
    tile,
    view_dust,
    view_enhancement,
)
from ssdie.metrics import measure
from ssdie.networks import build_generator
from ssdie.scenes import render_scene


@pytest.fixture(scope="module")
def scene():
    return render_scene(1, (48, 64))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_generator("msff", width=8, head="scattering").eval()


def find(panel, description: str):
    """The control with that label."""
    found = [w for w in walk(panel) if getattr(w, "description", "") == description]
    assert len(found) == 1, description
    return found[0]


def walk(widget):
    """A widget and all in it."""
    yield widget
    for child in getattr(widget, "children", ()):
        yield from walk(child)


def shown(panel) -> bytes:
    """The picture on display."""
    return next(w for w in walk(panel) if type(w).__name__ == "Image").value


def said(panel) -> str:
    """The line below it."""
    return next(w for w in walk(panel) if type(w).__name__ == "HTML").value


# Dust -------------------------------------------------------------------------------------------------------


def test_dust_orders_the_channels_and_keeps_green():
    beta = make_dust(density=3.0, ratio=2.25).beta[0]
    assert beta.tolist() == pytest.approx([2.0, 3.0, 4.5])


def test_no_dust_gives_the_clear_picture_back(scene):
    pictures, facts = view_dust(*scene, density=0.0, light=0.0, noise=0.0, quality=101)
    assert torch.allclose(pictures["dusty"], pictures["clear"], atol=1e-5)
    assert facts["mean transmission"] == pytest.approx(1)


def test_far_pixels_of_dense_dust_take_the_colour_of_the_airlight(scene):
    pictures, _ = view_dust(*scene, density=7.9, airlight="#ff8000", noise=0.0, quality=101)
    sky = pictures["dusty"][:, scene[1][0] == 1]
    assert sky.mean(1).tolist() == pytest.approx([1.0, 128 / 255, 0.0], abs=0.02)


def test_more_density_lets_less_light_through(scene):
    seen = [view_dust(*scene, density=d)[1]["mean transmission"] for d in (0.2, 1.0, 5.0)]
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


def test_dust_explorer_follows_its_sliders(scene):
    panel = explore_dust({"one": scene, "two": render_scene(2, (48, 64))})
    before = shown(panel)
    find(panel, "density").value = 6.0
    dense = shown(panel)
    find(panel, "scene").value = "two"
    assert len({before, dense, shown(panel)}) == 3
    find(panel, "reset").click()
    find(panel, "scene").value = "one"
    assert shown(panel) == before
    find(panel, "draw as real").click()
    assert shown(panel) != before and "transmission" in said(panel)


# Enhancement ------------------------------------------------------------------------------------------------


def test_strength_zero_gives_the_photo_back(scene, model):
    for method in ("ssdie", "gray_world"):
        enhanced, facts = view_enhancement(scene[0], method, model, strength=0.0)
        assert torch.allclose(enhanced, scene[0], atol=0.02), method
        assert facts["e"] == pytest.approx(0, abs=0.1) and facts["r"] == pytest.approx(1, abs=0.1)


def test_facts_are_those_of_measure(scene, model):
    enhanced, facts = view_enhancement(scene[0], "clahe_lab", model)
    whole = measure(enhanced[None], scene[0][None])
    assert facts == pytest.approx({name: whole[name] for name in facts})


def test_unknown_method_is_refused(scene):
    with pytest.raises(ValueError, match="gray_world"):
        view_enhancement(scene[0], "magic")


def test_split_view_shows_before_on_the_left_and_after_on_the_right():
    before, after = torch.zeros(3, 4, 300), torch.full((3, 4, 300), 0.5)
    view = split_view(before, after, 0.25)
    assert view[..., :75].max() == 0 and (view[..., 75] == 1).all() and (view[..., 76:] == 0.5).all()
    assert torch.equal(split_view(before, after, 1.0), before)
    assert (split_view(before, after, 0.0)[..., 1:] == 0.5).all()


def test_enhancement_explorer_follows_its_controls(scene, model):
    panel = explore_enhancement({"one": scene[0]}, model)
    pictures = [shown(panel)]
    for label, value in (("method", "msrcr"), ("strength", 0.5), ("divider", 0.1)):
        find(panel, label).value = value
        pictures.append(shown(panel))
    assert len(set(pictures)) == 4


def upload(content: bytes, name: str) -> tuple:
    """What a file chooser holds."""
    return (
        {
            "name": name,
            "type": "image/png",
            "size": len(content),
            "content": memoryview(content),
            "last_modified": datetime(2024, 1, 1),
        },
    )


def test_a_photo_of_ones_own_is_shown(scene, model):
    panel = explore_enhancement({"one": scene[0]}, model)
    buffer = io.BytesIO()
    Image.fromarray(np.full((30, 50, 3), (200, 120, 40), np.uint8)).save(buffer, "PNG")
    find(panel, "your photo").value = upload(buffer.getvalue(), "mine.png")
    assert Image.open(io.BytesIO(shown(panel))).size == (50, 30)


def test_what_is_no_picture_is_said_so_and_the_explorer_goes_on(scene, model):
    panel = explore_enhancement({"one": scene[0]}, model)
    before = shown(panel)
    find(panel, "your photo").value = upload(b"only text", "text.png")
    assert "UnidentifiedImageError" in said(panel) and shown(panel) == before
    find(panel, "your photo").value = ()
    assert "cast" in said(panel)


# Parts ------------------------------------------------------------------------------------------------------


def test_the_first_view_raises_instead_of_hiding_its_error():
    def broken():
        raise RuntimeError("at once")

    with pytest.raises(RuntimeError, match="at once"):
        connect(broken, {})


def test_tile_keeps_the_order():
    pictures = [torch.full((3, 2, 2), v) for v in (0.1, 0.2, 0.3)] + [torch.full((1, 2, 2), 0.6)]
    assert tile(pictures)[0, ::2, ::2].flatten().tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_encoded_picture_decodes_to_itself():
    picture = torch.full((3, 16, 24), 0.25)
    decoded = np.asarray(Image.open(io.BytesIO(encode(picture))))
    assert decoded.shape == (16, 24, 3) and abs(int(decoded[0, 0, 0]) - 64) <= 1
