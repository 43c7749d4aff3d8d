"""The likes backend's tables.

Totals are updated in the same transaction as the likes, so that rows never have to be counted. Times are
milliseconds since the epoch and only for display: no decision depends on them.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    event,
)

NUMBER = BigInteger().with_variant(Integer, "sqlite")  # SQLite only autoincrements INTEGER

metadata = MetaData()

# One row: the database's own id, and how long it has been in use, in milliseconds of monotonic clocks.
store = Table(
    "store",
    metadata,
    Column("only", Integer, primary_key=True),
    Column("id", String(32), nullable=False),
    Column("age", BigInteger, nullable=False),
)

# One row per run of a backend process; `serial` is the number of its last transaction.
lives = Table(
    "lives",
    metadata,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    Column("serial", BigInteger, nullable=False),
    Column("previous", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

likes = Table(
    "likes",
    metadata,
    Column("id", String(128), primary_key=True),
    Column("video", String(128), nullable=False),
    Column("user", String(128)),
    Column("reaction", String(32), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("position", BigInteger),  # media time, in milliseconds
)

comments = Table(
    "comments",
    metadata,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    Column("id", String(128), nullable=False, unique=True),
    Column("video", String(128), nullable=False),
    Column("user", String(128)),
    Column("text", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("position", BigInteger),
    Column("retracted", Boolean, nullable=False, default=False),
    Column("role", String(16)),  # the user's: host or moderator
)
comments_shown = Index(
    "comments_shown",
    comments.c.video,
    comments.c.number,
    sqlite_where=(is_shown := ~comments.c.retracted),
)

Index("comments_by_time", comments.c.video, comments.c.at, comments.c.id)

totals = Table(
    "totals",
    metadata,
    Column("video", String(128), primary_key=True),
    Column("reaction", String(32), primary_key=True),
    Column("total", BigInteger, nullable=False),
    Column("announced", BigInteger, nullable=False, server_default="0"),  # what a dispatcher has accepted
)
totals_owed = Index(
    "totals_owed",
    totals.c.video,
    sqlite_where=(is_unannounced := totals.c.total > totals.c.announced),
)

# Other stores' totals, from the videos' logs.
peer_totals = Table(
    "peer_totals",
    metadata,
    Column("video", String(128), primary_key=True),
    Column("store", String(64), primary_key=True),
    Column("reaction", String(32), primary_key=True),
    Column("total", BigInteger, nullable=False),
)

# How far the videos' logs have been read; not complete: with a gap.
followed = Table(
    "followed",
    metadata,
    Column("video", String(128), primary_key=True),
    Column("epoch", String(16), nullable=False),
    Column("heard", BigInteger, nullable=False),
    Column("is_complete", Boolean, nullable=False),
)

# The newest event of each key that says what holds for a video: settings, bans and so on.
rules = Table(
    "rules",
    metadata,
    Column("video", String(128), primary_key=True),
    Column("key", String(128), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("id", String(128), nullable=False),
    Column("line", LargeBinary, nullable=False),
)

# What moderators did: events with `by`, as JSON.
acts = Table(
    "acts",
    metadata,
    Column("id", String(128), primary_key=True),
    Column("video", String(128), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("event", LargeBinary, nullable=False),
)
Index("acts_by_time", acts.c.video, acts.c.at, acts.c.id)

# Events that no dispatcher has accepted yet, as far as recorded.
outbox = Table(
    "outbox",
    metadata,
    Column("sender", String(64), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("is_retraction", Boolean, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

# The answers to requests with an Idempotency-Key, while they may be repeated. `expires` is measured by the
# store's age; `user` is empty for requests without one.
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("video", String(128), primary_key=True),
    Column("route", String(16), primary_key=True),
    Column("user", String(128), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("answer", LargeBinary, nullable=False),
    Column("expires", BigInteger, nullable=False),
)
Index("idempotency_keys_expire", idempotency_keys.c.expires)


def _limit_in_postgresql(index: Index, condition: ColumnElement[bool]) -> None:
    """Make a partial index in PostgreSQL, too: its dialect, named above, would be imported at every start."""

    @event.listens_for(index, "before_create")
    def add_condition(index: Index, connection: Connection, **_: Any) -> None:
        if connection.dialect.name == "postgresql":
            index.dialect_options["postgresql"]["where"] = condition


_limit_in_postgresql(comments_shown, is_shown)
_limit_in_postgresql(totals_owed, is_unannounced)
