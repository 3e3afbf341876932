"""Object storage with a local S3 server: input and output, no partial objects, no credentials in any output."""

import json
import os

import pytest
from faults import ENVIRONMENT, SSDIE, run_child
from photos import StubModel, photo_folder

from ssdie.batch import storage
from ssdie.batch.jobs import Naming
from ssdie.batch.journal import journal_path
from ssdie.batch.listing import StreamedJobs
from ssdie.batch.report import summarize
from ssdie.enhancement.folder import enhance_files

pytest.importorskip("s3fs")
server = pytest.importorskip("moto.server")
SECRETS = ("key-of-nobody", "very-secret")
SETTINGS = {"model": StubModel(), "progress": False, "working_size": 32}


@pytest.fixture(scope="module")
def address():
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://127.0.0.1:{port}"
    running.stop()


@pytest.fixture
def store(address, monkeypatch, tmp_path):
    """Empty buckets photos-in and photos-out."""
    import fsspec

    names = {"AWS_ACCESS_KEY_ID": SECRETS[0], "AWS_SECRET_ACCESS_KEY": SECRETS[1], "AWS_DEFAULT_REGION": "us-east-1"}
    names |= {"AWS_ENDPOINT_URL": address, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    fsspec.filesystem("s3").clear_instance_cache()
    store = fsspec.filesystem("s3", use_listings_cache=False)
    for bucket in ("photos-in", "photos-out"):
        if store.exists(bucket):
            store.rm(bucket, recursive=True)
        store.mkdir(bucket)
    return store


def objects(store, bucket: str) -> list[str]:
    return sorted(name for name in store.find(bucket) if "/.ssdie/" not in name)


def test_a_run_from_bucket_to_bucket_is_resumed(store, tmp_path, monkeypatch):
    folder = photo_folder(tmp_path / "photos", ("a.png", "b.jpg", "in/c.png"))
    store.put(str(folder), "photos-in/", recursive=True)
    store.pipe_file("photos-in/photos/notes.txt", b"no photo")
    seen = []
    urls = ["s3://photos-in/photos", "s3://photos-in/none", "s3://no-such-bucket/photos"]
    failures = enhance_files(urls, "s3://photos-out/new", report=seen.append, **SETTINGS)
    assert [failure.path for failure in failures] == urls[1:]
    assert sorted(outcome.outcome for outcome in seen) == ["done", "done", "done", "failed", "failed", "skipped"]
    assert enhance_files([folder], tmp_path / "here", **SETTINGS) == []
    for name in ("a.png", "b.jpg", "in/c.png"):
        assert store.cat_file(f"photos-out/new/{name}") == (tmp_path / "here" / name).read_bytes()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache of another machine"))
    assert summarize("s3://photos-out/new")["files"] == {"done": 3, "failed": 2, "skipped": 1}
    seen.clear()
    store.put(str(folder / "a.png"), "photos-in/photos/b.jpg")
    enhance_files(urls[:1], "s3://photos-out/new", report=seen.append, resume=True, **SETTINGS)
    assert sorted(outcome.outcome for outcome in seen) == ["done", "kept", "kept", "repeated", "skipped"]


def test_a_failing_upload_leaves_no_object_and_fails_only_its_own_file(store, tmp_path, monkeypatch):
    folder = photo_folder(tmp_path / "photos", ("a.png", "b.png"))
    upload = store.put_file

    def put_file(source, target, **options):
        if target.endswith("a.png"):
            raise OSError(28, "No space left on device")
        return upload(source, target, **options)

    monkeypatch.setattr(store, "put_file", put_file)  # fsspec caches file systems: the package uses this one
    (failure,) = enhance_files([folder], "s3://photos-out/new", **SETTINGS)
    assert failure.path.name == "a.png" and "No space left" in failure.reason
    assert objects(store, "photos-out") == ["photos-out/new/b.png"]


def test_a_missing_output_bucket_is_refused(store, tmp_path):
    folder = photo_folder(tmp_path / "photos", ("a.png",))
    with pytest.raises(FileNotFoundError, match="s3://nowhere/new: expected a bucket to write to"):
        enhance_files([folder], "s3://nowhere/new", **SETTINGS)


def test_an_unreadable_prefix_is_a_failure_and_the_others_are_enhanced(store, tmp_path, monkeypatch):
    folder = photo_folder(tmp_path / "photos", ("a/1.png", "b/2.png", "c/3.png"))
    store.put(str(folder), "photos-in/", recursive=True)
    listed = store.ls

    def ls(path, **options):
        if path.endswith("/b"):
            raise PermissionError(13, "Access Denied")
        return listed(path, **options)

    monkeypatch.setattr(store, "ls", ls)
    (failure,) = enhance_files(["s3://photos-in/photos"], "s3://photos-out/new", **SETTINGS)
    assert (failure.path, failure.reason) == ("s3://photos-in/photos/b", "it cannot be listed (Access Denied)")
    assert objects(store, "photos-out") == ["photos-out/new/a/1.png", "photos-out/new/c/3.png"]


def test_twenty_thousand_keys_are_listed_one_prefix_at_a_time(store, monkeypatch):
    from moto.s3.models import s3_backends

    backend = s3_backends["123456789012"]["aws"]
    store.mkdir("many")
    for k in range(20_000):  # directly in the backend: by HTTP it would take a minute
        backend.put_object("many", f"{k // 1000:02}/{k:05}.jpg", b"")
    listed, requested = store.ls, []
    monkeypatch.setattr(store, "ls", lambda path, **options: requested.append(path) or listed(path, **options))
    jobs = StreamedJobs(["s3://many"], "out", Naming("", "png"))
    for k, (source, target) in enumerate(jobs):
        assert source == f"s3://many/{k // 1000:02}/{k:05}.jpg"
        assert target == os.path.join("out", f"{k // 1000:02}/{k:05}.png")
        assert len(requested) == 2 + k // 1000  # the bucket, and the prefixes up to this one
    assert k == 19_999
    assert StreamedJobs(["s3://many/03"], "out", Naming()).count() == 1000


def test_no_credential_is_written_to_the_journal_or_printed(store, tmp_path):
    folder = photo_folder(tmp_path / "photos", ("a.png",))
    store.put(str(folder), "photos-in/", recursive=True)
    words = ["enhance", "s3://photos-in/photos", "s3://no-such-bucket/x", "-o", "s3://photos-out/new", "--json"]
    environment = ENVIRONMENT | {k: v for k, v in os.environ.items() if k.startswith(("AWS_", "XDG_"))}
    done = run_child([*SSDIE, *words], env=environment)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1 and sorted(line["outcome"] for line in lines) == ["done", "failed"], done.stderr
    wrong = environment | {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}
    refused = run_child([*SSDIE, *words], env=wrong)
    assert refused.returncode in (1, 2) and "Traceback" not in refused.stderr
    journal = journal_path(storage.journal_folder("s3://photos-out/new")).read_bytes()
    printed = (done.stdout + done.stderr + refused.stdout + refused.stderr).encode()
    assert b"photos-in" in journal and b"photos-in" in printed
    assert not [secret for secret in SECRETS if secret.encode() in journal + printed]


def test_addresses_with_credentials_are_refused_without_repeating_them():
    with pytest.raises(ValueError, match="without credentials") as refused:
        storage.check_url("s3://key:" + "very-secret@bucket/photos")
    assert "very-secret" not in str(refused.value)
