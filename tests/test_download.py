"""Download: against a local server with a good photo, a changed one and a missing one."""

import argparse
import hashlib
import re
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from ssdie import download as downloads

GOOD, CHANGED, MISSING = b"a good photo", b"a photo that changed on its way", b"a photo that is gone"


class Handler(SimpleHTTPRequestHandler):
    """Serves files and remembers what was asked for."""

    asked: list[str] = []

    def do_GET(self):
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    folder = tmp_path / "server"
    (folder / "new_Image").mkdir(parents=True)
    (folder / "new_Image" / "good photo.jpg").write_bytes(GOOD)
    (folder / "new_Image" / "changed.jpg").write_bytes(b"something else")
    registry = tmp_path / "registry.csv"
    rows = [
        ("d0.jpg", "train", "new_Image/good photo.jpg", GOOD),
        ("d1.jpg", "train", "new_Image/changed.jpg", CHANGED),
    ]
    rows.append(("v0.jpg", "val", "new_Image/missing.jpg", MISSING))
    lines = [f"{n},{s},{o},{hashlib.sha256(b).hexdigest()}" for n, s, o, b in rows]
    registry.write_text("\n".join(["name,split,original,sha256", *lines]))
    monkeypatch.setattr(downloads, "REGISTRY", registry)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    Handler.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as httpd:
        Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}/"
        httpd.shutdown()


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_good_photo_comes_the_others_are_reported_and_leave_nothing(server, tmp_path):
    paths, failures = downloads.download(tmp_path / "out", base_url=server, retries=0)
    assert [p.read_bytes() for p in paths] == [GOOD]
    assert files(tmp_path / "out") == ["dusty/train/d0.jpg"]
    assert "SHA-256" in failures["d1.jpg"] and "404" in failures["v0.jpg"] and len(failures) == 2


def test_what_is_there_is_not_fetched_again_and_what_is_damaged_is(server, tmp_path):
    out = tmp_path / "out"
    downloads.download(out, ["d0.jpg"], server)
    assert Handler.asked == ["/new_Image/good%20photo.jpg"]
    downloads.download(out, ["d0.jpg"], server)
    assert len(Handler.asked) == 1
    (out / "dusty" / "train" / "d0.jpg").write_bytes(GOOD[:5])  # as an interrupted copy
    paths, failures = downloads.download(out, ["d0.jpg"], server)
    assert len(Handler.asked) == 2 and paths[0].read_bytes() == GOOD and not failures


def test_failed_photo_is_tried_again(server, tmp_path):
    downloads.download(tmp_path / "out", ["val"], server, retries=2)
    assert len(Handler.asked) == 3


def test_no_server_is_reported(tmp_path, server):
    _, failures = downloads.download(tmp_path / "out", ["d0.jpg"], "http://127.0.0.1:9/", retries=0)
    assert "network" in failures["d0.jpg"] and files(tmp_path / "out") == []


def test_unknown_name_is_refused_before_anything_is_fetched(server, tmp_path):
    with pytest.raises(ValueError, match="nobody.jpg"):
        downloads.download(tmp_path / "out", ["d0.jpg", "nobody.jpg"], server)
    assert Handler.asked == []


def test_command_prints_licence_and_failures(server, tmp_path, capsys):
    parser = argparse.ArgumentParser()
    downloads.add_arguments(parser)
    command = ["-o", str(tmp_path / "out"), "--base-url", server, "--retries", "0"]
    assert downloads.run(parser.parse_args([*command, "d0.jpg"])) == 0
    assert "licence" in capsys.readouterr().out
    assert downloads.run(parser.parse_args(command)) == 1
    shown = capsys.readouterr()
    assert "1 of 3" in shown.out and "d1.jpg" in shown.err and "v0.jpg" in shown.err
    assert downloads.run(parser.parse_args([*command, "nobody.jpg"])) == 2


def test_registry_is_whole():
    registry = downloads.read_registry()
    splits = [row["split"] for row in registry.values()]
    assert {s: splits.count(s) for s in set(splits)} == {"train": 169, "val": 20, "test": 8}
    assert all(re.fullmatch("[0-9a-f]{64}", row["sha256"]) for row in registry.values())
    assert len({row["original"] for row in registry.values()}) == len({r["sha256"] for r in registry.values()}) == 197
    assert re.fullmatch("[0-9a-f]{40}", downloads.COMMIT) and downloads.COMMIT in downloads.BASE_URL
