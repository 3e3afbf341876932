"""The explorers as a reader uses them: JupyterLab in headless Chromium. Pictures of the pages go to runs/browser."""

import json

import numpy as np
import pytest
from lab import browse, changed, copy_notebook, drag, faults, look, note_time, open_and_run, serve, time_answers
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
    """A page in a browser, the address of a server with the explorers, and the folder to which they write."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "notebooks").mkdir()
    for name in NAMES:
        copy_notebook(name, folder / "notebooks", run=str(folder / "run"), steps=40)
    with serve(folder / "notebooks", folder, data) as address, browse(folder / "chromium") as context:
        yield context.new_page(), address, folder / "run"


@pytest.fixture
def notebook(lab, request):
    """The page with a notebook, all of its cells run, and the folder to which it writes."""
    page, address, run = lab
    open_and_run(page, address, request.param)
    assert faults(page) == []
    return page, run / request.param


def control(page, label: str):
    """A control of ipywidgets by its label."""
    return page.locator(f'label:text-is("{label}")').locator("..")


def handle(page, label: str):
    """What is moved of a slider."""
    return control(page, label).locator(".noUi-handle")


def button(page, label: str):
    """A button of an explorer."""
    return page.locator(".widget-button").filter(has_text=label)


def choose(page, label: str, option: str) -> None:
    """Choose from a list of an explorer."""
    control(page, label).locator("select").select_option(option)


def show(page) -> None:
    """Scroll to the explorer."""
    page.locator(".jp-OutputArea-output .widget-vbox").first.evaluate("panel => panel.scrollIntoView()")


def move_divider(page, share: float) -> None:
    """Drag the divider by the mouse from where it is to a share of the width."""
    box, line = (page.locator(f".ssdie-compare {part}").bounding_box() for part in (".before", ".line"))
    middle = box["y"] + box["height"] / 2
    page.mouse.move(line["x"] + 1, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + share * box["width"], middle, steps=5)
    page.mouse.up()


def divider(page) -> float:
    """Where the divider is drawn, as a share of the width."""
    return float(page.locator(".ssdie-compare .line").evaluate("line => line.style.left").rstrip("%")) / 100


@pytest.mark.parametrize("notebook", ["explore_dust"], indirect=True)
def test_dust(notebook, data):
    page, folder = notebook
    dusty = page.locator(".widget-image").nth(1)
    show(page)
    look(page, "explore_dust")
    shown = [dusty.get_attribute("src")]
    drag(page, control(page, "density"), 0.95)
    shown.append(changed(page, dusty, shown[-1]))
    handle(page, "noise").press("ArrowRight")
    shown.append(changed(page, dusty, shown[-1]))
    choose(page, "depth", "by height in the picture")
    shown.append(changed(page, dusty, shown[-1]))
    choose(page, "depth", "of the scene")
    shown.append(changed(page, dusty, shown[-1]))
    button(page, "random").click()
    changed(page, dusty, shown[-1])
    button(page, "save").click()
    page.get_by_role("status").get_by_text("saved").wait_for()
    look(page, "explore_dust_random")
    note_time("explore_dust, density", time_answers(page, handle(page, "density"), dusty))
    assert faults(page) == []

    (saved,) = (path for path in folder.glob("*.json") if path.name != "manifest.json")
    name = json.loads(saved.read_text())["scene"]
    clear, depth = read_image(data / "clear/val" / f"{name}.png"), read_depth(data / "depth/val" / f"{name}.png")
    again = add_dust(clear[None], depth[None], saved, generator=0).dusty[0]
    assert (again - read_image(saved.with_suffix(".png"))).abs().mean() < 1 / 255


@pytest.mark.parametrize("notebook", ["explore_enhancement"], indirect=True)
def test_enhancement(notebook, tmp_path):
    page, _ = notebook
    after = page.locator(".ssdie-compare .after")
    show(page)
    look(page, "explore_enhancement")
    shown = [after.get_attribute("src")]

    move_divider(page, 0.2)
    assert divider(page) == pytest.approx(0.2, abs=0.01)
    page.locator(".ssdie-compare input").press("ArrowRight")
    assert divider(page) == pytest.approx(0.205, abs=0.01) and after.get_attribute("src") == shown[0]

    handle(page, "strength").press("ArrowLeft")
    shown.append(changed(page, after, shown[-1]))
    choose(page, "method", "msrcr")
    shown.append(changed(page, after, shown[-1]))
    choose(page, "method", "ssdie")
    shown.append(changed(page, after, shown[-1]))
    page.locator(".ssdie-gallery button").first.click()
    shown.append(changed(page, after, shown[-1]))
    page.get_by_role("button", name="dark channel").click()
    shown.append(changed(page, after, shown[-1]))
    look(page, "explore_enhancement_dark_channel")
    page.get_by_role("button", name="photo", exact=True).click()
    shown.append(changed(page, after, shown[-1]))
    after_box = after.bounding_box()
    page.mouse.dblclick(after_box["x"] + 0.7 * after_box["width"], after_box["y"] + 0.6 * after_box["height"])
    shown.append(changed(page, after, shown[-1]))
    assert divider(page) == pytest.approx(0.205, abs=0.01)  # the double click has moved nothing
    look(page, "explore_enhancement_zoom")
    page.get_by_role("button", name="photo", exact=True).click()
    changed(page, after, shown[-1])
    note_time("explore_enhancement, strength", time_answers(page, handle(page, "strength"), after))
    note_time("explore_enhancement, working size", time_answers(page, handle(page, "working size"), after))
    assert faults(page) == []


@pytest.mark.parametrize("notebook", ["explore_enhancement"], indirect=True)
def test_photos_of_ones_own(notebook, tmp_path):
    page, _ = notebook
    after, text, mine = page.locator(".ssdie-compare .after"), tmp_path / "notes.png", tmp_path / "mine.jpg"
    text.write_text("only words")
    noise = np.random.default_rng(0).integers(0, 60, (900, 1300, 3))
    Image.fromarray((noise + (140, 90, 30)).astype(np.uint8)).save(mine)

    def upload(path) -> None:
        with page.expect_file_chooser() as chooser:
            page.locator(".widget-upload").click()
        chooser.value.set_files(path)

    before, names = after.get_attribute("src"), page.locator(".ssdie-gallery button")
    known = names.count()
    upload(text)
    page.get_by_role("alert").get_by_text("notes.png: it is no picture").wait_for()
    show(page)
    look(page, "explore_enhancement_no_picture")
    assert after.get_attribute("src") == before and names.count() == known
    upload(mine)
    changed(page, after, before)
    show(page)
    assert page.get_by_role("alert").count() == 0 and names.count() == known + 1
    with page.expect_download() as download:
        page.get_by_role("button", name="download at full size").click()
    assert download.value.suggested_filename == "mine_ssdie.jpg"
    assert Image.open(download.value.path()).size == (1300, 900)
    look(page, "explore_enhancement_own_photo")
    assert faults(page) == []


@pytest.mark.parametrize("notebook", ["explore_training"], indirect=True)
def test_training(notebook):
    page, folder = notebook
    after = page.locator(".ssdie-compare .after")
    show(page)
    before = after.get_attribute("src")
    page.get_by_text("learning rate").first.wait_for()  # a report
    show(page)
    look(page, "explore_training_begin")
    page.get_by_text("step 40, done").wait_for()  # while the reader does nothing
    assert after.get_attribute("src") != before and (folder / "small" / "generator.safetensors").is_file()
    page.locator(".ssdie-gallery button").nth(1).click()
    changed(page, after, after.get_attribute("src"))
    show(page)
    look(page, "explore_training")
    assert faults(page) == []
