"""What each storage of recordings does alike."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from liveserver.recorder.directory import Directory
from liveserver.recorder.store import ObjectStore

if TYPE_CHECKING:  # it takes long to import
    from liveserver.recorder.s3 import BucketStore


@pytest.fixture(params=["directory", "bucket"])
def either(request: pytest.FixtureRequest, tmp_path: Path, store: BucketStore) -> ObjectStore:
    return store if request.param == "bucket" else Directory(tmp_path / "recordings")


def test_objects_are_written_read_and_deleted(either: ObjectStore) -> None:
    assert either.read("v/index.json") is None
    assert either.folders() == either.leftovers("v") == []
    either.delete("v/index.json")
    either.check()
    assert either.folders() == []  # it leaves nothing behind
    with either.locked("v"):
        for _ in range(2):
            either.write_once("v/a.gz", b"a")
        either.replace("v/index.json", b"1", None)
        either.replace("v/index.json", b"22", b"1")
    either.write_once("w.x/a.gz", b"")
    assert either.folders() == ["v", "w.x"]
    assert [either.read(name) for name in ("v/a.gz", "v/index.json", "w.x/a.gz")] == [b"a", b"22", b""]
    either.delete("v/a.gz")
    assert either.read("v/a.gz") is None
    assert either.read("v/index.json") == b"22"
