import pytest

from ssdie.paths import atomic, data_root, project_root


def test_a_failing_block_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "kept.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["kept.txt"]


def test_missing_folders_are_made(tmp_path):
    with atomic(tmp_path / "a" / "b.bin") as temporary:
        temporary.write_bytes(b"x")
    assert (tmp_path / "a" / "b.bin").read_bytes() == b"x"


def test_data_root_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("SSDIE_DATA", str(tmp_path))
    assert data_root() == tmp_path.resolve()
    monkeypatch.setenv("SSDIE_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        data_root()
    monkeypatch.delenv("SSDIE_DATA")
    assert data_root() is None


def test_the_checkout_holds_the_notebooks():
    assert (project_root() / "notebooks").is_dir()
