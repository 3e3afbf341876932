"""Benchmark: arithmetic, tasks, child processes and table. No test depends on a time."""

import json
import subprocess
import sys
import time
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from ssdie.bench import gpu as bench_gpu
from ssdie.bench import photos as bench_photos
from ssdie.bench import suite as benchmark
from ssdie.bench import tasks
from ssdie.bench import training as bench_steps
from ssdie.bench.measure import (
    Stopwatch,
    count_operations,
    describe_machine,
    measure_ceiling,
    measurement,
    ratios,
    time_work,
)
from ssdie.bench.process import run_child, run_code
from ssdie.bench.report import archive_table, markdown, plot
from ssdie.cli import main
from ssdie.losses import LossWeights
from ssdie.networks.layers import attend


def test_time_work_leaves_out_the_warm_calls_and_sleeping_takes_no_cpu_time():
    calls = []
    found = time_work(lambda: calls.append(time.sleep(0.05)), repeats=3, warm=2)
    assert len(found["seconds"]) == len(found["cpu"]) == 3 and len(calls) == 5
    assert sum(found["cpu"]) < 0.5 * sum(found["seconds"])


def test_cpu_time_of_a_process_includes_its_workers():
    work = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    orphan = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {work!r}])"  # its parent does not wait
    assert run_code(orphan)["cpu"][0] >= 0.3


def test_machine_description_has_the_cpu_and_known_instruction_sets():
    machine = describe_machine()
    assert machine["cpu"] and set(machine["instruction_sets"]) <= {"avx2", "avx512", "bf16", "amx"}


def test_installed_size_includes_dependencies_and_reports_missing_packages():
    size, missing = bench_photos.installed_bytes(("tqdm", "no-such-package"))
    assert size > 10**4 and missing == ["no-such-package"]
    assert bench_photos.installed_bytes(("pandas",))[0] > bench_photos.installed_bytes(("numpy",))[0] > 10**7


def test_stopwatch_sums_by_part():
    watch = Stopwatch()
    for part in ("a", "b", "a"):
        with watch(part):
            sum(range(1000))
    assert list(watch.parts) == ["a", "b"] and all(v > 0 for v in watch.parts.values())


@pytest.mark.parametrize(
    "values, target, reached", [([1.0, 9.0, 2.0], ("<=", 2), True), ([1.0, 1.9], (">=", 2), False)]
)
def test_median_is_compared_with_the_target(values, target, reached):
    line = measurement("a", values, "s", target)
    assert (line["least"], line["most"], line["reached"]) == (min(values), max(values), reached)
    of_cpu = measurement("a", 99.0, "s", cpu=values, cpu_target=target)
    assert of_cpu["cpu_seconds"] == np.median(values) and of_cpu["reached"] is line["reached"]
    assert line["median"] == np.median(values)


def test_ratios_are_those_of_each_repetition():
    assert ratios([9.0, 10.0, 12.0], [3.0, 2.5, 2.0]) == [3.0, 4.0, 6.0]


def test_peak_memory_includes_freed_memory():
    code = (
        "import numpy as np; from ssdie.bench.process import peak_bytes as peak; before = peak(); "
        "held = np.ones(2**27, np.uint8); grown = peak(); del held; print(before, grown, peak())"
    )  # in a new process, since this one may have had a higher peak
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, grown, after = (int(n) for n in done.stdout.split())
    assert grown - before > 2**26
    assert after > 0.9 * grown


def test_memory_of_the_parent_is_not_counted():
    held = np.ones(2**30, np.uint8)  # memory of the parent
    assert run_child("nothing()")["peak"] < held.nbytes


def test_a_failing_child_process_is_an_error(monkeypatch):
    monkeypatch.setattr("sys.executable", "false")
    with pytest.raises(RuntimeError, match="failed in its own process"):
        run_child("nothing()")


def test_operations_of_a_matrix_product_are_counted():
    a, b = torch.ones(3, 4), torch.ones(4, 5)
    assert count_operations(lambda: a @ b) == 2 * 3 * 4 * 5


