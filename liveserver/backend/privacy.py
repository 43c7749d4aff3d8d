"""Exports and erases a user's data in a likes database. Works beside a running backend, in a transaction.

Rules:

1. Users are named in likes and comments, events that wait to be published, rules, and moderators' acts.
2. A ban in force is kept, with its user: otherwise the user could watch again. Lift it first.
3. Of an erased rule the key is kept, as cleared and with its rank, so that no older rule comes back.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, Row, delete, select, update

from liveserver import state
from liveserver.backend.engine import open_engine
from liveserver.backend.schema import acts, comments, idempotency_keys, likes, outbox, rules
from liveserver.config import BackendSettings
from liveserver.moderation.personal import NAMES, does_name, is_about, user_keys, without_user
from liveserver.moderation.rules import Rules

BATCH_SIZE = 1_000  # rows read at once


class Erased(msgspec.Struct):
    """How many rows were erased, and how many bans were kept since they are in force."""

    rows: int
    bans_kept: int


def open_database(settings: BackendSettings) -> Engine | None:
    """Return the database of these settings; None if it does not exist yet. Raises as `open_engine` does."""
    database = settings.database
    if "://" not in database:
        path = Path(settings.directory) / database
        if not path.exists():
            return None
        database = f"sqlite:///{path}"
    return open_engine(database, writes=True)


def export_user(engine: Engine, user: str) -> Iterator[dict[str, Any]]:
    """Yield the user's data, each kind by time. Raises `SQLAlchemyError`."""
    with engine.begin() as connection:
        for kind, table in (("like", likes), ("comment", comments)):
            rows = connection.execute(
                select(table).where(table.c.user == user).order_by(table.c.at, table.c.id)
            )
            for stored in rows.mappings():
                shown = {
                    name: value for name, value in stored.items() if value is not None and name != "number"
                }
                yield {"stored": kind, **shown}
        for kind, query in (
            ("rule", select(rules).order_by(rules.c.at, rules.c.id)),
            ("act", select(acts).order_by(acts.c.at, acts.c.id)),
        ):
            for row in connection.execute(query):
                event = _event(row)
                if does_name(event, user):
                    yield {"stored": kind, **event}


def erase_user(engine: Engine, user: str, now: int | None = None) -> Erased:
    """Remove the user's name from likes, and the content from comments, rules and acts.

    Likes still count. `now` is in milliseconds. Raises `SQLAlchemyError`.
    """
    with engine.begin() as connection:
        nameless = connection.execute(update(likes).where(likes.c.user == user).values(user=None))
        empty = connection.execute(
            update(comments).where(comments.c.user == user).values(retracted=True, text="", user=None)
        )
        connection.execute(delete(idempotency_keys).where(idempotency_keys.c.user == user))
        count = int(nameless.rowcount) + int(empty.rowcount)
        _erase_unpublished(connection, user)
        erased, bans = _erase_rules(connection, user, int(time.time() * 1000) if now is None else now)
        return Erased(count + erased + _erase_acts(connection, user), bans)


def _erase_rules(connection: Connection, user: str, now: int) -> tuple[int, int]:
    count = bans = 0
    for row in _naming(connection, rules, user):
        where = (rules.c.video == row.video) & (rules.c.key == row.key)
        if row.key in user_keys(user):
            if _is_banned(row.line, user, now):
                bans += 1
                continue
            connection.execute(delete(rules).where(where))
        else:
            connection.execute(update(rules).where(where).values(line=_line_without(row.line, user)))
        count += 1
    return count, bans


def _erase_acts(connection: Connection, user: str) -> int:
    found = _naming(connection, acts, user)
    for row in found:
        event = msgspec.json.encode(without_user(_event(row), user))
        connection.execute(update(acts).where(acts.c.id == row.id).values(event=event))
    return len(found)


def _erase_unpublished(connection: Connection, user: str) -> None:
    """Erase the user from unpublished events: likes lose the name, comments are not published.

    Retractions stay, since they retract.
    """
    for row in _naming(connection, outbox, user):
        event = _event(row)
        where = (outbox.c.sender == row.sender) & (outbox.c.number == row.number)
        if event.get("type") == "comment":
            connection.execute(delete(outbox).where(where))
            continue
        body = {name: value for name, value in event.items() if name not in NAMES or value != user}
        connection.execute(update(outbox).where(where).values(body=msgspec.json.encode(body)))


def _naming(connection: Connection, table: Any, user: str) -> list[Row[Any]]:
    """Return a table's rows that name a user."""
    rows = connection.execution_options(yield_per=BATCH_SIZE).execute(select(table))
    return [row for row in rows if does_name(_event(row), user) or getattr(row, "key", "") in user_keys(user)]


def _event(row: Row[Any]) -> dict[str, Any]:
    """Return the event in a row of rules, acts or the outbox; an empty one when it is malformed."""
    if hasattr(row, "line"):
        content = bytes(row.line).partition(b" ")[2]
    else:
        content = bytes(row.event if hasattr(row, "event") else row.body)
    try:
        event = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return event if isinstance(event, dict) else {}


def _is_banned(line: bytes, user: str, now: int) -> bool:
    try:
        return Rules([state.read(line)]).ban(user, now) is not None
    except state.MalformedKeyed:
        return False


def _line_without(line: bytes, user: str) -> bytes:
    """Return a rule's line without the user; if its content is theirs, cleared with the same rank."""
    event = msgspec.json.decode(line.partition(b" ")[2])
    keyed = state.read(line)
    head = state.head(
        keyed.type.decode(),
        keyed.key,
        None if keyed.rank[0] == state.NO_VERSION else keyed.rank[0],
        keyed.at,
        is_cleared=keyed.is_cleared or is_about(event, user),
        is_internal=keyed.is_internal,
    )
    left = {"id": event.pop("id"), **without_user(event, user)}  # a keyed line's JSON begins with the id
    return head + b" " + msgspec.json.encode(left)
