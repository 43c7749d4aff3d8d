"""The first version. Databases from before there were versions have some of these tables and columns."""

from __future__ import annotations

from alembic import op
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    inspect,
)

revision = "0001"
down_revision = None

NUMBER = BigInteger().with_variant(Integer, "sqlite")  # SQLite only autoincrements INTEGER

frozen = MetaData()  # as `schema.py` was; it does not change

# One row: the database's own id, and how long it has been in use, in milliseconds of monotonic clocks.
store = Table(
    "store",
    frozen,
    Column("only", Integer, primary_key=True),
    Column("id", String(32), nullable=False),
    Column("age", BigInteger, nullable=False),
)

# One row per run of a backend process; `serial` is the number of its last transaction.
lives = Table(
    "lives",
    frozen,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    Column("serial", BigInteger, nullable=False),
    Column("previous", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

likes = Table(
    "likes",
    frozen,
    Column("id", String(128), primary_key=True),
    Column("video", String(128), nullable=False),
    Column("user", String(128)),
    Column("reaction", String(32), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("position", BigInteger),  # media time, in milliseconds
)

comments = Table(
    "comments",
    frozen,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    Column("id", String(128), nullable=False, unique=True),
    Column("video", String(128), nullable=False),
    Column("user", String(128)),
    Column("text", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("position", BigInteger),
    Column("retracted", Boolean, nullable=False, default=False),
)
Index(
    "comments_shown",
    comments.c.video,
    comments.c.number,
    sqlite_where=~comments.c.retracted,
    postgresql_where=~comments.c.retracted,
)

Index("comments_by_time", comments.c.video, comments.c.at, comments.c.id)

totals = Table(
    "totals",
    frozen,
    Column("video", String(128), primary_key=True),
    Column("reaction", String(32), primary_key=True),
    Column("total", BigInteger, nullable=False),
    Column("announced", BigInteger, nullable=False, server_default="0"),  # what a dispatcher has accepted
)
Index(
    "totals_owed",
    totals.c.video,
    sqlite_where=totals.c.total > totals.c.announced,
    postgresql_where=totals.c.total > totals.c.announced,
)

# Other stores' totals, from the videos' logs.
peer_totals = Table(
    "peer_totals",
    frozen,
    Column("video", String(128), primary_key=True),
    Column("store", String(64), primary_key=True),
    Column("reaction", String(32), primary_key=True),
    Column("total", BigInteger, nullable=False),
)

# How far the videos' logs have been read; not complete: with a gap.
followed = Table(
    "followed",
    frozen,
    Column("video", String(128), primary_key=True),
    Column("epoch", String(16), nullable=False),
    Column("heard", BigInteger, nullable=False),
    Column("is_complete", Boolean, nullable=False),
)

# The newest event of each key that says what holds for a video: settings, bans and so on.
rules = Table(
    "rules",
    frozen,
    Column("video", String(128), primary_key=True),
    Column("key", String(128), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("id", String(128), nullable=False),
    Column("line", LargeBinary, nullable=False),
)

# What moderators did: events with `by`, as JSON.
acts = Table(
    "acts",
    frozen,
    Column("id", String(128), primary_key=True),
    Column("video", String(128), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("event", LargeBinary, nullable=False),
)
Index("acts_by_time", acts.c.video, acts.c.at, acts.c.id)

# Events that no dispatcher has accepted yet, as far as recorded.
outbox = Table(
    "outbox",
    frozen,
    Column("sender", String(64), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("is_retraction", Boolean, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

# The answers to requests with an Idempotency-Key, while they may be repeated. `expires` is measured by the
# store's age; `user` is empty for requests without one.
idempotency_keys = Table(
    "idempotency_keys",
    frozen,
    Column("video", String(128), primary_key=True),
    Column("route", String(16), primary_key=True),
    Column("user", String(128), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("answer", LargeBinary, nullable=False),
    Column("expires", BigInteger, nullable=False),
)
Index("idempotency_keys_expire", idempotency_keys.c.expires)


def upgrade() -> None:
    """Create what is missing."""
    connection = op.get_bind()
    there = inspect(connection)
    for name in ("likes", "comments"):
        if there.has_table(name) and not _has_column(name, "position"):
            op.add_column(name, Column("position", BigInteger))
    if there.has_table("totals") and not _has_column("totals", "announced"):
        op.add_column("totals", Column("announced", BigInteger, nullable=False, server_default="0"))
        op.execute("UPDATE totals SET announced = total")  # all likes had been published one by one
    frozen.create_all(connection)
    for table in frozen.tables.values():
        for index in table.indexes:
            index.create(connection, checkfirst=True)


def _has_column(table: str, name: str) -> bool:
    return any(column["name"] == name for column in inspect(op.get_bind()).get_columns(table))
