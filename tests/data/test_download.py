"""Download from a local server that has a good photo, a changed one and a missing one, and from faulty servers."""

import contextlib
import hashlib
import io
import re
import threading
import zipfile
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from ssdie.cli import main
from ssdie.data import download as downloads

GOOD, CHANGED, MISSING = b"a good photo", b"a photo that changed", b"a photo that is missing"


class Handler(SimpleHTTPRequestHandler):
    """Serve files and record the requested paths."""

    requested: list[str] = []

    def do_GET(self):
        self.requested.append(self.path)
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
    Handler.requested = []
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as httpd:
        Thread(target=httpd.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}/"
        httpd.shutdown()


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_failures_are_reported_and_leave_no_file(server, tmp_path):
    paths, failures = downloads.download(tmp_path / "out", base_url=server, retries=0)
    assert [p.read_bytes() for p in paths] == [GOOD]
    assert files(tmp_path / "out") == ["dusty/train/d0.jpg"]
    assert "SHA-256" in failures["d1.jpg"] and "404" in failures["v0.jpg"] and len(failures) == 2


def test_only_missing_and_damaged_photos_are_downloaded(server, tmp_path):
    out = tmp_path / "out"
    downloads.download(out, ["d0.jpg"], server)
    assert Handler.requested == ["/new_Image/good%20photo.jpg"]
    downloads.download(out, ["d0.jpg"], server)
    assert len(Handler.requested) == 1
    (out / "dusty" / "train" / "d0.jpg").write_bytes(GOOD[:5])  # as an interrupted copy
    paths, failures = downloads.download(out, ["d0.jpg"], server)
    assert len(Handler.requested) == 2 and paths[0].read_bytes() == GOOD and not failures


def test_failed_photo_is_retried(server, tmp_path):
    downloads.download(tmp_path / "out", ["val"], server, retries=2)
    assert len(Handler.requested) == 3


def test_unreachable_server_is_reported(tmp_path, server):
    _, failures = downloads.download(tmp_path / "out", ["d0.jpg"], "http://127.0.0.1:9/", retries=0)
    assert "network" in failures["d0.jpg"] and files(tmp_path / "out") == []


# Faulty servers -----------------------------------------------------------------------------------------------------