def test_every_matrix_product_of_attention_is_counted():
    """Forward: logits and output. Backward: attention weights (with two extra columns), value, query and key."""
    query, key, value = (torch.ones(1, 1, rows, columns) for rows, columns in ((6, 2), (5, 2), (5, 8)))
    for sequence in (query, key, value):
        sequence.requires_grad_()
    products = (2, 8), (8 + 2, 8, 2, 2)
    forward, backward = (2 * 6 * 5 * sum(columns) for columns in products)
    for rows in (6, 3):  # rows of the attention matrix per block
        found = count_operations(lambda rows=rows: attend(query, key, value, rows).sum().backward())
        assert found == forward + backward


def test_ceiling_names_both_types_and_the_copy(monkeypatch):
    monkeypatch.setattr("ssdie.bench.measure.time_calls", lambda function, repeats: [2.0, 1.0])
    monkeypatch.setattr("ssdie.bench.measure.fast_bfloat16", lambda: True)
    found = measure_ceiling(2)
    convolution = 2 * 9 * 256 * 256 * 4 * 64**2  # more operations than the product, in the same second
    assert found == {"float32": convolution, "bfloat16": convolution, "copy": 2 * 4 * 2**26}
    monkeypatch.setattr("ssdie.bench.measure.fast_bfloat16", lambda: False)
    assert set(measure_ceiling(2)) == {"float32", "copy"}


def test_photo_is_dusty_and_has_the_requested_size():
    photo = tasks.make_photo(30, 50)
    assert photo.shape == (30, 50, 3) and photo.dtype == np.uint8
    red, _, blue = photo.mean((0, 1))
    assert red > blue + 30


def test_both_attentions_agree():
    random = torch.Generator().manual_seed(0)
    sequences = [torch.randn(1, 1, 64, c, generator=random) for c in (16, 16, 128)]
    explicit, fused = (tasks.attention(kind, *sequences) for kind in ("explicit", "fused"))
    assert (explicit - fused).abs().max() < 1e-5


def test_photo_and_codec_are_timed():
    for found in (tasks.time_photo(48, 64, 2), tasks.time_codec(48, 64, 2)):
        assert len(found["seconds"]) == len(found["cpu"]) == 2 and min(found["seconds"]) > 0


def test_whole_command_is_measured_from_file_to_file():
    found = bench_photos.enhance_copies((48, 64), 2, 1)
    assert found["seconds"][0] > 0 and found["cpu"][0] > 0 and found["peak"][0] > 10**7


