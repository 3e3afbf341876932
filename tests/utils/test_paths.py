import os

import pytest

from ssdie.utils.paths import atomic, data_root, project_root, remove_stale_parts


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


def test_temporary_files_of_a_killed_writer_are_removed_and_nothing_else(tmp_path):
    with atomic(tmp_path / "a.jpg") as left:
        left.touch()
    left.touch()  # as if it had been killed
    keep = [".photo-20200318.jpg", ".hidden.part.jpg", "a.jpg", "x-20200318.part.jpg"]
    for name in keep:
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, 0))
    remove_stale_parts(tmp_path.iterdir())
    assert left.exists()  # its writer may still be running
    os.utime(left, (0, 0))
    remove_stale_parts(tmp_path.iterdir())
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(keep)


def test_long_names_are_accepted_and_errors_name_the_file(tmp_path):
    with atomic(tmp_path / ("n" * 251 + ".png")) as temporary:
        temporary.touch()
    with pytest.raises(FileNotFoundError, match="a.txt"), atomic(tmp_path / "a.txt"):
        pass  # nothing is written, and the error names the target instead of the temporary file
