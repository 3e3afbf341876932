"""The explorers in JupyterLab, operated in headless Chromium. Screenshots are written to runs/browser."""

import json

import numpy as np
import pytest
from lab import (
    browse,
    copy_notebook,
    drag,
    list_errors,
    measure_response,
    open_and_run,
    record_time,
    serve,
    take_screenshot,
    wait_for_change,
)
from PIL import Image

from ssdie.data.sample import sample_pair
from ssdie.ops.depth_maps import read_depth, write_depth
from ssdie.ops.images import read_image, write_image
from ssdie.synthesis.dust import add_dust

pytestmark = pytest.mark.external
NAMES = ("explore_dust", "explore_enhancement", "explore_training")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Photos of 512 x 342 pixels in the layout of the research data."""
    root = tmp_path_factory.mktemp("data")
    for split, first in (("train", 0), ("val", 50)):
        for n in range(first, first + 2):
            clear, depth = sample_pair(n, (342, 512))
            write_image(root / "clear" / split / f"scene{n}.png", clear)
            write_depth(root / "depth" / split / f"scene{n}.png", depth)
            write_image(root / "dusty" / split / f"dusty{n}.png", add_dust(clear[None], depth[None], generator=n).dusty)
    return root


@pytest.fixture(scope="module")
def lab(data, tmp_path_factory):
    """A browser page, the address of a Jupyter server with the explorers, and the folder to which they write."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "notebooks").mkdir()
    for name in NAMES:
        copy_notebook(name, folder / "notebooks", run=str(folder / "run"), steps=40)
    with serve(folder / "notebooks", folder, data) as address, browse(folder / "chromium") as context:
        yield context.new_page(), address, folder / "run"


@pytest.fixture
def notebook(lab, request):
    """A page with a notebook whose cells have all run, and the folder to which it writes."""
    page, address, run = lab
    open_and_run(page, address, request.param)
    assert list_errors(page) == []
    return page, run / request.param


def control(page, label: str):
    """Locate a control of ipywidgets by its label."""
    return page.locator(f'label:text-is("{label}")').locator("..")


def handle(page, label: str):
    """Locate the handle of a slider."""
    return control(page, label).locator(".noUi-handle")


def button(page, label: str):
    """Locate a button of an explorer by its text."""
    return page.locator(".widget-button").filter(has_text=label)


def choose(page, label: str, option: str) -> None:
    """Select an option of a drop-down list by its label."""
    control(page, label).locator("select").select_option(option)


def scroll_to_explorer(page) -> None:
    """Scroll to the top of the explorer."""
    page.locator(".jp-OutputArea-output .widget-vbox").first.evaluate("panel => panel.scrollIntoView()")


def move_divider(page, position: float) -> None:
    """Drag the divider with the mouse to a position, a fraction of the width."""
    box, line = (page.locator(f".ssdie-compare {part}").bounding_box() for part in (".before", ".line"))
    middle = box["y"] + box["height"] / 2
    page.mouse.move(line["x"] + 1, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + position * box["width"], middle, steps=5)
    page.mouse.up()


def divider(page) -> float:
    """Position of the divider as a fraction of the width."""
    return float(page.locator(".ssdie-compare .line").evaluate("line => line.style.left").rstrip("%")) / 100


@pytest.mark.parametrize("notebook", ["explore_dust"], indirect=True)
def test_dust(notebook, data):
    page, folder = notebook
    dusty = page.locator(".widget-image").nth(1)
    scroll_to_explorer(page)
    take_screenshot(page, "explore_dust")
    sources = [dusty.get_attribute("src")]
    drag(page, control(page, "density"), 0.95)
    sources.append(wait_for_change(page, dusty, sources[-1]))
    handle(page, "noise").press("ArrowRight")
    sources.append(wait_for_change(page, dusty, sources[-1]))
    choose(page, "depth", "by height in the image")
    sources.append(wait_for_change(page, dusty, sources[-1]))
    choose(page, "depth", "of the scene")
    sources.append(wait_for_change(page, dusty, sources[-1]))
    button(page, "random").click()
    wait_for_change(page, dusty, sources[-1])
    button(page, "save").click()
    page.get_by_role("status").get_by_text("saved").wait_for()
    take_screenshot(page, "explore_dust_random")
    record_time("explore_dust, density", measure_response(page, handle(page, "density"), dusty))
    assert list_errors(page) == []

    button(page, "enhance").click()
    page.locator(".ssdie-compare .after").wait_for()
    page.get_by_role("status").get_by_text("in the enhancement explorer below").wait_for()
    page.locator(".ssdie-compare").scroll_into_view_if_needed()
    take_screenshot(page, "explore_dust_enhance")
    assert list_errors(page) == []

    (saved,) = (path for path in folder.glob("*.json") if path.name != "manifest.json")
    name = json.loads(saved.read_text())["scene"]
    clear, depth = read_image(data / "clear/val" / f"{name}.png"), read_depth(data / "depth/val" / f"{name}.png")
    again = add_dust(clear[None], depth[None], saved, generator=0).dusty[0]
    assert (again - read_image(saved.with_suffix(".png"))).abs().mean() < 1 / 255