def test_gpu_tasks_run_on_any_device():
    torch.manual_seed(0)
    bench_gpu.make_step(1, 32, "cpu")()
    rates = bench_gpu.time_training(LossWeights(perceptual=0, style=0), 2, 32, 10, precision="fp32")
    assert len(rates) == 5 and min(rates) > 0
    attention = 2 * 2 * (64 // 4) ** 4 * (16 + 128)  # both, forward: Q K^T and the product with V
    assert 3 * attention < bench_gpu.count_step_operations(64) < 10**10


def test_without_a_gpu_nothing_is_added(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    result = {"measurements": []}
    bench_gpu.measure_gpu(result, True)
    assert result == {"measurements": []}


RESULT = {
    "quick": True,
    "machine": {"cpu": "P", "instruction_sets": ["avx2"], "cores": 2, "gpu": "none", "torch": "2"},
    "measurements": [measurement("time", [1.0, 2.0, 3.0], "s", ("<=", 1)), measurement("ratio", 5.0, "x", (">=", 4))],
    "parts": {"unet, published": {"features": 2.0, "backward": 3.0}, "unet, float32": {"features": 1.0}},
    "archive": {"2 megapixels": {"width": 1920, "height": 1080, "seconds": 0.2, "codec": 0.05}},
    "photos": [{"pixels": p, "seconds": p / 1e6, "bytes": 1} for p in (10**6, 10**7)],
}


def test_table_shows_whether_targets_are_reached():
    table = markdown(RESULT)
    assert "| time | 2 s | 1 to 3 | - | <= 1, not reached |" in table
    assert "| ratio | 5 x | one run | - | >= 4, reached |" in table
    assert "ratio" in markdown(RESULT, targets=True)
    assert "plain" not in markdown(RESULT | {"measurements": [measurement("plain", 1.0, "s")]}, targets=True)


def test_cost_of_a_million_photos_is_extrapolated_from_one():
    assert "| 2 megapixels (1920 x 1080) | 0.2 | 56 | 0.87 h | 25 % |" in archive_table(RESULT)


def test_plot_is_a_picture(tmp_path):
    path = plot(RESULT, tmp_path / "bench.png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_command_writes_json_and_prints_the_table(tmp_path, monkeypatch, capsys):
    def bench(quick, keep, only):
        keep({"measurements": "first section"})
        assert json.loads(out.read_text()) == {"measurements": "first section"}  # partial results are written
        keep(RESULT)
        return RESULT

    monkeypatch.setattr(benchmark, "bench", bench)
    out = tmp_path / "a" / "bench.json"
    assert main(["bench", "--out", str(out), "--plot"]) == 0
    assert json.loads(out.read_text())["measurements"] == RESULT["measurements"]
    assert "| time | 2 s |" in capsys.readouterr().out
    assert "| ratio | 5 x |" in out.with_suffix(".md").read_text()
    assert out.with_suffix(".png").is_file()


def test_step_is_timed_after_warm_up_steps(monkeypatch):
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


def test_speed_up_of_a_step_is_computed_per_round(monkeypatch):
    """Two equal rounds on a machine that is half as fast in the second; in the third our step is 5 times as fast."""
    seconds = iter([8.0, 4.0, 2.0, 16.0, 8.0, 4.0, 10.0, 5.0, 2.0] * 2)

    def child(call):
        if not call.startswith("time_step"):
            return {"peak": 10}
        parts, terms = {"discriminator step": 1.0}, {"total": 2.0}
        return {
            "seconds": next(seconds),
            "cpu": 1.0,
            "parts": parts,
            "terms": terms,
            "peak": 30 if "published" in call else 20,
        }

    monkeypatch.setattr(bench_steps, "run_child", child)
    monkeypatch.setattr(bench_steps, "count_operations", lambda function: 1)
    monkeypatch.setattr(bench_steps, "make_published_step", lambda *args: None)
    monkeypatch.setattr(bench_steps, "make_fast_step", lambda *args: None)
    monkeypatch.setattr(bench_steps, "fast_bfloat16", lambda: True)
    result = {"measurements": [], "parts": {}, "ceiling": {"float32": 1.0, "bfloat16": 2.0}}
    bench_steps.measure_steps(result, False)
    lines = {line["name"]: line for line in result["measurements"]}
    ours = lines["step of msff, bfloat16, speed-up against the published step"]
    assert (ours["least"], ours["median"], ours["most"], ours["reached"]) == (4.0, 4.0, 5.0, True)
    assert ours["seconds"] == [2.0, 4.0, 2.0] and lines["step of msff, published, 2 images of 256 px"]["median"] == 10.0
    assert lines["step of unet, bfloat16, memory against the published step"]["median"] == 0.5
    assert "target" not in lines["step of unet, float32, speed-up against the published step"]
    assert lines["step of unet, float32, largest relative difference of a loss"]["median"] == 0


def test_arrays_are_compared_with_their_targets(monkeypatch):
    found = {"peak": 2 * 10**9, "seconds": [9.0], "cpu": [0.6]}
    monkeypatch.setattr(bench_photos, "run_child", lambda call, one_thread: found)
    result = {"measurements": [], "photos": [], "ceiling": {"copy": 1e9}}
    bench_photos.measure_arrays(result, True)
    lines = {line["name"]: line for line in result["measurements"]}
    assert lines["enhance 4000 x 3000, one thread"]["target"] == "<= 0.7 CPU-s"
    assert lines["enhance 4000 x 3000, one thread"]["reached"] and "enhance 8700 x 5800, one thread, memory" in lines
    assert not lines["enhance 1920 x 1080, one thread"]["reached"]
    assert [line["median"] for name, line in lines.items() if name.startswith("exponent")] == [0, 0]
