"""The second version: comments that are stored already have no role."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import text

from liveserver.backend.engine import open_engine
from liveserver.backend.migrations import HEAD, migrate
from tests.backend.test_migrations import differences, filled, run, writing


def test_comments_from_before_have_no_role(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'likes.db'}"
    filled(url)
    run(
        url,
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)",
        "INSERT INTO alembic_version VALUES ('0001')",
    )
    engine = open_engine(url, writes=True)
    assert (migrate(engine), migrate(engine)) == ("0001", HEAD)
    engine.dispose()
    assert differences(url) == []
    with writing(url) as connection:
        found = connection.execute(text("SELECT text, role FROM comments ORDER BY number")).all()
    assert found == [("old", None), ("timed", None)]
