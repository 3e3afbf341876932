"""Benchmark of the cluster engine, the choice of sections, and the tables written into docs/scaling.md."""

import json

import pytest

from ssdie.bench import cluster, cluster_tasks, suite
from ssdie.bench.measure import measurement
from ssdie.bench.report import write_scaling
from ssdie.cli import main

LINES = [measurement("cluster, overhead", 2.0, "ms", ("<=", 5)), measurement("network", 1.0, "s")]
RESULT = {
    "quick": False,
    "machine": {"cpu": "P", "instruction_sets": [], "cores": 2, "gpu": "none", "torch": "2"},
    "archive": {"12 megapixels": {"width": 4000, "height": 3000, "seconds": 1.28, "codec": 0.32}},
    "measurements": LINES,
}
PAGE = """# Page

<!-- begin costs: written by a command -->
old costs
<!-- end costs -->
between
<!-- begin cluster: written by a command -->
<!-- end cluster -->
after
"""


def test_tables_replace_the_text_between_their_markers(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    write_scaling(RESULT, page)
    first = page.read_text()
    assert "| 12 megapixels (4000 x 3000) | 1.3 | 356 | 5.6 h | 25 % |" in first and "50 photos" in first
    assert "| cluster, overhead | 2 ms |" in first and "| network |" not in first and "old costs" not in first
    assert first.startswith("# Page\n") and "-->\nbetween\n<!--" in first and first.endswith("-->\nafter\n")
    write_scaling(RESULT, page)
    assert page.read_text() == first


@pytest.mark.parametrize("missing", [{"archive": {}}, {"measurements": LINES[1:]}])
def test_a_result_without_both_sections_is_refused(tmp_path, missing):
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    with pytest.raises(ValueError, match="expected the sections archive and cluster"):
        write_scaling(RESULT | missing, page)
    assert page.read_text() == PAGE


def test_a_page_without_markers_is_refused(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE.replace("end cluster", "end"))
    with pytest.raises(ValueError, match="begin cluster"):
        write_scaling(RESULT, page)
    assert page.read_text() == PAGE.replace("end cluster", "end")


def test_only_the_chosen_sections_run_in_the_fixed_order(monkeypatch, tmp_path, capsys):
    ran = []
    sections = {name: lambda result, quick, name=name: ran.append((name, quick)) for name in suite.SECTIONS}
    monkeypatch.setattr(suite, "SECTIONS", sections)
    monkeypatch.setattr(suite, "measure_ceiling", lambda repeats: {"float32": 1.0})
    out = tmp_path / "bench.json"
    assert main(["bench", "--quick", "--only", "cluster", "archive", "--out", str(out)]) == 0
    assert ran == [("archive", True), ("cluster", True)]
    assert list(json.loads(out.read_text())["seconds"]) == ["archive", "cluster"]
    for words in (["--only", "network", "clusters"], ["--only", "loader"], ["--only", "archive", "--plot"]):
        assert main(["bench", "--out", str(out), *words]) == 2
        assert "expected" in capsys.readouterr().err
    assert len(ran) == 2


def test_speed_up_is_computed_per_round_and_full_size_has_targets(monkeypatch):
    """The machine is half as fast in the second round."""
    calls = []

    def child(call, module):
        calls.append(call)
        seconds = 1e-3
        if ", False, " in call:  # the released network
            slow = 2 if calls.count(call) == 2 else 1
            seconds = 0.5 * slow if ", 2, False" in call else slow
        return {"seconds": seconds, "cpu": 1e-4, "failed": 0, "journal": 10**6, "peak": 10**8}

    monkeypatch.setattr(cluster, "run_child", child)
    monkeypatch.setattr(cluster, "usable_cores", lambda: 2)
    monkeypatch.setattr(cluster, "make_copies", lambda *args: None)
    result = {"measurements": []}
    cluster.measure_cluster(result, False)
    lines = {line["name"]: line for line in result["measurements"]}
    line = lines["cluster, 2 workers against 1, 48 photos of 12 megapixels"]
    assert (line["least"], line["most"], line["target"], line["reached"]) == (2.0, 2.0, ">= 1.9", True)
    assert lines["cluster, 100000 tiny files, 2 workers"]["median"] == pytest.approx(1000)
    assert "list_names(1000, 10000, False)" in calls and "list_names(100, 10000, True)" in calls
    memory = lines["cluster, 10000000 simulated names, listed and looked up, memory of the client"]
    assert (memory["median"], memory["target"]) == (0.1, "<= 0.5")
    monkeypatch.setattr(cluster, "usable_cores", lambda: 1)
    one_core = {"measurements": []}
    cluster.measure_speed_up(one_core, 4, 1, None)
    assert one_core["measurements"] == []


def test_copies_share_the_space_of_a_file_up_to_the_limit_of_links(tmp_path, monkeypatch):
    """File systems refuse more than 32,000 or 65,000 names of one file."""
    monkeypatch.setattr(cluster, "LINKS", 3)
    cluster.make_copies(tmp_path, (16, 24), 7)
    paths = sorted(tmp_path.iterdir())
    assert [path.name for path in paths] == [f"{k}.jpg" for k in range(7)]
    assert sorted(path.stat().st_nlink for path in paths) == [1, 3, 3, 3, 3, 3, 3]
    assert len({path.read_bytes() for path in paths}) == 1


def test_every_simulated_name_is_looked_up_and_recorded():
    found = [cluster_tasks.list_names(3, 700, recorded) for recorded in (False, True)]
    assert all(one["seconds"] > 0 and one["cpu"] > 0 for one in found)
    assert found[1]["journal"] - found[0]["journal"] > 2100 * 100  # bytes: each row holds two names and two stamps


def test_files_pass_through_the_engine(tmp_path):
    cluster.make_copies(tmp_path, (16, 24), 40)
    found = cluster.run_child(f"time_files({str(tmp_path)!r}, 40, 1, True)", module=cluster.MODULE)
    assert found["failed"] == 0 and found["seconds"] > 0 and found["peak"] > 10**7 and found["journal"] > 0
