"""Every outbox row is published once and in order, whatever the dispatchers do."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from liveserver.backend.commands import OutboxRow
from liveserver.backend.outbox import Outbox
from liveserver.errors import BadRequest, DispatcherError, Unavailable
from tests.backend.harness import FakeDispatcher, settings


def row(number: int, sender: str = "b", retraction: bool = False) -> OutboxRow:
    body = msgspec.json.encode({"id": f"{sender}{number}", "video": "v", "type": "like"})
    return OutboxRow(sender, number, retraction, body)


def rows(first: int, last: int, sender: str = "b") -> list[OutboxRow]:
    return [row(number, sender) for number in range(first, last + 1)]


def names(*several: Sequence[OutboxRow]) -> list[str]:
    return [f"{each.sender}{each.number}" for some in several for each in some]


class Database:
    """The outbox table. While `gate` is there, a look at it takes until that is set."""

    def __init__(self) -> None:
        self.rows: list[OutboxRow] = []
        self.failures = 0
        self.looks = 0
        self.gate: trio.Event | None = None

    async def read(self, limit: int) -> list[OutboxRow]:
        self.looks += 1
        await trio.lowlevel.checkpoint()
        if self.failures:
            self.failures -= 1
            raise Unavailable("not now")
        found = sorted(self.rows, key=lambda row: row.position)[:limit]
        if self.gate is not None:
            await self.gate.wait()
        return found

    def forget(self, gone: Sequence[OutboxRow]) -> None:
        self.rows = [each for each in self.rows if each not in gone]


class Stage:
    """An outbox between a table and a dispatcher."""

    def __init__(self, dispatcher: FakeDispatcher, **values: Any) -> None:
        self.dispatcher = dispatcher
        self.database = Database()
        self.outbox = Outbox(
            settings(**values), dispatcher, self.database.read, lambda gone: self.remove(gone)
        )

    def remove(self, gone: Sequence[OutboxRow]) -> None:
        self.database.forget(gone)
        self.outbox.on_removed(gone)

    def commit(self, some: Sequence[OutboxRow]) -> None:
        self.database.rows += some
        self.outbox.put(some)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.outbox.run)
            yield
            nursery.cancel_scope.cancel()


async def test_committed_rows_are_published_at_once_and_removed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    on = Stage(FakeDispatcher())
    async with on.running():
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        on.commit(rows(1, 3))
        await on.dispatcher.wait_taken(3)
        assert trio.current_time() == began
        on.commit(rows(4, 4))
        await on.dispatcher.wait_taken(4)
        await trio.testing.wait_all_tasks_blocked()
        assert on.dispatcher.ids == ["b1", "b2", "b3", "b4"]
        assert (on.database.rows, on.database.looks) == ([], 1)


async def test_rows_left_by_an_earlier_process_are_published_first(
    autojump_clock: trio.testing.MockClock,
) -> None:
    on = Stage(FakeDispatcher(), outbox_rows=4, batch_events=3)
    left = rows(3, 12, "a")
    on.database.rows += left
    on.database.gate = trio.Event()
    async with on.running():
        await trio.testing.wait_all_tasks_blocked()
        on.commit(rows(1, 2))
        on.database.gate.set()
        await on.dispatcher.wait_taken(12)
        on.commit(rows(3, 3))
        await on.dispatcher.wait_taken(13)
    assert on.dispatcher.ids == names(left, rows(1, 3))


@pytest.mark.parametrize("loses_answers", [False, True])
async def test_a_dispatcher_that_fails_is_asked_again(
    loses_answers: bool, autojump_clock: trio.testing.MockClock
) -> None:
    failures = [DispatcherError("gone"), Unavailable("later"), DispatcherError("gone")] * 3
    on = Stage(FakeDispatcher(failures, loses_answers=loses_answers))
    on.database.failures = 3
    async with on.running():
        on.commit(rows(1, 5))
        await on.dispatcher.wait_taken(5)
        on.commit(rows(6, 9))
        await on.dispatcher.wait_taken(9)
        with trio.fail_after(60):
            while on.database.rows:  # noqa: ASYNC110
                await trio.sleep(0.1)
    assert on.dispatcher.ids == names(rows(1, 9))
    assert on.outbox.statistics().failures == 9


async def test_retractions_go_apart_and_in_their_place(autojump_clock: trio.testing.MockClock) -> None:
    on = Stage(FakeDispatcher())
    async with on.running():
        some = [row(1), row(2), row(3, retraction=True), row(4)]
        on.commit(some)
        await on.dispatcher.wait_taken(4)
    assert on.dispatcher.ids == names(some)
    assert on.dispatcher.retractions == [False, True, False]


async def test_a_row_that_is_always_refused_does_not_block_the_others(
    autojump_clock: trio.testing.MockClock,
) -> None:
    class Picky(FakeDispatcher):
        async def publish(self, body: bytes, *, retractions: bool) -> int:
            if b'"b4"' in body:
                raise BadRequest("not this one")
            return await super().publish(body, retractions=retractions)

    on = Stage(Picky())
    async with on.running():
        on.commit(rows(1, 8))
        await on.dispatcher.wait_taken(7)
        await trio.testing.wait_all_tasks_blocked()
    assert on.dispatcher.ids == names(rows(1, 3), rows(5, 8))
    assert (on.outbox.statistics().refused, on.database.rows) == (1, [])


async def test_memory_is_bounded_while_no_dispatcher_answers(autojump_clock: trio.testing.MockClock) -> None:
    on = Stage(FakeDispatcher([DispatcherError("gone")] * 20), outbox_rows=10, batch_events=4)
    async with on.running():
        await trio.testing.wait_all_tasks_blocked()
        for number in range(1, 101):
            on.commit([row(number)])
            assert on.outbox.statistics().waiting <= 10
            if number % 10 == 0:
                await trio.sleep(0.2)
        await on.dispatcher.wait_taken(100)
        await trio.testing.wait_all_tasks_blocked()
        on.commit([row(101)])
        await on.dispatcher.wait_taken(101)
        assert not on.outbox.statistics().behind
    assert on.dispatcher.ids == names(rows(1, 101))


async def test_a_row_that_came_through_no_transaction_of_ours_is_found(
    autojump_clock: trio.testing.MockClock,
) -> None:
    on = Stage(FakeDispatcher(), outbox_sweep="5s")
    async with on.running():
        on.commit(rows(1, 3))
        await on.dispatcher.wait_taken(3)
        on.database.rows += [*rows(4, 4), *rows(1, 2, "z")]  # an answer that was lost; another process's
        await trio.sleep(4.9)
        on.commit(rows(5, 5))
        await trio.sleep(5.2)
        assert on.dispatcher.ids == ["b1", "b2", "b3", "b5", "b4", "z1", "z2"]
        assert (on.database.rows, on.outbox.statistics().found) == ([], 3)


async def test_rows_that_another_process_hands_over_itself_are_left_to_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    on = Stage(FakeDispatcher(), outbox_sweep="5s")
    async with on.running():
        await trio.testing.wait_all_tasks_blocked()  # at the start all that is there is handed over
        for number in range(1, 10):
            theirs = row(number, "z")
            on.database.rows.append(theirs)
            await trio.sleep(5)
            on.database.forget([theirs])
        assert on.dispatcher.ids == []


async def test_a_commit_of_unknown_end_is_looked_up_at_once(autojump_clock: trio.testing.MockClock) -> None:
    on = Stage(FakeDispatcher())
    async with on.running():
        on.commit(rows(1, 1))
        await on.dispatcher.wait_taken(1)
        on.database.rows += rows(2, 3)
        began = trio.current_time()
        on.outbox.read_again()
        on.commit(rows(4, 4))
        await on.dispatcher.wait_taken(4)
        assert trio.current_time() == began
        assert on.dispatcher.ids == ["b1", "b2", "b3", "b4"]


async def test_rows_that_are_not_removed_are_not_read_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    on = Stage(FakeDispatcher(), outbox_rows=4, batch_events=2)
    on.database.rows += rows(1, 20)
    kept: list[OutboxRow] = []
    on.outbox._remove = kept.extend
    async with on.running():
        await trio.sleep(100)
        assert on.dispatcher.ids == names(rows(1, 4))
        on.remove(kept[:])
        kept.clear()
        await trio.sleep(1)
        assert on.dispatcher.ids == names(rows(1, 8))


@pytest.mark.parametrize("seed", range(30))
async def test_however_it_is_interleaved(seed: int, autojump_clock: trio.testing.MockClock) -> None:
    dice = random.Random(seed)
    failures = [DispatcherError("gone")] * dice.randrange(30)
    on = Stage(
        FakeDispatcher(failures, loses_answers=dice.random() < 0.5),
        outbox_rows=5,
        batch_events=dice.randrange(1, 5),
    )
    left = rows(1, dice.randrange(20), "a")
    on.database.rows += left
    on.database.failures = dice.randrange(4)
    number = 0
    async with on.running():
        while number < 80:
            some = rows(number + 1, number + dice.randrange(1, 9))
            number = some[-1].number
            on.commit(some)
            for _ in range(dice.randrange(6)):
                await trio.lowlevel.checkpoint()
            if dice.random() < 0.2:
                await trio.sleep(dice.random())
        await on.dispatcher.wait_taken(len(left) + number)
    assert on.dispatcher.ids == names(left, rows(1, number))
