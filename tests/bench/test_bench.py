"""The benchmark: its arithmetic, its tasks and its table; none for a time."""

import argparse
import json
import subprocess
import sys
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from ssdie.bench import gpu as bench_gpu
from ssdie.bench import suite as bench_steps
from ssdie.bench import suite as benchmark
from ssdie.bench import tasks
from ssdie.bench.measure import Stopwatch, count_operations, measure_ceiling, measurement, ratios, run_child
from ssdie.bench.report import archive_table, markdown, plot
from ssdie.losses import LossWeights
from ssdie.networks.discriminators import DarkChannelNet, PatchDiscriminator
from ssdie.networks.layers import attend
from ssdie.networks.vgg import FeatureNetwork
from ssdie.utils.devices import time_calls


def test_time_of_each_call_is_given_without_the_warm_ones():
    calls = []
    assert len(time_calls(lambda: calls.append(0), repeats=3, warm=2)) == 3
    assert len(calls) == 5


def test_stopwatch_adds_up_by_part():
    watch = Stopwatch()
    for part in ("a", "b", "a"):
        with watch(part):
            sum(range(1000))
    assert list(watch.parts) == ["a", "b"] and all(v > 0 for v in watch.parts.values())


@pytest.mark.parametrize("values, goal, met", [([1.0, 9.0, 2.0], ("<=", 2), True), ([1.0, 1.9], (">=", 2), False)])
def test_figure_holds_its_median_against_the_goal(values, goal, met):
    line = measurement("a", values, "s", goal)
    assert (line["least"], line["most"], line["met"]) == (min(values), max(values), met)
    assert line["median"] == np.median(values)


def test_ratios_are_those_of_each_repetition():
    assert ratios([9.0, 10.0, 12.0], [3.0, 2.5, 2.0]) == [3.0, 4.0, 6.0]


def test_peak_memory_sees_what_is_held_and_what_was():
    code = (
        "import numpy as np; from ssdie.bench.measure import peak_bytes as peak; before = peak(); "
        "held = np.ones(2**27, np.uint8); grown = peak(); del held; print(before, grown, peak())"
    )  # in a process of its own: what ran before in this one may have held more
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, grown, after = (int(n) for n in done.stdout.split())
    assert grown - before > 2**26
    assert after > 0.9 * grown


def test_child_starts_from_nothing():
    held = np.ones(2**30, np.uint8)  # what the parent holds is no peak of the child
    assert run_child("nothing()")["peak"] < held.nbytes


def test_child_that_fails_is_an_error(monkeypatch):
    monkeypatch.setattr("sys.executable", "false")
    with pytest.raises(RuntimeError, match="failed in its own process"):
        run_child("nothing()")


def test_operations_of_a_product_are_counted():
    a, b = torch.ones(3, 4), torch.ones(4, 5)
    assert count_operations(lambda: a @ b) == 2 * 3 * 4 * 5


def test_every_product_of_attention_is_counted():
    """Those of logits and output; of the way back to shares (with two columns more), value, query and key."""
    query, key, value = (torch.ones(1, 1, rows, columns) for rows, columns in ((6, 2), (5, 2), (5, 8)))
    for sequence in (query, key, value):
        sequence.requires_grad_()
    products = (2, 8), (8 + 2, 8, 2, 2)
    forth, back = (2 * 6 * 5 * sum(columns) for columns in products)
    for rows in (6, 3):  # of the matrix at a time
        found = count_operations(lambda rows=rows: attend(query, key, value, rows).sum().backward())
        assert found == forth + back


def test_ceiling_names_both_types_and_the_copy(monkeypatch):
    monkeypatch.setattr("ssdie.utils.devices.time_calls", lambda function, repeats: [2.0, 1.0])
    found = measure_ceiling(2)
    convolution = 2 * 9 * 256 * 256 * 4 * 64**2  # more operations than the product, in the same second
    assert found == {"float32": convolution, "bfloat16": convolution, "copy": 2 * 4 * 2**26}


def test_photo_is_dusty_and_of_the_size_asked_for():
    photo = tasks.make_photo(30, 50)
    assert photo.shape == (30, 50, 3) and photo.dtype == np.uint8
    red, _, blue = photo.mean((0, 1))
    assert red > blue + 30


