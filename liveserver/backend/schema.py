"""The likes backend's tables, and the engines that speak to them: SQLite or PostgreSQL.

The totals are kept beside the likes, in the same transaction, so that nothing is ever counted. The
times are milliseconds since the epoch.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
)
from sqlalchemy.engine import make_url

BUSY_MILLISECONDS = 5_000  # another process writes to the same SQLite file

metadata = MetaData()

likes = Table(
    "likes",
    metadata,
    Column("id", String(128), primary_key=True),
    Column("video", String(128), nullable=False),
    Column("user", String(128)),
    Column("reaction", String(32), nullable=False),
    Column("at", BigInteger, nullable=False),
)

comments = Table(
    "comments",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("id", String(128), nullable=False, unique=True),
    Column("video", String(128), nullable=False),
    Column("user", String(128)),
    Column("text", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("retracted", Boolean, nullable=False, default=False),
)
Index(
    "comments_shown",
    comments.c.video,
    comments.c.number,
    sqlite_where=~comments.c.retracted,
    postgresql_where=~comments.c.retracted,
)

totals = Table(
    "totals",
    metadata,
    Column("video", String(128), primary_key=True),
    Column("reaction", String(32), primary_key=True),
    Column("total", BigInteger, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("sender", String(64), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("is_retraction", Boolean, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

# What was answered to requests with an Idempotency-Key, for as long as they may be repeated.
answers = Table(
    "answers",
    metadata,
    Column("video", String(128), primary_key=True),
    Column("route", String(16), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("answer", LargeBinary, nullable=False),
    Column("expires", BigInteger, nullable=False),
)
Index("answers_expire", answers.c.expires)


def open_engine(url: str, *, writes: bool) -> Engine:
    """An engine with one connection. One that writes takes SQLite's lock when a transaction begins, and
    not in the middle of it, where another process may have been quicker.

    Raises `sqlalchemy.exc.ArgumentError` and `ImportError` for a URL that cannot be spoken to.
    """
    parsed = make_url(url)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    is_remote = parsed.get_backend_name() != "sqlite"  # a file's connection does not break
    engine = create_engine(parsed, pool_size=1, max_overflow=0, pool_pre_ping=is_remote)
    if engine.dialect.name == "sqlite":
        begin = "BEGIN IMMEDIATE" if writes else "BEGIN"

        @event.listens_for(engine, "connect")
        def on_connect(connection: Any, _: object) -> None:
            connection.isolation_level = None  # else the driver begins transactions when it likes
            for setting in (
                f"busy_timeout = {BUSY_MILLISECONDS}",
                "journal_mode = WAL",
                "synchronous = FULL",  # stored means that it outlives a power cut, too
                "journal_size_limit = 67108864",
            ):
                connection.execute(f"PRAGMA {setting}")

        @event.listens_for(engine, "begin")
        def on_begin(connection: Connection) -> None:
            connection.exec_driver_sql(begin)

    return engine
