"""The web page in use: invalid files, keyboard, zoom, a phone, offline, other origins, accessibility."""

import io
import urllib.request

import numpy as np
import pytest
from app import AXE, choose, clear, dusty, entries, save, select, serve, visit
from lab import take_screenshot
from PIL import Image

from ssdie.cli import page_server

pytestmark = pytest.mark.external
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}
PHONE["user_agent"] = "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36"


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "dunes.jpg"
    Image.fromarray(dusty(0, 900, 600)).save(path, quality=90)
    return path


@pytest.fixture
def fresh(page):
    yield page
    clear(page)


def stage(page) -> np.ndarray:
    """Displayed pixels of the stage, (H, W, 3) RGB."""
    with Image.open(io.BytesIO(page.locator("#canvas").screenshot())) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def message(page) -> str:
    return page.locator("#message-text").inner_text()


def test_files_that_are_no_photos_are_refused_with_a_sentence_and_the_others_are_repaired(fresh, photo, tmp_path):
    whole = photo.read_bytes()
    contents = {
        "notes.jpg": b"only words\n" * 20,
        "empty.jpg": b"",
        "half.jpg": whole[: len(whole) // 2],
        "head.jpg": whole[:300],
        "storm.mp4": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(100),
        "phone.heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100),
    }
    paths = [tmp_path / name for name in contents]
    for path in paths:
        path.write_bytes(contents[path.name])
    choose(fresh, *paths, photo)
    states = [entry.get_attribute("data-state") for entry in entries(fresh).all()]
    assert states == ["refused"] * 6 + ["done"]
    messages = []
    for number in range(6):
        select(fresh, number)
        messages.append(message(fresh))
        assert fresh.locator("#save").is_disabled()
    assert len(set(messages)) == 6 and all(len(sentence) > 20 for sentence in messages)
    assert "ssdie enhance storm.mp4" in messages[4] and "ssdie enhance phone.heic" in messages[5]
    take_screenshot(fresh, "app_refused")
    select(fresh, 6)
    fresh.locator("#save:not([disabled])").wait_for()


def test_a_jpeg_that_lacks_only_its_end_marker_is_repaired(fresh, photo, tmp_path):
    path = tmp_path / "end.jpg"
    path.write_bytes(photo.read_bytes()[:-2])
    choose(fresh, path)
    assert entries(fresh).first.get_attribute("data-state") == "done"
    with Image.open(save(fresh)) as copy:
        assert copy.size == (900, 600)


def test_the_divider_moves_by_keyboard_and_pointer(fresh, photo):
    choose(fresh, photo)
    divider = fresh.locator("#divider")
    with Image.open(photo) as before:
        original = np.asarray(before).astype(int).mean(axis=(0, 1))
    divider.press("End")
    fresh.wait_for_function("() => document.getElementById('divider').ariaValueNow === '100'")
    inside = np.s_[100:-100, 300:-300]  # of the stage, without controls
    all_before = stage(fresh)
    divider.press("Home")
    fresh.wait_for_function("() => document.getElementById('divider').ariaValueNow === '0'")
    all_after = stage(fresh)
    assert np.abs(all_before[inside] - all_after[inside]).mean() > 10
    assert np.abs(all_before[inside].mean(axis=(0, 1)) - original).max() < 25
    for _ in range(3):
        divider.press("ArrowRight")
    divider.press("Shift+ArrowRight")
    fresh.wait_for_function("() => document.getElementById('divider').ariaValueNow === '13'")
    box, handle = (fresh.locator(name).bounding_box() for name in ("#stage", "#divider"))
    fresh.mouse.move(handle["x"] + handle["width"] / 2, box["y"] + 300)
    fresh.mouse.down()
    fresh.mouse.move(box["x"] + box["width"] / 2, box["y"] + 300, steps=4)
    fresh.mouse.up()
    fresh.wait_for_function("() => Math.abs(Number(document.getElementById('divider').ariaValueNow) - 50) <= 1")
    take_screenshot(fresh, "app_desktop")


def test_zoom_to_100_percent_pan_and_fit(fresh, photo):
    choose(fresh, photo)
    fresh.locator("#divider").press("End")
    fresh.locator("#zoom-full").click()
    fresh.wait_for_function("() => document.getElementById('zoom-full').ariaPressed === 'true'")
    displayed = stage(fresh)
    pixels = np.asarray(Image.open(photo)).astype(int)
    height, width = displayed.shape[:2]
    top, left = (height - 600) // 2, (width - 900) // 2  # the photo is smaller than the stage: centered
    inner = np.s_[100:500, 200:700]
    assert np.abs(displayed[max(0, top) :, left:][:600, :900][inner] - pixels[max(0, -top) :][inner]).mean() < 3
    for _ in range(4):
        fresh.locator("#zoom-in").click()
    fresh.wait_for_function("() => document.getElementById('zoom-full').ariaPressed === 'false'")
    zoomed = stage(fresh)
    fresh.locator("#canvas").press("ArrowRight")
    fresh.wait_for_timeout(300)
    assert np.abs(stage(fresh) - zoomed).mean() > 1
    fresh.locator("#canvas").press("0")
    fresh.wait_for_function("() => document.getElementById('zoom-fit').ariaPressed === 'true'")


def test_photos_are_selected_and_removed_by_keyboard(fresh, photo, tmp_path):
    other = tmp_path / "rocks.png"
    Image.fromarray(dusty(4, 200, 300)).save(other)
    choose(fresh, photo, other)
    take_screenshot(fresh, "app_queue")
    first = entries(fresh).first.locator(".thumb")
    first.focus()
    fresh.keyboard.press("ArrowRight")
    fresh.keyboard.press("Enter")
    assert fresh.locator("#name").inner_text() == "rocks.png"
    fresh.keyboard.press("Delete")
    assert entries(fresh).count() == 1 and fresh.locator("#name").inner_text() == "dunes.jpg"
    assert fresh.locator("#save-all").is_hidden()


@pytest.mark.parametrize("dust, strength", [(0.0, "0"), (0.15, "50")])
def test_a_network_that_scores_dust_sets_the_strength(chromium, photo, tmp_path, monkeypatch, dust, strength):
    onnx = pytest.importorskip("onnx")
    network = onnx.load(page_server.NETWORK)
    del network.graph.output[1:]
    for node in network.graph.node:
        node.output[:] = [f"old {name}" if name == "dust" else name for name in node.output]
    score = onnx.helper.make_tensor("score", onnx.TensorProto.FLOAT, [1], [dust])
    network.graph.node.append(onnx.helper.make_node("Constant", [], ["dust"], value=score))
    network.graph.output.append(onnx.helper.make_tensor_value_info("dust", onnx.TensorProto.FLOAT, [1]))
    onnx.save(network, tmp_path / "msff.onnx")
    monkeypatch.setattr(page_server, "NETWORK", tmp_path / "msff.onnx")
    with serve() as address, visit(chromium, address) as page:
        choose(page, photo)
        assert page.locator("#strength").input_value() == strength
        status = page.locator("#status").inner_text()
        assert ("nothing changed" in status) == (dust == 0), status
        page.locator("#strength").press("ArrowLeft" if dust else "ArrowRight")
        automatic = page.locator("#automatic")
        assert automatic.get_attribute("aria-pressed") == "false"
        automatic.click()
        assert page.locator("#strength").input_value() == strength


def test_a_phone_refuses_50_megapixels_and_repairs_12(address, chromium, photo, tmp_path):
    large = tmp_path / "large.png"
    Image.new("L", (8192, 6144), 120).save(large)
    with visit(chromium, address, **PHONE) as page:
        take_screenshot(page, "app_phone_welcome")
        choose(page, large)
        assert entries(page).first.get_attribute("data-state") == "refused"
        assert "8192 x 6144 pixels (50 megapixels)" in message(page)
        choose(page, photo)
        page.locator("#save:not([disabled])").wait_for()
        take_screenshot(page, "app_phone")
        assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_the_page_works_without_its_server_once_loaded(chromium, photo):
    with serve() as address:
        context = visit(chromium, address)
        page = context.__enter__()
        page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        with pytest.raises(OSError):  # no other file is served
            urllib.request.urlopen(f"{address}../pyproject.toml", timeout=5)
    with pytest.raises(OSError):
        urllib.request.urlopen(address, timeout=5)
    page.reload()
    page.locator("#loading").wait_for(state="hidden")
    choose(page, photo)
    assert entries(page).first.get_attribute("data-state") == "done"
    context.__exit__(None, None, None)


def test_the_page_sends_no_request_to_another_origin_and_its_policy_blocks_them(address, chromium, photo):
    requests = []
    with visit(chromium, address, requests) as page:
        choose(page, photo)
        save(page)
        assert len(requests) > 5 and all(url.startswith((address, f"blob:{address}")) for url in requests), requests
        other = "http://localhost:" + address.split(":")[-1]  # the same server is another origin by this name
        blocked = "fetch(%r, {mode: 'no-cors'}).then(() => 'sent', () => 'blocked')"
        assert page.evaluate(blocked % address) == "sent" and page.evaluate(blocked % other) == "blocked"


def test_axe_finds_nothing_serious(address, chromium, photo, tmp_path):
    bad, found = tmp_path / "notes.jpg", []
    bad.write_text("words")
    with visit(chromium, address) as page:
        page.evaluate(AXE.read_text(encoding="utf-8"))

        def examine(name: str) -> None:
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                found.append(page.evaluate("axe.run()"))
                take_screenshot(page, f"app_{name}_{scheme}")

        examine("welcome")
        choose(page, photo, bad)
        examine("photo")
        select(page, 1)
        examine("refused")
    violations = [v for result in found for v in result["violations"] if v["impact"] in ("serious", "critical")]
    assert [(v["id"], [node["html"][:90] for node in v["nodes"]]) for v in violations] == []
    assert all(len(result["passes"]) > 10 for result in found)