class Hostile(BaseHTTPRequestHandler):
    """Respond to each request by calling `answer`."""

    answer = staticmethod(lambda request: None)

    def do_GET(self):
        self.answer(self)

    def log_message(self, *args):
        pass

    def begin(self, status=200, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()


def other_bytes(request):
    request.begin()
    request.wfile.write(b"another photo")


def missing_with_a_page(request):
    request.begin(404, Content_Type="text/html")
    request.wfile.write(b"<html>not found</html>")


def page_instead_of_photo(request):
    request.begin(Content_Type="text/html")
    request.wfile.write(b"<html>please sign in</html>")


def truncated_file(request):
    request.begin(Content_Length=str(len(GOOD)))
    request.wfile.write(GOOD[: len(GOOD) // 2])


def no_response(request):
    threading.Event().wait(3)


def slow_response(request):
    request.begin(Content_Length="1000")
    with contextlib.suppress(OSError):
        for _ in range(200):
            request.wfile.write(b"x")
            request.wfile.flush()
            threading.Event().wait(0.1)


def endless_response(request):
    request.begin()
    with contextlib.suppress(OSError):
        while True:
            request.wfile.write(bytes(2**20))


def redirect_to_a_file(request):
    request.begin(302, Location=f"file://{downloads.REGISTRY}")


def redirect_to_itself(request):
    request.begin(302, Location=request.path)


def archive_with_parent_path(request):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("../../outside.jpg", GOOD)
    request.begin(Content_Type="application/zip")
    request.wfile.write(packed.getvalue())


@pytest.fixture
def hostile(server):
    with ThreadingHTTPServer(("127.0.0.1", 0), Hostile) as httpd:
        httpd.daemon_threads, httpd.block_on_close = True, False
        Thread(target=httpd.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}/"
        httpd.shutdown()


@pytest.mark.parametrize(
    "answer, message",
    [
        (other_bytes, "wrong SHA-256 .* deleted"),
        (missing_with_a_page, "404 .* Try again later"),
        (page_instead_of_photo, "wrong SHA-256"),
        (truncated_file, "no response .ChunkedEncodingError"),
        (no_response, "no response .ReadTimeout"),
        (slow_response, "no response .ReadTimeout"),
        (endless_response, "too large"),
        (redirect_to_a_file, "not http. Refused"),
        (redirect_to_itself, "no response .TooManyRedirects"),
        (archive_with_parent_path, "wrong SHA-256"),
    ],
)
def test_a_faulty_response_is_reported_and_leaves_no_file(hostile, tmp_path, monkeypatch, answer, message):
    monkeypatch.setattr(Hostile, "answer", staticmethod(answer))
    monkeypatch.setattr(downloads, "LARGEST", 2**22)
    timeout = 0.2 if answer in (no_response, slow_response) else 20
    before = files(tmp_path)
    paths, failures = downloads.download(tmp_path / "out", ["d0.jpg"], hostile, retries=0, timeout=timeout)
    left = [file for file in files(tmp_path) if file not in before]
    assert paths == [] and left == [] and re.search(message, failures["d0.jpg"]), failures


def test_failed_download_keeps_the_existing_good_photo(hostile, server, tmp_path, monkeypatch):
    monkeypatch.setattr(Hostile, "answer", staticmethod(other_bytes))
    paths, _ = downloads.download(tmp_path / "out", ["d0.jpg"], server)
    again, failures = downloads.download(tmp_path / "out", ["d0.jpg"], hostile, retries=0)
    assert again == paths and not failures and paths[0].read_bytes() == GOOD


def test_registry_with_a_path_outside_the_folder_is_refused(server, tmp_path):
    text = downloads.REGISTRY.read_text().replace("d0.jpg", "../../../d0.jpg", 1)
    downloads.REGISTRY.write_text(text)
    with pytest.raises(ValueError, match="outside"):
        downloads.download(tmp_path / "out", base_url=server, retries=0)
    assert Handler.requested == [] and not (tmp_path / "out").exists()


@pytest.mark.parametrize("by", ["flag", "variable"])
def test_offline_verifies_without_requests(server, tmp_path, monkeypatch, by):
    out = tmp_path / "out"
    downloads.download(out, ["d0.jpg"], server)
    Handler.requested.clear()
    monkeypatch.setenv("SSDIE_OFFLINE", "1" if by == "variable" else "0")
    offline = True if by == "flag" else None
    paths, failures = downloads.download(out, base_url=server, offline=offline)
    assert [path.name for path in paths] == ["d0.jpg"] and set(failures) == {"d1.jpg", "v0.jpg"}
    paths[0].write_bytes(b"damaged")
    paths, failures = downloads.download(out, ["d0.jpg"], server, offline=offline)
    assert paths == [] and "SSDIE_OFFLINE" in failures["d0.jpg"] and Handler.requested == []


# The command --------------------------------------------------------------------------------------------------------


def test_unknown_name_is_refused_before_any_request(server, tmp_path):
    with pytest.raises(ValueError, match="nobody.jpg"):
        downloads.download(tmp_path / "out", ["d0.jpg", "nobody.jpg"], server)
    assert Handler.requested == []


def test_command_prints_licence_and_failures(server, tmp_path, capsys):
    command = ["download", "-o", str(tmp_path / "out"), "--base-url", server, "--retries", "0"]
    assert main([*command, "d0.jpg"]) == 0
    assert "licence" in capsys.readouterr().out
    assert main(command) == 1
    printed = capsys.readouterr()
    assert "1 of 3" in printed.out and "d1.jpg" in printed.err and "v0.jpg" in printed.err
    assert main([*command, "nobody.jpg"]) == 2


def test_registry_lists_197_photos():
    registry = downloads.read_registry()
    splits = [row["split"] for row in registry.values()]
    assert {s: splits.count(s) for s in set(splits)} == {"train": 169, "val": 20, "test": 8}
    assert all(re.fullmatch("[0-9a-f]{64}", row["sha256"]) for row in registry.values())
    assert len({row["original"] for row in registry.values()}) == len({r["sha256"] for r in registry.values()}) == 197
    assert re.fullmatch("[0-9a-f]{40}", downloads.COMMIT) and downloads.COMMIT in downloads.BASE_URL
