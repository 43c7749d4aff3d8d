"""What a likes database has of one user: exported, and erased. Beside a running backend, in a transaction."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, delete, select, update

from liveserver.backend.engine import open_engine
from liveserver.backend.schema import comments, idempotency_keys, likes
from liveserver.config import BackendSettings


def open_database(settings: BackendSettings) -> Engine | None:
    """Return the database of these settings; None where there is none yet. Raises as `open_engine` does."""
    database = settings.database
    if "://" not in database:
        path = Path(settings.directory) / database
        if not path.exists():
            return None
        database = f"sqlite:///{path}"
    return open_engine(database, writes=True)


def export_user(engine: Engine, user: str) -> Iterator[dict[str, Any]]:
    """Yield the user's likes and comments, by time. Raises `SQLAlchemyError`."""
    with engine.begin() as connection:
        for kind, table in (("like", likes), ("comment", comments)):
            rows = connection.execute(
                select(table).where(table.c.user == user).order_by(table.c.at, table.c.id)
            )
            for row in rows.mappings():
                shown = {name: value for name, value in row.items() if value is not None and name != "number"}
                yield {"stored": kind, **shown}


def erase_user(engine: Engine, user: str) -> int:
    """Take the user's name from likes, and the content from comments; return how many there were.

    Likes still count. Raises `SQLAlchemyError`.
    """
    with engine.begin() as connection:
        nameless = connection.execute(update(likes).where(likes.c.user == user).values(user=None))
        empty = connection.execute(
            update(comments).where(comments.c.user == user).values(retracted=True, text="", user=None)
        )
        connection.execute(delete(idempotency_keys).where(idempotency_keys.c.user == user))
        return int(nameless.rowcount) + int(empty.rowcount)
