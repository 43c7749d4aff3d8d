"""Recordings in a directory: written whole or not at all."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from liveserver.recorder.directory import LOCK, Directory


def test_what_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = Directory(tmp_path / "file" / "recordings")
    with pytest.raises(NotADirectoryError):
        store.check()
    with pytest.raises(OSError, match="file"):
        store.write_once("v/a.gz", b"")


def files(directory: Path) -> list[str]:
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    store = Directory(tmp_path)
    store.write("v/index.json", b"former")

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        if step == "fsync":
            patched.setattr(os, "fsync", fails)
        else:
            patched.setattr(Path, "replace", fails)
        with pytest.raises(OSError, match="No space left"):
            store.write("v/index.json", b"newer")
    assert store.read("v/index.json") == b"former"
    assert files(tmp_path) == ["v/index.json"], "no temporary file either"


def test_the_file_is_durable_before_it_has_its_name_and_the_name_before_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    synced, replaced = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        steps.append("sync folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "sync file")
        synced(descriptor)

    def replace(path: Path, target: Path) -> Path:
        steps.append("rename")
        return replaced(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    Directory(tmp_path).write("v/a.gz", b"a")
    assert steps == ["sync file", "rename", "sync folder"]


def test_the_same_content_is_not_written_again(tmp_path: Path) -> None:
    store = Directory(tmp_path)
    store.write_once("v/a.gz", b"a")
    before = (tmp_path / "v/a.gz").stat().st_ino
    store.write_once("v/a.gz", b"a")
    assert (tmp_path / "v/a.gz").stat().st_ino == before
    store.write_once("v/a.gz", b"b")
    assert store.read("v/a.gz") == b"b"


def test_a_lock_excludes_others_and_is_no_leftover(tmp_path: Path) -> None:
    store = Directory(tmp_path)
    with store.locked("v"):
        descriptor = os.open(tmp_path / "v" / LOCK, os.O_RDWR)
        try:
            with pytest.raises(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            assert store.leftovers("v") == []
        finally:
            os.close(descriptor)
    with store.locked("v"):
        pass


def test_names_below_a_file_are_not_there(tmp_path: Path) -> None:
    store = Directory(tmp_path)
    store.write("v", b"a file")
    assert store.read("v/index.json") is None
    assert store.leftovers("v") == []
    assert store.folders() == []
    store.delete("nothing")
    assert Directory(tmp_path / "nowhere").folders() == []


def test_a_directory_that_is_not_writable_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Directory(tmp_path / "new" / "er").check()
    assert not (tmp_path / "new").exists()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match="cannot be written to"):
        Directory(tmp_path / "new").check()
