"""A real PostgreSQL that fails over, stands behind a pooler, or loses its last answer."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import trio
from msgspec import json
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InternalError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
)

from liveserver.backend import writer
from liveserver.backend.backend import open_backend
from liveserver.backend.commands import Stored
from liveserver.backend.engine import is_transient
from liveserver.backend.store import Store
from liveserver.errors import Unavailable
from tests.backend.harness import FakeDispatcher as AnyDispatcher
from tests.backend.harness import comment, like, look, open_store, settings
from tests.backend.postgres import Proxy, directory_of, execute, pgbouncer, postgres, programs, set_read_only


class FakeDispatcher(AnyDispatcher):
    """One whose `taken` has no totals."""

    async def publish(self, body: bytes, *, retractions: bool) -> int:
        if b'"type":"likes"' not in body:
            return await super().publish(body, retractions=retractions)
        return 0


@pytest.fixture
def binaries() -> Path:
    found = programs()
    if found is None:
        pytest.skip("PostgreSQL is not installed")
    return found


@pytest.fixture
def database(binaries: Path) -> Iterator[str]:
    with postgres(binaries) as url:
        yield url


async def test_a_former_primary_that_is_read_only_is_left_for_the_new_one(
    database: str, binaries: Path
) -> None:
    with postgres(binaries) as promoted:
        Store(promoted, settings()).close()
        both = f"{database},{directory_of(promoted)}"
        dispatcher = FakeDispatcher()
        async with open_backend(settings(database=both), dispatcher) as backend:
            assert (await backend.write(like())).total == 1
            await dispatcher.wait_taken(1)
            set_read_only(database, True)
            assert (await backend.write(like())).total == 1, "the other server has its own"
            await backend.check()
            await dispatcher.wait_taken(2)


async def test_a_server_that_is_read_only_is_not_ready(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "FRESH_SECONDS", -1.0)  # each check is a transaction of its own
    async with open_backend(settings(database=database, write_timeout="100ms"), FakeDispatcher()) as backend:
        await backend.write(like())
        set_read_only(database, True)
        with pytest.raises(Unavailable, match="does not store"):
            await backend.check()
        with pytest.raises(Unavailable):
            await backend.write(like())
        set_read_only(database, False)
        with trio.fail_after(60):
            while True:
                try:
                    await backend.check()
                    break
                except Unavailable:
                    await trio.sleep(0.1)
        assert (await backend.write(like())).total == 2


async def test_a_restart_of_the_server_fails_no_request(database: str) -> None:
    dispatcher = FakeDispatcher()
    async with open_backend(settings(database=database), dispatcher) as backend:
        for number in range(1, 6):
            execute(
                database,
                "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()",
            )
            assert (await backend.write(like())).total == number
            assert json.decode(await backend.summary("v"))["likes"] == number
        await dispatcher.wait_taken(5)


async def test_two_backends_behind_a_pooler_in_transaction_mode(database: str) -> None:
    with pgbouncer(database, pool=2) as pooled:
        faults: list[BaseException] = []

        def commit(store: Store) -> None:
            try:
                for _ in range(40):
                    store.commit([like(), like("w"), comment(), like(key="same")])
                    store.load("v")
                    store.waiting(10)
            except SQLAlchemyError as error:
                faults.append(error)

        stores = [Store(pooled, settings()) for _ in range(2)]
        threads = [threading.Thread(target=commit, args=(store,)) for store in stores for _ in (1,)]
        for thread in threads:
            thread.start()
        for thread in threads:
            await trio.to_thread.run_sync(thread.join)
        assert [str(fault) for fault in faults if not isinstance(fault, IntegrityError)] == []
        for store in stores:
            store.close()


async def test_a_commit_whose_answer_is_lost_is_answered_and_published_once(database: str) -> None:
    losing, has_inserted = threading.Event(), threading.Event()

    def loses(asked: bytes) -> bool:
        if losing.is_set() and b"INSERT INTO outbox" in asked:
            has_inserted.set()
        if has_inserted.is_set() and b"COMMIT" in asked:
            losing.clear()
            has_inserted.clear()
            return True
        return False

    proxy = Proxy(database, loses)
    dispatcher = FakeDispatcher()
    try:
        async with open_backend(settings(database=proxy.url), dispatcher) as backend:
            await backend.write(like())
            await dispatcher.wait_taken(1)
            losing.set()
            second = await backend.write(like())
            assert (second.total, proxy.lost) == (2, 1)
            await dispatcher.wait_taken(2)
            losing.set()
            third = await backend.write(comment())
            await dispatcher.wait_taken(3)
            assert dispatcher.ids[1:] == [second.id, third.id]
            assert proxy.lost == 2
            summary = json.decode(await backend.summary("v"))
            assert (summary["likes"], len(summary["comments"])) == (2, 1)
    finally:
        proxy.close()


def test_totals_of_two_backends_at_one_server_are_each_likes_own(database: str) -> None:
    stores = [Store(database, settings()) for _ in range(2)]
    totals: list[int] = []

    def commit(store: Store) -> None:
        for _ in range(50):
            [outcome] = store.commit([like()]).outcomes
            assert isinstance(outcome, Stored)
            assert isinstance(outcome.total, int)
            totals.append(outcome.total)

    stores[0].commit([like()])
    threads = [threading.Thread(target=commit, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(totals) == list(range(2, 102))
    for store in stores:
        store.close()


def sqlite_error(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("…")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("kind", "original", "is_worth_it"),
    [
        (OperationalError, sqlite_error(sqlite3.SQLITE_BUSY), True),
        (OperationalError, sqlite_error(sqlite3.SQLITE_BUSY_SNAPSHOT), True),
        (OperationalError, sqlite_error(sqlite3.SQLITE_LOCKED), True),
        (OperationalError, sqlite_error(sqlite3.SQLITE_FULL), False),
        (OperationalError, sqlite_error(sqlite3.SQLITE_READONLY), False),
        (OperationalError, sqlite_error(sqlite3.SQLITE_IOERR), False),
        (InternalError, psycopg.errors.ReadOnlySqlTransaction(), True),
        (OperationalError, psycopg.errors.AdminShutdown(), True),
        (OperationalError, psycopg.errors.CannotConnectNow(), True),
        (OperationalError, psycopg.errors.TooManyConnections(), True),
        (OperationalError, psycopg.errors.SerializationFailure(), True),
        (OperationalError, psycopg.errors.DeadlockDetected(), True),
        (OperationalError, psycopg.errors.LockNotAvailable(), True),
        (OperationalError, psycopg.errors.DiskFull(), True),
        (OperationalError, psycopg.errors.ProtocolViolation(), True),  # so PgBouncer says what it cannot do
        (OperationalError, psycopg.OperationalError("server closed the connection unexpectedly"), True),
        (ProgrammingError, psycopg.errors.InvalidSqlStatementName(), True),
        (ProgrammingError, psycopg.errors.DuplicatePreparedStatement(), True),
        (ProgrammingError, psycopg.errors.UndefinedTable(), False),
        (ProgrammingError, psycopg.errors.InsufficientPrivilege(), False),
        (DataError, psycopg.errors.StringDataRightTruncation(), False),
        (IntegrityError, psycopg.errors.UniqueViolation(), False),
        (OperationalError, psycopg.errors.InvalidPassword(), False),
    ],
)
def test_transient_errors_are_distinguished_from_permanent_ones(
    kind: type[DBAPIError], original: Exception, is_worth_it: bool
) -> None:
    assert is_transient(kind("", {}, original)) is is_worth_it


def test_a_general_error_is_not_transient() -> None:
    assert not is_transient(SQLAlchemyError())
    assert is_transient(OperationalError("", {}, Exception(), connection_invalidated=True))


@pytest.mark.parametrize("suffixes", [("", "-wal", "-shm"), ("",), ("-wal",), ("-shm",)])
def test_nothing_is_stored_in_files_that_were_removed_or_replaced(
    tmp_path: Path, suffixes: tuple[str, ...]
) -> None:
    """SQLite would go on to write to them: accepted, and lost with the process."""
    store = open_store(tmp_path)
    assert isinstance(store.commit([like()]).outcomes[0], Stored)
    (tmp_path / "aside").mkdir()
    for suffix in suffixes:
        (tmp_path / f"likes.db{suffix}").rename(tmp_path / f"aside/likes.db{suffix}")
    with pytest.raises(OperationalError, match="was removed or replaced"):
        store.commit([like()])
    if "" in suffixes:
        for _ in range(2):  # on a new connection, which must not make a new file
            with pytest.raises(OperationalError, match="was removed or replaced"):
                store.commit([like()])
        assert not (tmp_path / "likes.db").exists()
        (tmp_path / "likes.db").write_bytes(b"")
        with pytest.raises(OperationalError, match="was removed or replaced"):
            store.commit([like()])
        for suffix in suffixes:
            (tmp_path / f"aside/likes.db{suffix}").replace(tmp_path / f"likes.db{suffix}")
        assert isinstance(store.commit([like()]).outcomes[0], Stored)
        assert look(tmp_path, "select total from totals") == [(2,)]
    store.close()
