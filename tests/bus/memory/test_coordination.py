"""What nodes share beside the logs: it ends by the clock, and is bounded."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from liveserver.bus.memory import coordination
from liveserver.bus.memory.coordination import MemoryCoordination


async def test_members_leave_a_group_when_their_leases_end(autojump_clock: MockClock) -> None:
    shared = MemoryCoordination(trio.current_time)
    assert await shared.join_group("g", "a", 10) == ["a"]
    await trio.sleep(5)
    assert await shared.join_group("g", "b", 10) == ["a", "b"]
    await trio.sleep(6)
    assert await shared.group("g") == ["b"]
    assert await shared.join_group("g", "c", 10) == ["b", "c"]


async def test_answers_end_with_the_first_ones_time(autojump_clock: MockClock) -> None:
    shared = MemoryCoordination(trio.current_time)
    await shared.answer("v", "q", "n1", b"1", 10)
    await trio.sleep(5)
    await shared.answer("v", "q", "n2", b"2", 10)
    assert shared.answers_of_nodes("v", "q") == {"n1": b"1", "n2": b"2"}
    await trio.sleep(6)
    assert shared.answers_of_nodes("v", "q") == {}
    await shared.answer("v", "other", "n1", b"1", 10)
    assert list(shared._answers) == [("v", "other")]


async def test_holds_are_bounded_and_those_that_end_first_are_dropped(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coordination, "HOLDS", 4)
    shared = MemoryCoordination(trio.current_time)
    for seconds in range(1, 6):
        assert await shared.acquire("v", f"name{seconds}", "token", float(seconds)) == 0
    assert len(shared._holds) <= 4
    assert await shared.acquire("v", "name4", "another", 60.0) == 4
    assert await shared.acquire("v", "name1", "another", 60.0) == 0