def test_both_attentions_agree():
    random = torch.Generator().manual_seed(0)
    sequences = [torch.randn(1, 1, 64, c, generator=random) for c in (16, 16, 128)]
    explicit, fused = (tasks.attention(kind, *sequences) for kind in ("explicit", "fused"))
    assert (explicit - fused).abs().max() < 1e-5


@pytest.fixture
def small_networks(monkeypatch):
    small = {"unet": {"width": 8, "levels": 5}, "msff": {"width": 8}}
    build = tasks.build_generator
    monkeypatch.setattr(tasks, "build_generator", lambda name: build(name, **small[name]))
    monkeypatch.setattr(tasks, "PatchDiscriminator", lambda: PatchDiscriminator(width=8))
    monkeypatch.setattr(tasks, "DarkChannelNet", lambda: DarkChannelNet(width=8))
    features = FeatureNetwork("random")
    monkeypatch.setattr(tasks, "FeatureNetwork", lambda weights: features)


def test_both_steps_have_the_same_terms(small_networks):
    published_parts, fast_parts = Stopwatch(), Stopwatch()
    published = tasks.make_published_step("unet", 1, 32)(published_parts)
    assert tasks.make_fast_step("unet", 1, 32)(fast_parts) == pytest.approx(published, rel=1e-3)
    assert {"features", "dark channel", "backward", "discriminator step"} <= set(published_parts.parts)
    assert list(fast_parts.parts) == ["generator step", "discriminator step", "updates"]
    assert tasks.make_fast_step("unet", 1, 32, "bfloat16")() == pytest.approx(published, rel=0.1)


@pytest.mark.parametrize("make", [tasks.make_published_step, tasks.make_fast_step])
def test_steps_train_when_they_are_to_and_leave_all_as_it_was_otherwise(make, small_networks):
    step = make("msff", 2, 32)
    before = step()
    assert step() == before
    whole = step(mode="batchnorm")
    assert whole != pytest.approx(before, rel=1e-4)
    step(mode="training")
    after = step()
    assert all(after[name] != value for name, value in before.items())


def test_time_of_a_file_tells_the_codec_apart():
    found = tasks.time_file(48, 64, 2)
    assert len(found["seconds"]) == len(found["codec"]) == 2
    assert min(found["seconds"]) > 0


