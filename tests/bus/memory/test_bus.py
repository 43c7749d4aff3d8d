"""The memory bus: bounded, by a virtual clock."""

from __future__ import annotations

import sys

import pytest
import trio
from trio.testing import MockClock

from liveserver.bus.interface import AppendRequest, AppendResult
from liveserver.bus.memory import bus as memory
from liveserver.bus.memory.bus import MemoryBus
from liveserver.config import HistorySettings, convert


def settings(**log: object) -> HistorySettings:
    return convert(log, HistorySettings)


async def append(bus: MemoryBus, video: str, *ids: str | None, token: str = "") -> AppendResult:
    lines = [b"like {}"] * len(ids)
    (receipt,) = await bus.append([AppendRequest(video, token or str(trio.current_time()), lines, list(ids))])
    return receipt


async def test_appending_does_not_switch_tasks() -> None:
    bus = MemoryBus("dc1", settings(), 10)
    switched = False

    async def other() -> None:
        nonlocal switched
        switched = True

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        await append(bus, "v", None)
        assert not switched


async def test_an_inbox_has_room_again_once_it_was_taken() -> None:
    bus = MemoryBus("dc1", settings(), 2)
    async with bus.inbox("n") as inbox:
        await bus.subscribe("n", {"v": 1}, 30)
        for token in "abc":
            await append(bus, "v", None, token=token)
        assert [batch.first for batch in await anext(inbox)] == [1, 2]
        await append(bus, "v", None, token="d")
        assert await anext(inbox) == []
        assert [batch.first for batch in await anext(inbox)] == [4]
        assert bus.statistics().dropped == 1
    assert bus.statistics().dropped == 1


async def test_the_log_is_exact_in_length(autojump_clock: MockClock) -> None:
    bus = MemoryBus("dc1", settings(max_events=5, ephemeral_types=[]), 10)
    for _ in range(4):
        await trio.sleep(1)
        await append(bus, "v", None, None, None)
    stretch = await bus.read("v", 0, 100)
    assert (stretch.oldest, stretch.batches[0].first, stretch.batches[0].number) == (8, 8, 8)
    assert len(stretch.batches[0].lines) == 5


async def test_the_log_ages_without_an_append(autojump_clock: MockClock) -> None:
    bus = MemoryBus("dc1", settings(max_age=10, ephemeral_types=[]), 10)
    await append(bus, "v", None, None)
    await trio.sleep(6)
    await append(bus, "v", None)
    await trio.sleep(6)
    assert (await bus.read("v", 0, 100)).oldest == 3
    await trio.sleep(6)
    stretch = await bus.read("v", 0, 100)
    assert (stretch.oldest, stretch.head.offset, stretch.batches) == (4, 3, [])


async def test_events_of_a_quiet_video_are_freed_by_the_clock(autojump_clock: MockClock) -> None:
    """Nothing is appended to it, nor read, and it is far from `idle_ttl`; it goes on where it was."""
    bus = MemoryBus("dc1", settings(max_age=10), 10)
    lines = [b'like {"n":%d}' % number for number in range(2)] + [b'comment {"n":2}']
    await bus.append([AppendRequest("v", "t", list(lines), [None] * len(lines))])
    held = [sys.getrefcount(line) for line in lines]
    await trio.sleep(9)
    await append(bus, "w", None)
    assert [sys.getrefcount(line) for line in lines] == held
    await trio.sleep(2)
    await append(bus, "w", None)
    assert [sys.getrefcount(line) for line in lines] == [count - 1 for count in held]
    assert (await append(bus, "v", None)).first == 4


async def test_ids_last_for_their_window(autojump_clock: MockClock) -> None:
    bus = MemoryBus("dc1", settings(dedup_window=10), 10)
    await append(bus, "v", "1")
    await trio.sleep(9)
    assert (await append(bus, "v", "1")).duplicates == {0}
    await trio.sleep(2)  # counted from when it was accepted, not from the duplicate
    assert (await append(bus, "v", "1")).duplicates == frozenset()
    await trio.sleep(20)
    await append(bus, "w", None)
    assert bus.statistics().ids == 0


async def test_quiet_videos_go_and_come_back_in_a_new_epoch(autojump_clock: MockClock) -> None:
    bus = MemoryBus("dc1", settings(idle_ttl=100), 10)
    before = await append(bus, "v", None)
    await bus.subscribe("n", {"watched": 1}, 300)
    await trio.sleep(101)
    await append(bus, "w", None)
    assert bus.statistics().videos == 2  # w, and the one that is watched
    after = await append(bus, "v", None)
    assert after.first == 1
    assert after.epoch != before.epoch


async def test_a_lease_ends_on_time(autojump_clock: MockClock) -> None:
    bus = MemoryBus("dc1", settings(), 10)
    async with bus.inbox("n") as inbox:
        await bus.subscribe("n", {"v": 1}, 10)
        await trio.sleep(9)
        await append(bus, "v", None)
        assert len(await anext(inbox)) == 1
        await trio.sleep(1)
        await append(bus, "v", None)
        with trio.move_on_after(1) as waited:
            await anext(inbox)
        assert waited.cancelled_caught


async def test_tokens_are_bounded_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "TOKENS", 10)
    bus = MemoryBus("dc1", settings(), 10)
    for number in range(50):
        await append(bus, "v", None, token=f"t{number}")
    assert bus.statistics().tokens == 11
    assert (await append(bus, "v", None, token="t49")).first == 50
    assert (await append(bus, "v", None, token="t0")).first == 51


async def test_a_cancelled_listener_loses_nothing() -> None:
    bus = MemoryBus("dc1", settings(), 10)
    async with bus.inbox("n") as inbox:
        await bus.subscribe("n", {"v": 1}, 30)
        with trio.CancelScope() as scope:
            scope.cancel()
            await anext(inbox)
        await append(bus, "v", None)
        with trio.CancelScope() as scope:
            scope.cancel()
            await anext(inbox)
        assert len(await anext(inbox)) == 1
