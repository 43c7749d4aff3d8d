"""SQLAlchemy engines for SQLite and PostgreSQL, and the classification of their errors."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError, SQLAlchemyError

REMOVED = "its file was removed or replaced; put it back, or restart the node"
SQLITE_FILES = ("", "-wal", "-shm")  # all stay while a connection is open
BUSY_MILLISECONDS = 5_000  # another process writes to the same SQLite file

# Defaults for libpq, unless the URL overrides them: a server that hangs is abandoned in time, and of several
# hosts (`?host=a,b`) the one that accepts writes is chosen.
POSTGRES_DEFAULTS: Mapping[str, Any] = {
    "connect_timeout": 3,  # seconds
    "tcp_user_timeout": 5_000,  # milliseconds
    "keepalives_idle": 5,  # seconds
    "keepalives_interval": 2,
    "keepalives_count": 2,
}

# SQLSTATE classes (PostgreSQL, appendix A) of transient errors, which may not recur on another connection:
# connection, transaction state (a server that became read-only), rollback, resources, object in use,
# operator intervention, system error.
TRANSIENT_CLASSES = frozenset({"08", "25", "40", "53", "55", "57", "58"})
# A prepared statement that the connection behind a pooler lacks, or already has; a changed plan.
TRANSIENT_STATES = frozenset({"26000", "42P05", "0A000"})
_SQLITE_TRANSIENT = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})


def open_engine(url: str, *, writes: bool, prepares: bool = False) -> Engine:
    """Return an engine with one connection.

    With `writes`, a transaction acquires SQLite's lock when it begins, rather than at its first write, when
    another process may hold it. `prepares`: statements are prepared on the PostgreSQL server, which a pooler
    in transaction mode does not support.

    Raises `sqlalchemy.exc.ArgumentError` and `ImportError` for an unusable URL.
    """
    parsed = make_url(url)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    options: dict[str, Any] = {}
    if parsed.drivername == "postgresql+psycopg":
        options = {name: value for name, value in POSTGRES_DEFAULTS.items() if name not in parsed.query}
        if writes and "target_session_attrs" not in parsed.query:
            options["target_session_attrs"] = "read-write"
        if not prepares:
            options["prepare_threshold"] = None
    engine = create_engine(parsed, pool_size=1, max_overflow=0, connect_args=options)
    if engine.dialect.name == "sqlite":
        begin = "BEGIN IMMEDIATE" if writes else "BEGIN"

        @event.listens_for(engine, "connect")
        def on_connect(connection: Any, _: object) -> None:
            connection.isolation_level = None  # otherwise the driver begins transactions by itself
            for setting in (
                f"busy_timeout = {BUSY_MILLISECONDS}",
                "journal_mode = WAL",
                "synchronous = FULL",  # stored means that it survives a power failure
                "journal_size_limit = 67108864",
            ):
                connection.execute(f"PRAGMA {setting}")

        @event.listens_for(engine, "begin")
        def on_begin(connection: Connection) -> None:
            connection.exec_driver_sql(begin)

        if writes and parsed.database not in (None, "", ":memory:") and "uri" not in parsed.query:
            _watch_files(engine, str(parsed.database))  # after BEGIN, which opens them all

    return engine


def _watch_files(engine: Engine, file: str) -> None:
    """Have transactions fail once SQLite's open files are not those at their paths any more.

    SQLite goes on to write to files that were removed or replaced, and would make a new, empty one for the
    next connection: rows stored since then would be lost with the process.
    """
    first = list[tuple[int, int] | None]()  # the database's file, for as long as the engine

    @event.listens_for(engine, "do_connect")
    def on_connecting(*_: object) -> None:
        if first and _identity(file) != first[0]:
            raise sqlite3.OperationalError(REMOVED)

    @event.listens_for(engine, "begin")
    def on_beginning(connection: Connection) -> None:
        found = [_identity(file + suffix) for suffix in SQLITE_FILES]
        first.extend(found[:1] if not first else ())
        if found[0] != first[0] or connection.info.setdefault("files", found) != found:
            raise OperationalError("BEGIN", None, sqlite3.OperationalError(REMOVED))


def _identity(file: str) -> tuple[int, int] | None:
    """Return which file is at a path; None if there is none."""
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def is_transient(error: SQLAlchemyError) -> bool:
    """Return whether the same transaction may succeed on a new connection."""
    if not isinstance(error, DBAPIError) or isinstance(error, IntegrityError):
        return False
    if error.connection_invalidated:
        return True
    if isinstance(error.orig, sqlite3.Error):
        code = getattr(error.orig, "sqlite_errorcode", 0) or 0
        return code & 0xFF in _SQLITE_TRANSIENT
    state = getattr(error.orig, "sqlstate", None)
    if state is None:  # libpq itself: no connection, or one that broke
        return isinstance(error, OperationalError | InterfaceError)
    return state[:2] in TRANSIENT_CLASSES or state in TRANSIENT_STATES


def reason(error: Exception) -> str:
    """Return the driver's message, in one line and without the statement or its values."""
    text = str(getattr(error, "orig", None) or error.__cause__ or type(error).__name__)
    return text.partition("\n")[0]
