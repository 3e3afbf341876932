"""The server of the web page: files, content types, headers, refused requests."""

import http.client
import threading

import pytest

from ssdie.cli.page_server import NETWORK, make_server


@pytest.fixture
def connection(tmp_path):
    """A connection to a server of a small page."""
    (tmp_path / "page" / "assets").mkdir(parents=True)
    (tmp_path / "page" / "index.html").write_text("<title>page</title>")
    (tmp_path / "page" / "assets" / "runtime.wasm").write_bytes(b"\0asm")
    (tmp_path / "page" / "manifest.webmanifest").write_text("{}")
    (tmp_path / "secret.txt").write_text("secret")
    with make_server(0, tmp_path / "page") as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
        server.shutdown()
        thread.join()


def get(connection: http.client.HTTPConnection, path: str) -> tuple[http.client.HTTPResponse, bytes]:
    connection.request("GET", path)
    response = connection.getresponse()
    return response, response.read()


@pytest.mark.parametrize(
    "path, kind",
    [
        ("/", "text/html"),
        ("/assets/runtime.wasm", "application/wasm"),
        ("/manifest.webmanifest", "application/manifest+json"),
        ("/msff.onnx", "application/octet-stream"),
    ],
)
def test_files_are_served_with_their_types_and_a_strict_policy(connection, path, kind):
    response, content = get(connection, path)
    assert response.status == 200 and content and response.getheader("Content-Type").startswith(kind)
    policy = response.getheader("Content-Security-Policy")
    assert "default-src 'none'" in policy and "connect-src 'self'" in policy and "http" not in policy
    assert response.getheader("X-Content-Type-Options") == "nosniff"
    if path == "/msff.onnx":
        assert content == NETWORK.read_bytes()


@pytest.mark.parametrize("path", ["/../secret.txt", "/%2e%2e/secret.txt", "/assets/", "/none.js", "//../secret.txt"])
def test_other_paths_are_not_found(connection, path):
    response, content = get(connection, path)
    assert response.status == 404 and b"secret" not in content.replace(path.encode(), b"")


def test_a_page_that_is_not_built_is_refused_with_the_command_that_builds_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="make web"):
        make_server(0, tmp_path)


def test_a_port_that_cannot_be_used_is_refused(connection, tmp_path):
    with pytest.raises(OSError, match="--port"):
        make_server(connection.port, tmp_path / "page")
    with pytest.raises(OSError, match="--port"):
        make_server(70000, tmp_path / "page")
