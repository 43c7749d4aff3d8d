"""The first version: its script alone makes what `schema.py` describes, around the data that is there."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import text

from liveserver.backend.engine import open_engine
from liveserver.backend.migrations import migrate
from tests.backend.test_migrations import differences, run, writing


def test_the_first_version_by_its_script_is_the_schema(tmp_path: Path) -> None:
    """A database with one of our tables is upgraded by scripts alone, not made from `schema.py`."""
    url = f"sqlite:///{tmp_path / 'likes.db'}"
    run(url, "CREATE TABLE totals (video VARCHAR(128) NOT NULL, reaction VARCHAR(32) NOT NULL, "
             "total BIGINT NOT NULL, PRIMARY KEY (video, reaction))",
             "INSERT INTO totals VALUES ('v', 'heart', 5)")  # fmt: skip
    engine = open_engine(url, writes=True)
    assert migrate(engine) is None
    engine.dispose()
    assert differences(url) == []
    with writing(url) as connection:
        assert connection.execute(text("SELECT total, announced FROM totals")).all() == [(5, 5)]
