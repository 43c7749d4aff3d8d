"""The storage that the settings name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from liveserver.config import RecorderSettings
from liveserver.errors import ConfigError
from liveserver.recorder.directory import Directory
from liveserver.recorder.opening import location, open_store
from tests.recorder.buckets import KEY, settings

NOWHERE = "http://127.0.0.1:1"


def test_a_directory_unless_a_bucket_is_named() -> None:
    assert location(RecorderSettings()) == "data/recordings"
    assert isinstance(open_store(RecorderSettings()), Directory)
    assert location(settings(NOWHERE)) == "s3://recordings/live/"
    from liveserver.recorder.s3 import BucketStore  # it takes long to import

    assert isinstance(open_store(settings(NOWHERE)), BucketStore)


def test_the_secret_key_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    opened = open_store(settings(NOWHERE, s3_secret_key=None, s3_secret_key_file=str(file)))
    from liveserver.recorder.s3 import BucketStore

    assert isinstance(opened, BucketStore)
    assert opened._client._request_signer._credentials.secret_key == KEY
    file.write_text("\n")
    with pytest.raises(ConfigError, match="s3_secret_key_file"):
        open_store(settings(NOWHERE, s3_secret_key=None, s3_secret_key_file=str(file)))


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "liveserver.recorder.s3", raising=False)
    monkeypatch.setitem(sys.modules, "botocore.config", None)
    with pytest.raises(ConfigError, match=r"liveserver\[s3\]"):
        open_store(settings(NOWHERE))
