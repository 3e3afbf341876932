"""The explorers as a reader uses them: JupyterLab in headless Chromium. Pictures of the pages go to runs/browser."""

import pytest

from lab import browse, changed, copy_notebook, drag, faults, look, open_and_run, serve

pytestmark = pytest.mark.browser
NAMES = ("explore_dust", "explore_enhancement", "explore_training")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A page in a browser, and the address of a server with the explorers, which write to a folder of their own."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "notebooks").mkdir()
    for name in NAMES:
        copy_notebook(name, folder / "notebooks", run=str(folder / "run"), steps=40)
    with serve(folder / "notebooks", folder) as address, browse(folder / "chromium") as context:
        yield context.new_page(), address


@pytest.fixture
def notebook(lab, request):
    """The page with the notebook that the test is named after, all cells run."""
    page, address = lab
    open_and_run(page, address, request.param)
    assert faults(page) == []
    return page


def control(page, label: str):
    """A control of ipywidgets by its label."""
    return page.locator(".jupyter-widgets").filter(has=page.locator(f'label:text-is("{label}")')).last


@pytest.mark.parametrize("notebook", ["explore_dust"], indirect=True)
def test_dust(notebook):
    page = notebook
    dusty = page.locator(".widget-image").nth(1)
    control(page, "scene").scroll_into_view_if_needed()
    look(page, "explore_dust")
    before = dusty.get_attribute("src")
    drag(page, control(page, "density"), 0.95)
    dense = changed(page, dusty, before)
    control(page, "noise").locator(".noUi-handle").press("ArrowRight")
    noisy = changed(page, dusty, dense)
    control(page, "depth").locator("select").select_option("by height in the picture")
    by_height = changed(page, dusty, noisy)
    page.get_by_role("button", name="random").click()
    changed(page, dusty, by_height)
    page.get_by_role("button", name="save").click()
    page.get_by_text("saved ").wait_for()
    look(page, "explore_dust_random")
    assert faults(page) == []
