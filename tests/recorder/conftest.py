"""Fixtures: a server of buckets, and an empty bucket of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from liveserver.recorder.s3 import BucketStore
from tests.recorder.buckets import empty_bucket, running_server


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    with running_server() as url:
        yield url


@pytest.fixture
def store(server: str) -> BucketStore:
    return empty_bucket(server)
