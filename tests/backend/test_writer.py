"""Wishes are gathered into transactions, and answered when those are done."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from sqlalchemy.exc import IntegrityError, OperationalError

from liveserver.backend.commands import OutboxRow, Stored, Wish
from liveserver.backend.store import Committed, Store
from liveserver.backend.writer import ACCEPTED_SECONDS, RETRY_SECONDS, Writer
from liveserver.errors import BadRequest, Unavailable
from tests.backend.harness import comment, like, open_store, settings


class SlowStore:
    """A store whose transactions wait until the test lets them, and fail as it says."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.sizes: list[tuple[int, int]] = []
        self.failures: list[Exception] = []
        self.may_go = threading.Event()
        self.may_go.set()
        self._ended = trio.Event()

    def commit(self, wishes: Sequence[Wish], accepted: Sequence[OutboxRow]) -> Committed:
        assert self.may_go.wait(10)
        self.sizes.append((len(wishes), len(accepted)))
        try:
            if self.failures:
                raise self.failures.pop(0)
            return self.store.commit(wishes, accepted)
        finally:
            trio.from_thread.run_sync(self._end)

    def _end(self) -> None:
        self._ended.set()
        self._ended = trio.Event()

    async def wait_transaction(self) -> None:
        """Until the next one has ended, well or not."""
        with trio.fail_after(10):
            await self._ended.wait()


class Stage:
    """A writer that runs, and what it has given to publish."""

    def __init__(self, store: SlowStore, **values: Any) -> None:
        self.store = store
        self.rows: list[OutboxRow] = []
        self.writer = Writer(store, settings(**values), self.rows.extend)  # type: ignore[arg-type]


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


async def test_what_comes_during_a_transaction_goes_into_the_next(tmp_path: Path) -> None:
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


async def test_what_waits_is_bounded(tmp_path: Path) -> None:
    async with stage(tmp_path, queue=2) as on:
        on.store.may_go.clear()
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(on.writer.write, like())
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(Unavailable, match="too much"):
                await on.writer.write(like())
            on.store.may_go.set()


async def test_who_goes_away_has_liked_all_the_same(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        on.store.may_go.clear()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(on.writer.write, like())
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        on.store.may_go.set()
        stored = await on.writer.write(like())
        assert stored.total == 2


async def test_one_that_is_refused_does_not_hold_up_the_others(tmp_path: Path) -> None:
    async with stage(tmp_path, max_reactions=1) as on:
        await on.writer.write(like())
        with pytest.raises(BadRequest):
            await on.writer.write(like(reaction="wow"))
        await on.writer.write(comment())


async def test_a_database_that_fails_is_told_and_tried_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        on.store.failures = [OperationalError("", {}, Exception("disk is full"))]
        with pytest.raises(Unavailable, match="Idempotency-Key"):
            await on.writer.write(like())
        assert (await on.writer.write(like())).total == 1
        assert on.writer.statistics().failures == 1


async def test_a_key_that_another_process_was_quicker_with_is_looked_up_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        on.store.failures = [IntegrityError("", {}, Exception("not unique"))]
        assert (await on.writer.write(like(key="a"))).total == 1
        on.store.failures = [IntegrityError("", {}, Exception("not unique"))] * 2
        with pytest.raises(Unavailable):
            await on.writer.write(like(key="b"))


async def test_accepted_rows_leave_together_with_wishes_or_by_themselves(
    tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    async with stage(tmp_path) as on:
        for _ in range(2):
            await on.writer.write(like())
        on.writer.forget(on.rows[:1])
        on.writer.forget(on.rows[1:2])
        await on.writer.write(like())
        assert on.store.sizes[-1] == (1, 0), "they have not waited long enough"
        mock_clock.jump(ACCEPTED_SECONDS)
        await on.writer.write(like())
        assert on.store.sizes[-1] == (1, 2)
        third, fourth = on.rows[2:]
        assert on.store.store.waiting(("", 0), 10) == [third, fourth]
        on.store.failures = [OperationalError("", {}, Exception("not now"))]
        on.writer.forget([third])
        mock_clock.jump(ACCEPTED_SECONDS)
        while on.writer.statistics().failures < 1:
            await trio.testing.wait_all_tasks_blocked(0.001)  # the transaction is in a thread
        mock_clock.jump(RETRY_SECONDS)
        while on.writer.statistics().commits < 5:
            await trio.testing.wait_all_tasks_blocked(0.001)
        assert on.store.sizes[-2:] == [(0, 1), (0, 1)]
        assert on.store.store.waiting(("", 0), 10) == [fourth]