@pytest.mark.parametrize("notebook", ["explore_enhancement"], indirect=True)
def test_enhancement(notebook, tmp_path):
    page, _ = notebook
    after = page.locator(".ssdie-compare .after")
    scroll_to_explorer(page)
    take_screenshot(page, "explore_enhancement")
    sources = [after.get_attribute("src")]

    move_divider(page, 0.2)
    assert divider(page) == pytest.approx(0.2, abs=0.01)
    page.locator(".ssdie-compare input").press("ArrowRight")
    assert divider(page) == pytest.approx(0.205, abs=0.01) and after.get_attribute("src") == sources[0]

    handle(page, "strength").press("ArrowLeft")
    sources.append(wait_for_change(page, after, sources[-1]))
    choose(page, "method", "MSRCR")
    sources.append(wait_for_change(page, after, sources[-1]))
    choose(page, "method", "SSDIE-Net")
    sources.append(wait_for_change(page, after, sources[-1]))
    page.locator(".ssdie-gallery button").first.click()
    sources.append(wait_for_change(page, after, sources[-1]))
    page.get_by_role("button", name="dark channel").click()
    sources.append(wait_for_change(page, after, sources[-1]))
    take_screenshot(page, "explore_enhancement_dark_channel")
    page.get_by_role("button", name="photo", exact=True).click()
    sources.append(wait_for_change(page, after, sources[-1]))
    after_box = after.bounding_box()
    page.mouse.dblclick(after_box["x"] + 0.7 * after_box["width"], after_box["y"] + 0.6 * after_box["height"])
    sources.append(wait_for_change(page, after, sources[-1]))
    assert divider(page) == pytest.approx(0.205, abs=0.01)  # the double click has not moved the divider
    take_screenshot(page, "explore_enhancement_zoom")
    page.get_by_role("button", name="photo", exact=True).click()
    wait_for_change(page, after, sources[-1])
    record_time("explore_enhancement, strength", measure_response(page, handle(page, "strength"), after))
    record_time("explore_enhancement, working size", measure_response(page, handle(page, "working size"), after))
    assert list_errors(page) == []


@pytest.mark.parametrize("notebook", ["explore_enhancement"], indirect=True)
def test_uploaded_photos(notebook, tmp_path):
    page, _ = notebook
    after, text, mine = page.locator(".ssdie-compare .after"), tmp_path / "notes.png", tmp_path / "mine.jpg"
    text.write_text("no picture")
    noise = np.random.default_rng(0).integers(0, 60, (900, 1300, 3))
    Image.fromarray((noise + (140, 90, 30)).astype(np.uint8)).save(mine)

    def upload(path) -> None:
        with page.expect_file_chooser() as chooser:
            page.locator(".widget-upload").click()
        chooser.value.set_files(path)

    before, names = after.get_attribute("src"), page.locator(".ssdie-gallery button")
    known = names.count()
    upload(text)
    page.get_by_role("alert").get_by_text("notes.png cannot be read").wait_for()
    scroll_to_explorer(page)
    take_screenshot(page, "explore_enhancement_no_picture")
    assert after.get_attribute("src") == before and names.count() == known
    upload(mine)
    wait_for_change(page, after, before)
    scroll_to_explorer(page)
    assert page.get_by_role("alert").count() == 0 and names.count() == known + 1
    with page.expect_download() as download:
        page.get_by_role("button", name="download at full size").click()
    assert download.value.suggested_filename == "mine_ssdie.jpg"
    assert Image.open(download.value.path()).size == (1300, 900)
    take_screenshot(page, "explore_enhancement_own_photo")
    assert list_errors(page) == []


@pytest.mark.parametrize("notebook", ["explore_training"], indirect=True)
def test_training(notebook):
    page, folder = notebook
    after = page.locator(".ssdie-compare .after")
    scroll_to_explorer(page)
    before = after.get_attribute("src")
    page.get_by_text("learning rate").first.wait_for()  # a report
    scroll_to_explorer(page)
    take_screenshot(page, "explore_training_begin")
    page.get_by_text("step 40, done").wait_for()  # without any action in the page
    assert after.get_attribute("src") != before and (folder / "small" / "generator.safetensors").is_file()
    page.locator(".ssdie-gallery button").nth(1).click()
    wait_for_change(page, after, after.get_attribute("src"))
    scroll_to_explorer(page)
    take_screenshot(page, "explore_training")
    assert list_errors(page) == []
