"""The web page of the blind comparison, and the evaluation of its answers."""

import base64
import io
import json
import re

import pytest
import torch
from PIL import Image

from ssdie.cli import main
from ssdie.evaluation.blind import KEY, count_answers, write_blind_page
from ssdie.ops.images import write_image

METHODS = {"brighter": lambda dusty, _: (dusty + 0.3).clamp(0, 1), "darker": lambda dusty, _: 0.5 * dusty}


@pytest.fixture
def page(tmp_path):
    images = [(f"photo{n}", torch.full((1, 3, 10, 12), 0.3 + 0.02 * n)) for n in range(20)]
    return write_blind_page(images, METHODS, tmp_path, seed=1)


def embedded(page) -> dict:
    return json.loads(re.search(r"const data = (\{.*\});", page.read_text(encoding="utf-8"))[1])


def mean(address: str) -> float:
    return Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))).convert("L").getpixel((5, 5)) / 255


def write_answers(folder, key: dict, choices: list[str]):
    path = folder / f"answers{len(list(folder.iterdir()))}.json"
    path.write_text(json.dumps({"id": key["id"], "answers": choices}))
    return path


def test_the_page_contains_all_images_and_no_name(page):
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"brighter|darker|photo\d", text) and not re.search(r"""(src|href)=["']?http""", text)
    key = json.loads((page.parent / KEY).read_text())
    for pair, solution in zip(embedded(page)["pairs"], key["pairs"], strict=True):
        assert (mean(pair["left"]) > mean(pair["right"])) == (solution["left"] == "brighter")


def test_order_and_sides_are_random_and_seeded(page, tmp_path):
    pairs = json.loads((page.parent / KEY).read_text())["pairs"]
    order = [pair["picture"] for pair in pairs]
    assert order != sorted(order, key=lambda name: int(name[5:])) and len(set(order)) == 20
    assert 4 < sum(pair["left"] == "darker" for pair in pairs) < 16
    images = [(f"photo{n}", torch.full((1, 3, 10, 12), 0.3)) for n in range(20)]
    again = write_blind_page(images, METHODS, tmp_path / "again", seed=1)
    assert json.loads((again.parent / KEY).read_text())["pairs"] == pairs


def test_wins_are_counted_with_a_wilson_interval(page):
    key = json.loads((page.parent / KEY).read_text())
    sides = ["left" if pair["left"] == "brighter" else "right" for pair in key["pairs"]]
    other = {"left": "right", "right": "left"}
    choices = ["tie", "tie", *sides[2:17], *(other[side] for side in sides[17:])]
    table = count_answers([write_answers(page.parent, key, choices)], page.parent / KEY).set_index("method")
    assert table.loc["brighter", ["wins", "ties", "answers"]].tolist() == [15, 2, 20]
    assert table.loc["darker", "wins"] == 3
    p, n, z = 15 / 18, 18, 1.959964  # Wilson score interval
    centre, half = p + z * z / (2 * n), z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    expected = [(centre + sign * half) / (1 + z * z / n) for sign in (-1, 1)]
    assert table.loc["brighter", ["low", "high"]].tolist() == pytest.approx(expected, abs=1e-6)


def test_answers_of_several_viewers_are_added_and_the_share_is_nan_with_ties_only(page):
    key = json.loads((page.parent / KEY).read_text())
    files = [write_answers(page.parent, key, ["tie"] * 3) for _ in range(2)]
    table = count_answers(files, page.parent / KEY)
    assert table["ties"].tolist() == [6, 6] and table["share"].isna().all()


def test_answers_to_another_page_are_an_error(page):
    key = json.loads((page.parent / KEY).read_text())
    with pytest.raises(ValueError, match="another page"):
        count_answers([write_answers(page.parent, key | {"id": "x"}, [])], page.parent / KEY)
    with pytest.raises(ValueError, match="left, right, tie"):
        count_answers([write_answers(page.parent, key, ["up"])], page.parent / KEY)
    with pytest.raises(ValueError, match="two methods"):
        write_blind_page([("a", torch.zeros(1, 3, 4, 4))], {"one": METHODS["darker"]}, page.parent)


def test_the_command_writes_the_page_and_counts(tmp_path, capsys):
    write_image(tmp_path / "dusty" / "a.png", torch.rand(3, 16, 20))
    out = ["--out", str(tmp_path / "blind")]
    assert main(["evaluate", "--dusty", str(tmp_path / "dusty"), "--blind", "gray_world", "rop", *out]) == 0
    key = json.loads((tmp_path / "blind" / KEY).read_text())
    answers = write_answers(tmp_path, key, ["left"])
    capsys.readouterr()
    assert main(["evaluate", "--answers", str(answers), *out]) == 0
    assert f"| {key['pairs'][0]['left']} | 1 |" in capsys.readouterr().out
