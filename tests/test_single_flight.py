"""Calls are shared by those that come while one is waited for, and never older than their callers."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from liveserver.single_flight import SingleFlight


class Source:
    """Something that is read in a second; `reads` has when each read began."""

    def __init__(self) -> None:
        self.reads: list[float] = []
        self.is_failing = False

    async def read(self) -> None:
        self.reads.append(trio.current_time())
        await trio.sleep(1)
        if self.is_failing:
            self.is_failing = False
            raise OSError("once")


async def test_callers_during_a_call_share_the_next_one(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    flight, source = SingleFlight(), Source()
    began = trio.current_time()
    nursery.start_soon(flight.call, source.read)
    await wait_all_tasks_blocked()
    async with trio.open_nursery() as others:
        for _ in range(10):
            others.start_soon(flight.call, source.read)
    assert [each - began for each in source.reads] == [0, pytest.approx(1)]


async def test_callers_one_after_the_other_share_nothing(autojump_clock: MockClock) -> None:
    flight, source = SingleFlight(), Source()
    for _ in range(3):
        await flight.call(source.read)
    assert len(source.reads) == 3


async def test_a_failure_is_raised_to_one_caller_and_the_next_one_calls(autojump_clock: MockClock) -> None:
    flight, source = SingleFlight(), Source()
    source.is_failing = True
    results: list[str] = []

    async def call() -> None:
        try:
            await flight.call(source.read)
        except OSError:
            results.append("failed")
        else:
            results.append("read")

    async with trio.open_nursery() as callers:
        for _ in range(4):
            callers.start_soon(call)
    assert sorted(results) == ["failed", "read", "read", "read"]
    assert len(source.reads) == 2


async def test_a_cancelled_call_is_not_shared(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    flight, source = SingleFlight(), Source()
    with trio.move_on_after(0.5):
        await flight.call(source.read)
    await flight.call(source.read)
    assert len(source.reads) == 2
