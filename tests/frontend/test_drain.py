"""Draining: viewers are disconnected evenly, with a reason, and without cut-off data."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from liveserver.bus.interface import Lease, Slice
from liveserver.bus.memory.bus import MemoryBus
from tests.frontend.harness import Stage, settings, stage


class GatedBus(MemoryBus):
    """A memory bus whose answers wait until `gate` is set."""

    def __init__(self) -> None:
        configured = settings()
        super().__init__("dc1", configured.history, 100)
        self.gate = trio.Event()

    async def subscribe(
        self, node: str, videos: Mapping[str, int], lease: float, opening: Collection[str] = ()
    ) -> dict[str, Lease]:
        if "v" in videos:
            await self.gate.wait()
        return await super().subscribe(node, videos, lease, opening)

    async def read(self, video: str, after: int, limit: int) -> Slice:
        await self.gate.wait()
        return await super().read(video, after, limit)


async def begun(on: Stage) -> None:
    """Until draining has begun."""
    await trio.testing.wait_all_tasks_blocked(0.001)
    assert on.frontend.is_draining


async def test_byes_are_spread_over_the_drain_time(autojump_clock: MockClock) -> None:
    async with stage(settings(node={"drain_timeout": "10s"}, frontend={"segment_size": 7})) as on:
        clients = [(await on.ready())[0] for _ in range(40)]
        started = trio.current_time()
        received: list[float] = []
        retries: set[int | None] = set()

        async def wait(index: int) -> None:
            event = await clients[index].event()
            assert event.type == "bye"
            assert msgspec.json.decode(event.data) == {"reason": "drain", "reconnect": True}
            received.append(trio.current_time() - started)
            retries.add(clients[index].parser.retry)
            assert await clients[index].chunk() == b""
            assert not await clients[index].more()

        async with trio.open_nursery() as nursery:
            for index in range(40):
                nursery.start_soon(wait, index)
            await on.frontend.drain()
        assert trio.current_time() - started <= 11
        assert sum(moment < 5 for moment in received) == 20
        assert len(retries) > 30
        assert all(retry is not None and 1000 <= retry <= 4000 for retry in retries)


async def test_polls_are_answered_at_once(autojump_clock: MockClock) -> None:
    async with stage(settings(node={"drain_timeout": "10s"})) as on:
        receipt = await on.publish(1)
        client = on.connect()
        await client.get(f"/v1/videos/v/poll?cursor=dc1-{receipt.epoch}-1")
        await trio.testing.wait_all_tasks_blocked(0.01)
        started = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(on.frontend.drain)
            assert await client.json() == {"cursor": f"dc1-{receipt.epoch}-1", "gap": False, "events": []}
            assert trio.current_time() - started < 0.1


async def test_events_still_flow_to_those_without_bye_yet(autojump_clock: MockClock) -> None:
    async with stage(settings(node={"drain_timeout": "10s"})) as on:
        clients = [(await on.ready())[0] for _ in range(10)]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(on.frontend.drain)
            await trio.sleep(5)
            await on.publish(1)
            kinds = sorted([(await client.event()).type for client in clients])
        assert kinds == ["bye"] * 5 + ["like"] * 5


async def test_a_lagging_viewer_gets_bye_between_whole_events(autojump_clock: MockClock) -> None:
    async with stage(settings(node={"drain_timeout": "1s"})) as on:
        slow, _ = await on.ready("v", "", send_buffer=4096, receive_buffer=4096)
        for _ in range(20):
            await on.publish(10, padding=500)
            await trio.sleep(0.05)
        await on.frontend.drain()
        while (event := await slow.event()).type == "like":
            last = event
        assert event.type == "bye"
        assert event.id == last.id


async def test_bye_has_the_viewers_own_cursor(autojump_clock: MockClock) -> None:
    """A viewer that resumes from there, as a browser's EventSource does, gets nothing twice."""
    async with stage(settings(node={"drain_timeout": "1s"})) as on:
        client, _ = await on.ready()
        await on.publish(3)
        likes: list[str] = []
        while len(likes) < 3:
            event = await client.event()
            likes += [event.id] if event.type == "like" else []
        await on.frontend.drain()
        while (event := await client.event()).type != "bye":
            pass
        assert event.id == likes[-1]


@pytest.mark.parametrize("is_answered", [False, True])
@pytest.mark.parametrize("query", ["", "?cursor=earliest"])
async def test_viewers_being_admitted_when_draining_begins_get_bye(
    autojump_clock: MockClock, query: str, is_answered: bool
) -> None:
    """They wait for a dispatcher, or for the log, and are not counted among the viewers yet."""
    bus = GatedBus()
    await bus.subscribe("elsewhere", {"w": 1}, 300)
    async with stage(settings(node={"drain_timeout": "5s"}), bus) as on:
        if query:  # the video is open, and its log is to be read
            bus.gate.set()
            await on.publish(3)
            await on.ready()
            bus.gate = trio.Event()
        client = on.connect()
        await client.get(f"/v1/videos/v/events{query}")
        poll = on.connect()
        await poll.get("/v1/videos/v/poll?cursor=earliest")
        await trio.testing.wait_all_tasks_blocked(0.01)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(on.frontend.drain)
            await begun(on)
            if is_answered or query:
                bus.gate.set()
            await client.head()
            assert msgspec.json.decode((await client.event()).data) == {"reason": "drain", "reconnect": True}
            assert await client.chunk() == b""
            head = await poll.head()
            assert "200" in head or "503" in head
        assert on.frontend.statistics().viewers == 0
