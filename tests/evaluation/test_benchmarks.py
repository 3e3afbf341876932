"""Public benchmarks: rules that match dusty and clear images, layouts of SIE and SID, sizes."""

from pathlib import Path

import pytest
import torch

from ssdie.cli import main
from ssdie.evaluation.benchmarks import list_sid, list_sie, match_pairs, parse_size
from ssdie.evaluation.methods import evaluate, list_examples
from ssdie.ops.images import write_image


def paths(*names: str) -> list[Path]:
    return [Path(name) for name in names]


def names(pairs: list[tuple[Path, Path]]) -> list[tuple[str, str]]:
    return [(dusty.name, clear.name) for dusty, clear in pairs]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Tiny copies of SIE and SID in their layouts; the reference images are brighter."""
    root = tmp_path_factory.mktemp("benchmarks")
    for n in (1, 2, 10):
        image = torch.full((3, 20, 24), 0.2 + 0.05 * n)
        folder = root / "SIE" / "Synthetic_images"
        write_image(folder / "Ground_truth" / f"image{n}_gt_synthetic.png", image)
        write_image(folder / "Sand_dust_images" / f"image{n}_synthetic.png", image - 0.1)
        write_image(root / "SIE" / "Hazed_images" / "Sand_dust_images" / f"image{n}.png", image)
        write_image(root / "SID" / "clear" / f"{n}.png", image)
        for color in (1, 2, 3):
            write_image(root / "SID" / "dust" / f"{n}_c{color}.png", image - 0.05 * color)
    return root


def test_rules_match_stems_numbers_order_and_groups():
    clear = paths("1.png", "02.png")
    assert names(match_pairs(paths("02.jpg", "1.jpg"), clear)) == [("02.jpg", "02.png"), ("1.jpg", "1.png")]
    assert names(match_pairs(paths("x_2_a.jpg"), clear, "number")) == [("x_2_a.jpg", "02.png")]
    assert names(match_pairs(paths("b.jpg", "a.jpg"), paths("y.png", "z.png"), "order")) == [
        ("a.jpg", "y.png"), ("b.jpg", "z.png"),
    ]  # fmt: skip
    assert names(match_pairs(paths("1_c1.png", "1_c2.png"), clear, r"(\d+)_c\d")) == [
        ("1_c1.png", "1.png"), ("1_c2.png", "1.png"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "dusty, clear, rule, message",
    [
        ((), ("1.png",), "stem", "at least one dusty image"),
        (("1.png",), ("1.png", "2.png"), "order", "got 1 and 2"),
        (("1.png",), ("1.png", "1.jpg"), "stem", "one reference image per name"),
        (("a.png",), ("1.png",), "number", "expected a number"),
        (("a.png",), ("1.png",), "[", "regular expression"),
        (("a.png",), ("1.png",), "a", "with a group"),
        (("a.png",), ("1.png",), "(b)", "names that fit"),
    ],
)
def test_pairs_that_do_not_match_are_errors(dusty, clear, rule, message):
    with pytest.raises(ValueError, match=message):
        match_pairs(paths(*dusty), paths(*clear), rule)


def test_a_missing_reference_image_is_named():
    with pytest.raises(FileNotFoundError, match=r"3\.png"):
        match_pairs(paths("3.png"), paths("1.png"))


def test_the_layout_of_sie_is_read(root):
    pairs = names(list_sie(root / "SIE"))
    assert ("image10_synthetic.png", "image10_gt_synthetic.png") in pairs and len(pairs) == 3
    with pytest.raises(FileNotFoundError, match="Sand_dust_images"):
        list_sie(root / "SID")


def test_the_layout_of_sid_is_read(root):
    pairs = names(list_sid(root / "SID"))
    assert ("10_c2.png", "10.png") in pairs and len(pairs) == 9


def test_presets_and_pairs_are_options_of_evaluate(root, capsys):
    common = ["--methods", "input", "--size", "16"]
    assert main(["evaluate", "--preset", "sid", str(root / "SID"), *common]) == 0
    by_preset = capsys.readouterr().out
    folders = [str(root / "SID" / "dust"), str(root / "SID" / "clear")]
    assert main(["evaluate", "--pairs", *folders, "--match", r"(.+)_c\d", *common]) == 0
    assert capsys.readouterr().out == by_preset and "PSNR" in by_preset
    assert main(["evaluate", "--preset", "sie", str(root), "--dusty", folders[0]]) == 2
    assert "expected one of --dusty, --pairs, --preset" in capsys.readouterr().err


def test_a_preset_measures_the_pairs_at_the_given_size(root):
    pictures, _ = evaluate(["input"], "sie", root / "SIE", size="12x16")
    assert pictures["psnr"].tolist() == pytest.approx([20.0] * 3, abs=0.3)  # rounded to 8 bit
    assert list_examples("sie", root / "SIE", size="12x16")[0].load()[0].shape == (1, 3, 16, 12)


@pytest.mark.parametrize("text", ["0", "12x", "a", "-5", "12x0"])
def test_wrong_sizes_are_errors(text):
    with pytest.raises(ValueError, match="WIDTHxHEIGHT"):
        parse_size(text)
