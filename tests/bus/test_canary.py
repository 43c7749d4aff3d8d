"""Readiness proves delivery: it is red exactly while a canary does not come back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import pytest
import structlog
import trio
from trio.testing import MockClock

from liveserver.bus.canary import Canary, CanaryInbox, DuplicateName, NotDelivering
from liveserver.bus.interface import AppendRequest, Inbox, Lease, ignore
from liveserver.bus.memory.bus import MemoryBus
from liveserver.config import CanarySettings, Duration, HistorySettings
from liveserver.errors import BusError
from liveserver.viewer_count import ViewerCount

SETTINGS = CanarySettings(interval=Duration(5), timeout=Duration(3))


class SlowBus(MemoryBus):
    """One that takes so many seconds to begin to listen."""

    listens_after = 0.0

    @asynccontextmanager
    async def inbox(self, node: str, hear: Callable[[ViewerCount], None] = ignore) -> AsyncIterator[Inbox]:
        if self.listens_after:
            await trio.sleep(self.listens_after)
        async with super().inbox(node, hear) as inbox:
            yield inbox


class Dispatcher:
    """One that carries canaries, refuses them, or takes them and loses them."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus
        self.refuses = self.loses = False
        self.leases = 0

    async def renew_leases(self, node: str, videos: Mapping[str, int], lease: float) -> dict[str, Lease]:
        if self.refuses:
            raise BusError("nobody there")
        self.leases += 1
        return await self._bus.subscribe(node, videos, lease)

    async def send_canary(self, video: str, token: str) -> None:
        if self.refuses:
            raise BusError("nobody there")
        if not self.loses:
            await self._bus.append(
                [AppendRequest(video, token, [b'canary {"id":"%b"}' % token.encode()], [None])]
            )


class Aviary:
    """A canary at work, and what it was made to do."""

    def __init__(self, listens_after: float = 0.0) -> None:
        bus = SlowBus("dc1", HistorySettings(), 100)
        bus.listens_after = listens_after
        self.dispatcher = Dispatcher(bus)
        self.inbox = CanaryInbox(bus, "n1")
        self.renewals = 0
        self.canary = Canary("n1", self.dispatcher, SETTINGS, self._renew)

    def _renew(self) -> None:
        self.renewals += 1
        self.inbox.reconnect()

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.inbox.run, self.canary)
            nursery.start_soon(self.canary.run)

    async def is_ready(self) -> bool:
        try:
            await self.canary.check()
        except NotDelivering:
            return False
        return True


async def test_a_node_is_ready_when_the_first_canary_returns(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    aviary = Aviary()
    with pytest.raises(NotDelivering, match="no canary has come back yet"):
        await aviary.canary.check()
    nursery.start_soon(aviary.run)
    await trio.sleep(1)
    assert await aviary.is_ready()
    assert aviary.canary.statistics().lost == 0


async def test_a_lost_canary_fails_readiness_and_reconnects(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    aviary = Aviary()
    nursery.start_soon(aviary.run)
    await trio.sleep(1)
    aviary.dispatcher.loses = True
    await trio.sleep(8)  # the next one is sent within 5 s, and missed 3 s later
    assert not await aviary.is_ready()
    assert aviary.renewals >= 1
    aviary.dispatcher.loses = False
    await trio.sleep(4)
    assert await aviary.is_ready()


async def test_a_dispatcher_that_refuses_turns_it_red_at_once(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    aviary = Aviary()
    nursery.start_soon(aviary.run)
    await trio.sleep(1)
    aviary.dispatcher.refuses = True
    await trio.sleep(5)
    with pytest.raises(NotDelivering, match="nobody there"):
        await aviary.canary.check()
    aviary.dispatcher.refuses = False
    await trio.sleep(1)
    assert await aviary.is_ready()


async def test_none_is_sent_before_it_could_be_heard(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    aviary = Aviary(listens_after=0.8)  # longer than from one canary to the next
    nursery.start_soon(aviary.run)
    await trio.sleep(0.5)
    assert not await aviary.is_ready()
    await trio.sleep(10)
    assert await aviary.is_ready()
    assert (aviary.renewals, aviary.canary.statistics().lost) == (0, 0)


async def test_its_lease_is_renewed_before_it_ends(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    aviary = Aviary()
    nursery.start_soon(aviary.run)
    await trio.sleep(300)
    statistics = aviary.canary.statistics()
    assert (statistics.lost, statistics.is_alive) == (0, True)
    assert 15 <= aviary.dispatcher.leases <= 25


async def test_another_publishers_event_is_not_a_canary(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    aviary = Aviary()
    aviary.dispatcher.loses = True
    nursery.start_soon(aviary.run)
    await trio.sleep(0.1)
    await aviary.dispatcher._bus.append(
        [AppendRequest(aviary.canary.video, "t", [b'canary {"id":"x"}'], [None])]
    )
    await trio.sleep(1)
    assert not await aviary.is_ready()


async def flock(
    nursery: trio.Nursery, *starts: float, name: str = "n1"
) -> tuple[MemoryBus, list[Canary], list[trio.CancelScope]]:
    """Canaries of nodes of one name, started at these times, at work on one bus."""
    bus = MemoryBus("dc1", HistorySettings(), 100)
    canaries, scopes = [], []

    async def run(canary: Canary, scope: trio.CancelScope) -> None:
        with scope:
            async with trio.open_nursery() as inner:
                inner.start_soon(CanaryInbox(bus, name).run, canary)
                inner.start_soon(canary.run)

    for start in starts:
        canary = Canary(name, Dispatcher(bus), SETTINGS, lambda: None, lambda start=start: start)  # type: ignore[misc]
        canaries.append(canary)
        scopes.append(trio.CancelScope())
        nursery.start_soon(run, canary, scopes[-1])
    return bus, canaries, scopes


async def test_the_later_of_two_nodes_with_one_name_is_not_ready(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    with structlog.testing.capture_logs() as lines:
        _, (first, later), scopes = await flock(nursery, 1000.0, 2000.0)
        await trio.sleep(12)
        assert "another node is named n1 as well" in (await first.check_name() or "")
        with pytest.raises(DuplicateName, match="another node is named n1 as well"):
            await later.check_name()
    said = sorted(line["was_first"] for line in lines if line["event"] == "duplicate_node_name")
    assert said == [False, True]
    scopes[0].cancel()
    await trio.sleep(30)
    assert await later.check_name() is None


async def test_a_predecessors_last_canary_is_not_a_duplicate(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    _, (_, later), scopes = await flock(nursery, 1000.0, 2000.0)
    await trio.sleep(1)  # one canary each
    scopes[0].cancel()
    await trio.sleep(20)
    assert await later.check_name() is None
