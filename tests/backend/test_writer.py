"""Commands are grouped into transactions, and answered after the commit."""

from __future__ import annotations

import itertools
import sqlite3
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from sqlalchemy.exc import DataError, IntegrityError, OperationalError
from trio.testing import MockClock

from liveserver.backend.commands import Acknowledged, Command, OutboxRow, Retraction, Stored
from liveserver.backend.store import Store
from liveserver.backend.transaction import Committed
from liveserver.backend.writer import (
    ACCEPTED_SECONDS,
    CHECK_SECONDS,
    FRESH_SECONDS,
    PACE,
    REFUSED_SECONDS,
    RETRY_LONGEST,
    Writer,
)
from liveserver.errors import NotFound, Unavailable
from tests.backend.harness import comment, like, open_store, settings


def gone() -> OperationalError:
    """What SQLAlchemy says of a connection that broke."""
    return OperationalError("", {}, Exception("gone"), connection_invalidated=True)


def full(words: str = "database or disk is full") -> OperationalError:
    """What SQLAlchemy says of a disk on which nothing more can be written."""
    error = sqlite3.OperationalError(words)
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    return OperationalError("", {}, error)


class SlowStore:
    """A store whose transactions wait until the test lets them, and fail as it says."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.sizes: list[tuple[int, int]] = []
        self.failures: list[Exception] = []
        self.repeats: list[bool] = []
        self._got_there = False  # whether an attempt at this transaction came as far as the store
        self.may_go = threading.Event()
        self.may_go.set()
        self._ended = trio.Event()

    def commit(self, commands: Sequence[Command], accepted: Acknowledged, *, again: bool) -> Committed:
        assert self.may_go.wait(10)
        self.sizes.append((len(commands), len(accepted.rows) + len(accepted.totals)))
        self.repeats.append(again)
        self._got_there = again and self._got_there
        try:
            if self.failures:
                raise self.failures.pop(0)
            again, self._got_there = self._got_there, True
            return self.store.commit(commands, accepted, again=again)
        finally:
            trio.from_thread.run_sync(self._end)

    def _end(self) -> None:
        self._ended.set()
        self._ended = trio.Event()

    async def wait_transaction(self) -> None:
        """Until the next one has ended, well or not."""
        with trio.fail_after(60):
            await self._ended.wait()


class Stage:
    """A writer that runs, and what it has given to publish."""

    def __init__(self, store: SlowStore, **values: Any) -> None:
        self.store = store
        self.rows: list[OutboxRow] = []
        self.removed: list[OutboxRow] = []
        self.uncertain = 0
        self.writer = Writer(store, settings(**values), self._committed, self._uncertain)  # type: ignore[arg-type]

    def _committed(self, committed: Committed, accepted: Acknowledged) -> None:
        self.rows += committed.rows
        self.removed += accepted.rows

    def _uncertain(self) -> None:
        self.uncertain += 1


@asynccontextmanager
async def stage(directory: Path, **values: Any) -> AsyncIterator[Stage]:
    store = open_store(directory, **values)
    made = Stage(SlowStore(store), **values)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.writer.run)
        yield made
        made.store.may_go.set()
        nursery.cancel_scope.cancel()
    store.close()


async def test_commands_during_a_transaction_go_into_the_next_one(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        on.store.may_go.clear()
        answers: list[Stored] = []

        async def write() -> None:
            answers.append(await on.writer.write(like()))

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(write)
                await trio.testing.wait_all_tasks_blocked()
            assert on.writer.statistics().waiting == 5
            on.store.may_go.set()
        assert on.store.sizes[:2] == [(1, 0), (4, 0)]
        assert sorted(answer.total for answer in answers if answer.total) == [1, 2, 3, 4, 5]
        assert [row.number for row in on.rows] == [1, 2, 3, 4, 5]
        assert on.writer.statistics().waiting == 0


async def test_the_queue_is_bounded(tmp_path: Path) -> None:
    async with stage(tmp_path, queue=2) as on:
        on.store.may_go.clear()
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(on.writer.write, like())
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(Unavailable, match="queue is full"):
                await on.writer.write(like())
            on.store.may_go.set()


async def test_a_like_is_stored_although_its_client_is_gone(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        on.store.may_go.clear()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(on.writer.write, like())
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        on.store.may_go.set()
        stored = await on.writer.write(like())
        assert stored.total == 2


async def test_a_refused_command_does_not_fail_the_others(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        with pytest.raises(NotFound):
            await on.writer.write(Retraction("v", "nothing"))
        await on.writer.write(comment())


async def test_a_permanent_error_is_raised_at_once(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        on.store.failures = [full()]
        with pytest.raises(Unavailable, match="Idempotency-Key"):
            await on.writer.write(like())
        assert (on.uncertain, on.writer.statistics().retries) == (1, 0)
        assert (await on.writer.write(like())).total == 1
        assert on.writer.statistics().failures == 1


async def test_a_transient_error_is_not_raised(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with stage(tmp_path) as on:
        on.store.failures = [gone() for _ in range(5)]
        assert (await on.writer.write(like())).total == 1
        assert on.store.repeats == [False, True, True, True, True, True]
        statistics = on.writer.statistics()
        assert (statistics.retries, statistics.failures, on.uncertain) == (5, 0, 0)
        await on.writer.write(like())
        assert on.store.repeats[-1] is False


async def test_a_database_that_stays_away_is_a_503_in_time(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with stage(tmp_path, write_timeout="5s") as on:
        on.store.failures = [gone() for _ in range(1000)]
        began = trio.current_time()
        with pytest.raises(Unavailable):
            await on.writer.write(like())
        assert 5 <= trio.current_time() - began < 6
        tried = len(on.store.sizes)
        with pytest.raises(Unavailable):
            await on.writer.write(like())
        assert len(on.store.sizes) == tried + 1, "known to be away: one attempt"
        on.store.failures.clear()
        assert (await on.writer.write(like())).total == 1
        on.store.failures = [gone()]
        assert (await on.writer.write(like())).total == 2, "the time counts from the next failure on"


async def test_a_key_that_another_process_was_quicker_with_is_looked_up_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        on.store.failures = [IntegrityError("", {}, Exception("not unique"))]
        assert (await on.writer.write(like(key="a"))).total == 1
        on.store.failures = [IntegrityError("", {}, Exception("not unique"))] * 4
        with pytest.raises(Unavailable):
            await on.writer.write(like(key="b"))


async def test_a_check_writes_unless_something_was_written_just_now(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    async with stage(tmp_path) as on:
        await on.writer.check()
        assert on.store.sizes == [(0, 0)]
        await on.writer.check()
        assert on.store.sizes == [(0, 0)]
        mock_clock.jump(FRESH_SECONDS)
        on.store.failures = [full("attempt to write a readonly database")]
        with pytest.raises(Unavailable, match="readonly"):
            await on.writer.check()
        await on.writer.check()


async def test_a_check_knows_of_commands_that_the_database_refuses(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    """A table that is missing, or may not be written to, is none that a check writes to."""
    missing = OperationalError("", {}, sqlite3.OperationalError("no such table: likes"))
    async with stage(tmp_path) as on:
        on.store.failures = [missing]
        with pytest.raises(Unavailable):
            await on.writer.write(like())
        with pytest.raises(Unavailable, match="no such table: likes"):
            await on.writer.check()
        await on.writer.write(like())
        await on.writer.check()
        on.store.failures = [missing]
        with pytest.raises(Unavailable):
            await on.writer.write(like())
        mock_clock.jump(REFUSED_SECONDS)  # without likes it is not known
        await on.writer.check()
        on.store.failures = [DataError("", {}, Exception("a value of one command"))]
        with pytest.raises(Unavailable):
            await on.writer.write(like())
        await on.writer.check()


async def test_a_check_of_a_database_that_hangs_ends_in_time(tmp_path: Path, mock_clock: MockClock) -> None:
    async with stage(tmp_path) as on:
        on.store.may_go.clear()

        async def check() -> None:
            with pytest.raises(Unavailable, match="does not store"):
                await on.writer.check()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(check)
            await trio.testing.wait_all_tasks_blocked(0.01)
            mock_clock.jump(CHECK_SECONDS)
        on.store.may_go.set()


async def test_accepted_rows_are_removed_with_commands_or_by_themselves(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    async with stage(tmp_path) as on:
        for _ in range(2):
            await on.writer.write(like())
        on.writer.remove(on.rows[:1])
        on.writer.remove(on.rows[1:2])
        await on.writer.write(like())
        assert on.store.sizes[-1] == (1, 0), "they have not waited long enough"
        mock_clock.jump(ACCEPTED_SECONDS)
        await on.writer.write(like())
        assert on.store.sizes[-1] == (1, 2)
        third, fourth = on.rows[2:]
        assert on.store.store.waiting(10) == [third, fourth]
        on.store.failures = [full()]
        on.writer.remove([third])
        mock_clock.jump(ACCEPTED_SECONDS)
        while on.writer.statistics().failures < 1:
            await trio.testing.wait_all_tasks_blocked(0.001)  # the transaction is in a thread
        mock_clock.jump(RETRY_LONGEST)
        while on.writer.statistics().commits < 5:
            await trio.testing.wait_all_tasks_blocked(0.001)
        assert on.store.sizes[-2:] == [(0, 1), (0, 1)]
        assert on.store.store.waiting(10) == [fourth]


class InstantWriter(Writer):
    """A writer whose transactions take no time, and note when they begin and how many commands they have."""

    def __init__(self) -> None:
        super().__init__(None, settings(), lambda *_: None, lambda: None)  # type: ignore[arg-type]
        self.transactions: list[tuple[float, int]] = []

    async def _commit(self, commands: Sequence[Command], accepted: Acknowledged) -> Committed:
        self.transactions.append((trio.current_time(), len(commands)))
        await trio.lowlevel.checkpoint()
        return Committed([Stored("id")] * len(commands), [], 0)


async def test_commands_that_come_close_together_share_transactions(autojump_clock: MockClock) -> None:
    writer = InstantWriter()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        for _ in range(3):
            await writer.write(like())
        assert [count for _, count in writer.transactions] == [1, 1, 1]
        assert trio.current_time() == writer.transactions[0][0]  # none has waited
        async with trio.open_nursery() as writing:
            for _ in range(100):
                writing.start_soon(writer.write, like())
                writing.start_soon(writer.write, like())
                await trio.sleep(PACE / 10)
        began = [at for at, _ in writer.transactions[3:]]
        assert len(began) <= 13
        assert all(later - earlier >= PACE * 0.999 for earlier, later in itertools.pairwise(began[1:]))
        nursery.cancel_scope.cancel()
