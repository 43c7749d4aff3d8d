"""A server of buckets, and settings that name one of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from liveserver.config import RecorderSettings
from liveserver.recorder.opening import open_store
from liveserver.units import Secret

if TYPE_CHECKING:  # these take long to import
    from liveserver.recorder.s3 import BucketStore

KEY = "a-secret-key-that-no-message-quotes"


@contextmanager
def running_server() -> Iterator[str]:
    """Give the URL of a server. Meanwhile clients share what they have read of botocore's descriptions."""
    from botocore.loaders import create_loader
    from moto.server import ThreadedMotoServer

    loader = create_loader()
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("botocore.session.create_loader", lambda _path: loader)
        yield f"http://{host}:{port}"
    moto.stop()


def settings(server: str, **more: Any) -> RecorderSettings:
    given: dict[str, Any] = {
        "s3_bucket": "recordings",
        "s3_prefix": "live/",
        "s3_endpoint": server,
        "s3_region": "us-east-1",
        "s3_access_key": "id",
        "s3_secret_key": Secret(KEY),
    }
    return RecorderSettings(**(given | more))


def empty_bucket(server: str) -> BucketStore:
    """Return the store of an empty bucket, the only one of the server."""
    httpx.post(f"{server}/moto-api/reset", trust_env=False, timeout=60).raise_for_status()
    from liveserver.recorder.s3 import BucketStore

    opened = open_store(settings(server))
    assert isinstance(opened, BucketStore)
    opened._client.create_bucket(Bucket="recordings")
    return opened
