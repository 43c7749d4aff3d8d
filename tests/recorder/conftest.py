"""Fixtures: a server of buckets, and an empty bucket of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.recorder.buckets import empty_bucket, running_server

if TYPE_CHECKING:  # it takes long to import
    from liveserver.recorder.s3 import BucketStore


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    with running_server() as url:
        yield url


@pytest.fixture
def store(server: str) -> BucketStore:
    return empty_bucket(server)
