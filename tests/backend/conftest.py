"""What several modules of the likes backend's tests begin with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine
from sqlalchemy.engine import Connection

from liveserver.backend.schema import metadata


@pytest.fixture
def database() -> Iterator[Connection]:
    """A connection to an empty SQLite database with all tables."""
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        metadata.create_all(connection)
        yield connection
    engine.dispose()
