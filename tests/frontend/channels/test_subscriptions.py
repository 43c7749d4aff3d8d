"""The subscription table: the first viewer subscribes, the last one leaves after a linger."""

from __future__ import annotations

import gc
import weakref
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from liveserver.bus.canary import PREFIX
from liveserver.bus.interface import AppendRequest, Lease
from liveserver.bus.memory.bus import MemoryBus
from liveserver.config import Settings
from liveserver.errors import BusError, DispatcherError, Unavailable
from liveserver.frontend.frontend import Frontend, open_frontend
from tests.frontend.harness import settings, stage


class RecordedLeases:
    """Leases on the memory bus that note what they are asked, and fail while `is_down`."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus
        self.is_down = False
        self.asked: list[tuple[str, list[str]]] = []

    async def renew_leases(
        self, node: str, videos: Mapping[str, int], lease: float, opening: Collection[str] = ()
    ) -> dict[str, Lease]:
        if any(video.startswith(PREFIX) for video in videos):
            return await self._bus.subscribe(node, videos, lease)
        self.asked.append(("renew", sorted(videos)))
        await trio.sleep(0.01)
        if self.is_down:
            raise DispatcherError("nobody there")
        return await self._bus.subscribe(node, videos, lease, opening)

    async def send_canary(self, video: str, token: str) -> None:
        await self._bus.append(
            [AppendRequest(video, token, [b'canary {"id":"%b"}' % token.encode()], [None])]
        )

    async def withdraw(self, node: str, videos: Collection[str]) -> None:
        self.asked.append(("withdraw", sorted(videos)))
        await trio.sleep(0.01)
        if self.is_down:
            raise DispatcherError("nobody there")
        await self._bus.unsubscribe(node, videos)


class SlowLeases(MemoryBus):
    """A memory bus whose answers to `subscribe` take `seconds`, after `failures` that fail."""

    def __init__(self, configured: Settings) -> None:
        super().__init__(configured.node.datacenter, configured.history, 100)
        self.seconds = 0.0
        self.failures = 0
        self.asked = 0
        self.reported: list[dict[str, int]] = []

    async def subscribe(
        self, node: str, videos: Mapping[str, int], lease: float, opening: Collection[str] = ()
    ) -> dict[str, Lease]:
        if not any(video.startswith(PREFIX) for video in videos):
            self.asked += 1
            self.reported.append(dict(videos))
            await trio.sleep(self.seconds)
            if self.failures:
                self.failures -= 1
                raise BusError("the link is down")
        return await super().subscribe(node, videos, lease, opening)


@asynccontextmanager
async def opened(configured: Settings) -> AsyncIterator[tuple[Frontend, RecordedLeases]]:
    leases = RecordedLeases(MemoryBus("dc1", configured.history, 100))
    async with open_frontend("n1", configured, leases._bus, leases) as frontend:
        yield frontend, leases


async def visit(frontend: Frontend, video: str, seconds: float = 0) -> None:
    async with frontend.table.open_channel(video) as channel:
        assert channel.is_open
        await trio.sleep(seconds)


async def test_the_first_viewer_subscribes_and_the_second_does_not(autojump_clock: MockClock) -> None:
    async with opened(Settings()) as (frontend, leases):
        await visit(frontend, "v")
        await visit(frontend, "v")
        assert leases.asked == [("renew", ["v"])]


async def test_videos_that_come_together_are_asked_for_together(autojump_clock: MockClock) -> None:
    async with opened(Settings()) as (frontend, leases), trio.open_nursery() as nursery:
        for index in range(100):
            nursery.start_soon(visit, frontend, f"v{index:02}")
    assert sum(len(videos) for _, videos in leases.asked) == 100
    assert len(leases.asked) <= 2


async def test_leases_are_renewed_three_times_within_their_time(autojump_clock: MockClock) -> None:
    async with opened(settings(frontend={"lease": "30s"})) as (frontend, leases):
        await visit(frontend, "v", seconds=61)
    assert leases.asked == [("renew", ["v"])] * 7


async def test_the_last_viewer_leaves_after_the_linger(autojump_clock: MockClock) -> None:
    async with opened(settings(frontend={"linger": "5s"})) as (frontend, leases):
        await visit(frontend, "v")
        await trio.sleep(4)
        assert "v" in frontend.table.channels
        await trio.sleep(3)
        assert "v" not in frontend.table.channels
        assert leases.asked == [("renew", ["v"]), ("withdraw", ["v"])]


async def test_an_arriving_viewer_keeps_the_subscription(autojump_clock: MockClock) -> None:
    async with opened(settings(frontend={"linger": "1s"})) as (frontend, _):
        await visit(frontend, "v", seconds=5)
        assert "v" in frontend.table.channels


async def test_a_viewer_that_returns_during_unsubscribing_is_subscribed(autojump_clock: MockClock) -> None:
    async with opened(settings(frontend={"linger": "1s"})) as (frontend, leases):
        for _ in range(20):
            await visit(frontend, "v")
            while "v" in frontend.table.channels:  # noqa: ASYNC110  # the table has no event for it
                await trio.sleep(0.005)  # and back at once, the withdrawal being under way
        await visit(frontend, "v", seconds=1)
        await leases._bus.append([])
        assert leases.asked[-1] == ("renew", ["v"])


async def test_a_dispatcher_that_comes_back_in_time(autojump_clock: MockClock) -> None:
    async with opened(settings(frontend={"subscribe_timeout": "10s"})) as (frontend, leases):
        leases.is_down = True
        async with trio.open_nursery() as nursery:
            nursery.start_soon(visit, frontend, "v")
            await trio.sleep(8)
            leases.is_down = False


async def test_a_dispatcher_that_does_not_come_back_in_time(autojump_clock: MockClock) -> None:
    async with opened(settings(frontend={"subscribe_timeout": "10s"})) as (frontend, leases):
        leases.is_down = True
        before = trio.current_time()
        with pytest.raises(Unavailable) as received:
            await visit(frontend, "v")
        assert dict(received.value.headers)["retry-after"] == "2"
        assert trio.current_time() - before == 10


async def test_leaving_withdraws_everything(autojump_clock: MockClock) -> None:
    async with opened(settings(node={"drain_timeout": "0s"})) as (frontend, leases):
        await visit(frontend, "v")
        await visit(frontend, "w")
        await frontend.drain()
        assert leases.asked[-1] == ("withdraw", ["v", "w"])


async def test_a_renewal_asked_for_during_one_follows_it(autojump_clock: MockClock) -> None:
    """Listening began anew while heads were on their way: they are from before, and are compared again."""
    configured = settings(frontend={"lease": "30s"})
    bus = SlowLeases(configured)
    async with stage(configured, bus) as on:
        await on.ready()
        await trio.sleep(1)
        asked, bus.seconds = bus.asked, 0.5
        on.frontend.table.renew_now()
        await trio.sleep(0.25)
        on.frontend.table.renew_now()
        await trio.sleep(1)
        assert bus.asked == asked + 2
        await trio.sleep(5)
        assert bus.asked == asked + 2  # and then none until a third of the lease is over


async def test_a_renewal_that_fails_is_tried_again_soon(autojump_clock: MockClock) -> None:
    configured = settings(frontend={"lease": "30s"})
    bus = SlowLeases(configured)
    async with stage(configured, bus) as on:
        await on.ready()
        await trio.sleep(1)
        asked, bus.failures = bus.asked, 2
        on.frontend.table.renew_now()
        await trio.sleep(1)
        assert bus.asked == asked + 3


async def test_a_count_that_changes_during_a_report_is_reported_again(autojump_clock: MockClock) -> None:
    configured = settings(frontend={"lease": "300s"})
    bus = SlowLeases(configured)
    async with stage(configured, bus) as on:
        await on.ready()
        await trio.sleep(1)
        bus.seconds = 0.5
        on.frontend.table.report("v")
        await trio.sleep(0.25)
        await on.ready()
        on.frontend.table.report("v")
        await trio.sleep(2)
        assert bus.reported[-1] == {"v": 2}


async def test_a_closed_video_is_freed_at_once(autojump_clock: MockClock) -> None:
    """Without waiting for a collection of cycles, or for the heartbeat of an empty segment."""
    configured = settings(frontend={"linger": "2s", "heartbeat": "1h"})
    gc.collect()
    gc.disable()
    try:
        async with stage(configured) as on:
            await on.publish(300)
            clients = [on.connect() for _ in range(4)]
            await clients[3].get("/v1/videos/v/events?cursor=earliest&rate=5")
            await clients[0].get("/v1/videos/v/events?cursor=earliest")
            await clients[1].get("/v1/videos/v/events?cursor=earliest", "Accept: application/x-ndjson")
            await clients[2].get("/v1/videos/v/poll?cursor=dc9-aaa-1&limit=5")
            for client in clients:
                await client.head()
            await trio.sleep(1)
            freed = weakref.ref(on.channel())
            log = weakref.ref(on.channel().log)
            audience = weakref.ref(on.channel().audience)
            assert len(on.channel().log.items) == 300
            for client in clients:
                client.sock.close()
            await trio.sleep(10)
            assert "v" not in on.frontend.table.channels
            assert (freed(), audience(), log()) == (None, None, None)
            assert on.frontend.fanout._quiet == {}
    finally:
        gc.enable()


async def test_old_events_are_dropped_without_traffic(autojump_clock: MockClock) -> None:
    configured = settings(history={"max_age": "5s"})
    async with stage(configured) as on:
        stays, _ = await on.ready()
        await on.publish(4000)
        assert await stays.events(4000) == list(range(1, 4001))
        await trio.sleep(20)
        assert on.channel().log.items == []
        client, ready = await on.ready("v", "?replay=200")
        assert not ready["gap"]
        await on.publish(1)
        assert await client.events(1) == [4001]