def test_gpu_tasks_run_on_any_device():
    torch.manual_seed(0)
    bench_gpu.make_step(1, 32, "cpu")()
    rates = bench_gpu.time_training(LossWeights(perceptual=0, style=0), 2, 32, 10, precision="fp32")
    assert len(rates) == 5 and min(rates) > 0
    attention = 2 * 2 * (64 // 4) ** 4 * (16 + 128)  # both, forward: Q K^T and the product with V
    assert 3 * attention < bench_gpu.count_step_operations(64) < 10**10


def test_without_a_gpu_nothing_is_added():
    result = {"figures": []}
    if not torch.cuda.is_available():
        bench_gpu.measure_gpu(result, True)
    assert "gpu_ceiling" in result or result["figures"] == []


RESULT = {
    "quick": True,
    "machine": {"processor": "P", "cores": 2, "gpu": "none", "torch": "2"},
    "figures": [measurement("time", [1.0, 2.0, 3.0], "s", ("<=", 1)), measurement("ratio", 5.0, "x", (">=", 4))],
    "parts": {"unet, published": {"features": 2.0, "backward": 3.0}, "unet, float32": {"features": 1.0}},
    "archive": {"2 megapixels": {"width": 1920, "height": 1080, "seconds": 0.2, "codec": 0.05}},
    "photos": [{"pixels": p, "seconds": p / 1e6, "bytes": 1} for p in (10**6, 10**7)],
}


def test_table_tells_whether_goals_are_met():
    table = markdown(RESULT)
    assert "| time | 2 s | 1 to 3 | <= 1, not met |" in table
    assert "| ratio | 5 x | one run | >= 4, met |" in table
    assert "ratio" in markdown(RESULT, goals=True)
    assert "plain" not in markdown(RESULT | {"figures": [measurement("plain", 1.0, "s")]}, goals=True)


def test_a_million_photos_are_reckoned_from_one():
    assert "| 2 megapixels (1920 x 1080) | 0.2 | 56 | 0.87 h | 25 % |" in archive_table(RESULT)


def test_plot_is_a_picture(tmp_path):
    path = plot(RESULT, tmp_path / "bench.png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_command_writes_json_and_prints_the_table(tmp_path, monkeypatch, capsys):
    def answer(quick, keep):
        keep({"figures": "first section"})
        assert json.loads(out.read_text()) == {"figures": "first section"}  # what is there is kept
        keep(RESULT)
        return RESULT

    monkeypatch.setattr(benchmark, "bench", answer)
    parser = argparse.ArgumentParser()
    benchmark.add_arguments(parser)
    out = tmp_path / "a" / "bench.json"
    assert benchmark.run(parser.parse_args(["--out", str(out), "--plot"])) == 0
    assert json.loads(out.read_text())["figures"] == RESULT["figures"]
    assert "| time | 2 s |" in capsys.readouterr().out
    assert "| ratio | 5 x |" in out.with_suffix(".md").read_text()
    assert out.with_suffix(".png").is_file()


def test_step_is_timed_in_training_after_those_that_do_not_count(monkeypatch):
    calls = []

    def make(name, batch, size, precision, sequential_copies):
        def step(watch=lambda part: nullcontext(), mode="evaluation"):
            calls.append(mode)
            with watch("all"):
                return {"total": float(len(calls))}

        return step

    monkeypatch.setattr(tasks, "make_fast_step", make)
    found = tasks.time_step("float32", "unet", 8, 32)
    assert calls == ["evaluation", "training", "training"]
    assert found["terms"] == {"total": 1.0} and 0 < found["parts"]["all"] <= found["seconds"]


def test_ratios_of_steps_are_those_of_a_round(monkeypatch):
    """Two rounds alike but for the machine, which was half as fast in the second; the third is 5 times."""
    seconds = iter([8.0, 4.0, 2.0, 16.0, 8.0, 4.0, 10.0, 5.0, 2.0] * 2)

    def child(call):
        if not call.startswith("time_step"):
            return {"peak": 10}
        parts, terms = {"discriminator step": 1.0}, {"total": 2.0}
        return {"seconds": next(seconds), "parts": parts, "terms": terms, "peak": 30 if "published" in call else 20}

    monkeypatch.setattr(bench_steps, "run_child", child)
    monkeypatch.setattr(bench_steps, "count_operations", lambda function: 1)
    monkeypatch.setattr(bench_steps, "make_published_step", lambda *about: None)
    monkeypatch.setattr(bench_steps, "make_fast_step", lambda *about: None)
    monkeypatch.setattr(bench_steps, "fast_bfloat16", lambda: True)
    result = {"figures": [], "parts": {}, "ceiling": {"float32": 1.0, "bfloat16": 2.0}}
    bench_steps.measure_steps(result, False)
    lines = {line["name"]: line for line in result["figures"]}
    ours = lines["step of msff, bfloat16, 2 pictures of 256 px, against the published step"]
    assert (ours["least"], ours["median"], ours["most"], ours["met"]) == (4.0, 4.0, 5.0, True)
    assert ours["seconds"] == [2.0, 4.0, 2.0] and ours["published_seconds"] == [8.0, 16.0, 10.0]
    assert lines["step of unet, bfloat16, memory against the published step"]["median"] == 0.5
    assert "goal" not in lines["step of unet, float32, 8 pictures of 256 px, against the published step"]
    assert lines["step of unet, float32, largest relative difference of a loss"]["median"] == 0


def test_sections_write_figures(monkeypatch):
    """The cheap sections, with children that only answer."""
    monkeypatch.setattr(benchmark, "run_child", lambda call: {"peak": 2 * 10**9, "seconds": [1.0, 2.0]})
    result = {"figures": [], "photos": [], "parts": {}, "ceiling": {"float32": 1e9, "bfloat16": 1e9, "copy": 1e9}}
    benchmark.measure_photos(result, True)
    names = [line["name"] for line in result["figures"]]
    assert "enhance 4000 x 3000" in names and "enhance 8700 x 5800, memory" in names
    assert names[-1].startswith("exponent") and result["figures"][-1]["median"] == 0
    assert [line["goal"] for line in result["figures"] if line["name"] == "enhance 4000 x 3000"] == ["<= 2"]
