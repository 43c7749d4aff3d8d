"""Opens the storage of recordings that the settings name."""

from __future__ import annotations

from pathlib import Path

from liveserver.auth.keys import read_secrets
from liveserver.config import RecorderSettings
from liveserver.errors import ConfigError
from liveserver.recorder.directory import Directory
from liveserver.recorder.store import ObjectStore


def location(settings: RecorderSettings) -> str:
    """Return where recordings are, for messages."""
    return f"s3://{settings.s3_bucket}/{settings.s3_prefix}" if settings.s3_bucket else settings.directory


def open_store(settings: RecorderSettings, *, retries: bool = True) -> ObjectStore:
    """Return the store; nothing is connected yet. `retries`: of failed requests. Raises `ConfigError`."""
    if not settings.s3_bucket:
        return Directory(Path(settings.directory))
    try:
        from liveserver.recorder.s3 import ATTEMPTS, BucketStore
    except ImportError as error:
        raise ConfigError("recorder.s3_bucket", f"{error}; install liveserver[s3]") from None
    keys = read_secrets("recorder.s3_secret_key", settings.s3_secret_key, settings.s3_secret_key_file, 1)
    return BucketStore(settings, keys[0] if keys else None, ATTEMPTS if retries else 1)
