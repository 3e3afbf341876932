"""Object stores, by a server on this machine: in and out, whole journals, no credential anywhere."""

import pytest
from photos import StubModel, photo_folder

from ssdie.batch.storage import check_url
from ssdie.enhancement.folder import enhance_files

pytest.importorskip("s3fs")
server = pytest.importorskip("moto.server")


@pytest.fixture
def store(monkeypatch, tmp_path):
    import fsspec

    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    names = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "very-secret", "AWS_DEFAULT_REGION": "us-east-1"}
    names |= {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    fsspec.filesystem("s3").clear_instance_cache()
    store = fsspec.filesystem("s3", use_listings_cache=False)
    store.mkdir("photos-in")
    store.mkdir("photos-out")
    yield store
    running.stop()


def test_from_bucket_to_bucket_and_resumed(store, tmp_path):
    folder = photo_folder(tmp_path / "photos", ("a.png", "b.jpg", "in/c.png"))
    store.put(str(folder), "photos-in/", recursive=True)
    store.pipe_file("photos-in/photos/notes.txt", b"no photo")
    settings = {"model": StubModel(), "progress": False, "working_size": 32}
    seen = []
    urls = ["s3://photos-in/photos", "s3://photos-in/none"]
    failures = enhance_files(urls, "s3://photos-out/new", report=seen.append, **settings)
    assert [failure.path for failure in failures] == ["s3://photos-in/none"]
    assert sorted(outcome.outcome for outcome in seen) == ["done", "done", "done", "failed", "skipped"]
    assert enhance_files([folder], tmp_path / "here", **settings) == []
    for name in ("a.png", "b.jpg", "in/c.png"):
        assert store.cat_file(f"photos-out/new/{name}") == (tmp_path / "here" / name).read_bytes()
    seen.clear()
    enhance_files(urls[:1], "s3://photos-out/new", report=seen.append, resume=True, **settings)
    assert sorted(outcome.outcome for outcome in seen) == ["kept", "kept", "kept", "skipped"]
    journal = store.cat_file("photos-out/new/.ssdie/journal.sqlite")
    assert journal.startswith(b"SQLite") and b"very-secret" not in journal


def test_addresses_with_credentials_are_refused_without_repeating_them():
    with pytest.raises(ValueError, match="without credentials") as refused:
        check_url("s3://key:" + "very-secret@bucket/photos")
    assert "very-secret" not in str(refused.value)
