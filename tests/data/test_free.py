"""Freely licensed photographs: the registry, and downloads from a local server with the same paths."""

import csv
import hashlib
import re
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from ssdie.cli import main
from ssdie.data import free

COMMIT = "0123456789" * 4
FILES = {"d.jpg": ("dusty", "some folder/dust.jpg", b"dust"), "m.png": ("mars", "m.png", b"mars")}


class Quiet(SimpleHTTPRequestHandler):
    """Serve files without a log."""

    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A registry of two photographs, a server that has both, and an empty cache."""
    rows = []
    for name, (kind, path, content) in FILES.items():
        original = f"owner/repository/{COMMIT}/{path}"
        file = tmp_path / "server" / original
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        rows.append(
            {"name": name, "kind": kind, "title": f"A {kind} view", "author": "Ada", "licence": "CC BY 4.0",
             "certainty": "high", "stated": "README", "original": original,
             "sha256": hashlib.sha256(content).hexdigest()}
        )  # fmt: skip
    with (tmp_path / "free.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    monkeypatch.setattr(free, "REGISTRY", tmp_path / "free.csv")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path / "server")) as httpd:
        Thread(target=httpd.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}/"
        httpd.shutdown()


def test_the_command_fills_the_cache_and_prints_the_credits(server, tmp_path, capsys):
    assert free.free_photos() == []
    assert main(["download", "--free", "--base-url", server, "--retries", "0"]) == 0
    printed = capsys.readouterr().out
    assert "d.jpg: A dusty view. By Ada. CC BY 4.0" in printed and "2 of 2" in printed
    photos = free.free_photos()
    assert [(p.name, p.path.read_bytes()) for p in photos] == [("d.jpg", b"dust"), ("m.png", b"mars")]
    assert photos[0].path == tmp_path / "cache" / "ssdie" / "free" / "dusty" / "d.jpg"
    assert photos[0].credit == "A dusty view. By Ada. CC BY 4.0"
    assert [p.name for p in free.free_photos("mars")] == ["m.png"]


def test_a_kind_a_name_and_a_folder_can_be_chosen(server, tmp_path):
    words = ["download", "--free", "--base-url", server, "-o", str(tmp_path / "out")]
    assert main([*words, "mars"]) == 0 and [p.name for p in (tmp_path / "out").rglob("*.*")] == ["m.png"]
    assert main([*words, "d.jpg"]) == 0 and (tmp_path / "out" / "dusty" / "d.jpg").is_file()
    assert main([*words, "nobody.jpg"]) == 2


def test_changed_and_missing_files_are_failures_and_are_not_listed(server, tmp_path, capsys):
    (tmp_path / "server" / "owner" / "repository" / COMMIT / "some folder" / "dust.jpg").write_bytes(b"other")
    (tmp_path / "server" / "owner" / "repository" / COMMIT / "m.png").unlink()
    assert main(["download", "--free", "--base-url", server, "--retries", "0"]) == 1
    error = capsys.readouterr().err
    assert "d.jpg: wrong SHA-256" in error and "m.png: 404" in error and free.free_photos() == []


def test_a_damaged_file_in_the_cache_is_not_listed(server):
    free.download_free(base_url=server)
    free.free_photos("dusty")[0].path.write_bytes(b"damaged")
    assert [p.name for p in free.free_photos()] == ["m.png"]


def test_without_free_a_folder_is_required(server, capsys):
    assert main(["download"]) == 2
    assert "-o" in capsys.readouterr().err


def test_a_registry_with_a_path_outside_the_cache_is_refused(server):
    free.REGISTRY.write_text(free.REGISTRY.read_text().replace("d.jpg", "../d.jpg", 1))
    with pytest.raises(ValueError, match="Restore the registry"):
        free.download_free(base_url=server)


def test_every_registered_photograph_has_a_source_a_digest_an_author_and_a_licence():
    photos = free.read_free_registry()
    kinds = [photo.kind for photo in photos]
    assert {kind: kinds.count(kind) for kind in free.KINDS} == {"dusty": 16, "mars": 4, "clear": 11}
    for photo in photos:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+/[0-9a-f]{40}/.+", photo.original), photo.name
        assert re.fullmatch(r"[0-9a-f]{64}", photo.sha256) and photo.author and photo.licence and photo.stated
        assert photo.original.lower().endswith(photo.path.suffix)
    assert len({photo.path for photo in photos}) == len({photo.sha256 for photo in photos}) == len(photos)
