"""Publishers are held back while viewers that keep reading are behind, and only then."""

from __future__ import annotations

from collections.abc import Collection

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from liveserver.bus.memory.bus import MemoryBus
from liveserver.config import HistorySettings
from liveserver.config.checks import check
from liveserver.dispatcher.parse import VideoBatch
from tests.frontend.harness import Client, Stage, settings, stage

LENGTH = 320  # events in the log; a check every 20
HISTORY = {"max_events": LENGTH, "ephemeral_events": LENGTH}


class WatchedBus(MemoryBus):
    """Counts what is held back."""

    def __init__(self) -> None:
        super().__init__("dc1", HistorySettings(max_events=LENGTH, ephemeral_events=LENGTH), 10_000)
        self.held: list[str] = []

    async def hold_back(self, videos: Collection[str], seconds: float) -> None:
        self.held += videos
        await super().hold_back(videos, seconds)


async def publish(on: Stage, first: int, count: int) -> None:
    """Publish events through the dispatcher, `n` counting up from `first`."""
    lines = [b'like {"n":%d,"p":"%b"}' % (n, b"x" * 500) for n in range(first, first + count)]
    await on.publisher.publish([VideoBatch("v", lines, [None] * count)])


async def test_a_viewer_that_keeps_reading_sees_all_however_fast_it_is_published(
    autojump_clock: MockClock,
) -> None:
    """Without back-pressure the log turns over many times before its socket accepts more."""
    async with stage(settings(history=HISTORY), WatchedBus()) as on:
        viewer, _ = await on.ready(send_buffer=4096, receive_buffer=4096)
        seen: list[int] = []

        async def read() -> None:
            while len(seen) < 4_000:
                event = await viewer.event()
                assert event.type == "like", event
                seen.append(int(event.data.partition('"n":')[2].partition(",")[0]))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            for number in range(100):
                nursery.start_soon(publish, on, 40 * number, 40)
        assert sorted(seen) == list(range(4_000))
        assert isinstance(on.bus, WatchedBus)
        assert on.bus.held
        assert on.frontend.fanout.statistics().gaps == 0


async def test_a_viewer_that_has_stopped_reading_holds_back_nothing_for_long(
    autojump_clock: MockClock,
) -> None:
    async with stage(settings(history=HISTORY), WatchedBus()) as on:
        await on.ready(send_buffer=4096, receive_buffer=4096)
        await publish(on, 0, 40)
        await trio.sleep(1)
        assert isinstance(on.bus, WatchedBus)
        for number in range(1, 40):
            await publish(on, 40 * number, 40)
            await wait_all_tasks_blocked()
        assert len(on.bus.held) <= 2, "until it has not accepted anything for a while"


async def test_at_a_usual_rate_nothing_is_looked_at(autojump_clock: MockClock) -> None:
    """Viewers that resume from far back are behind without being slow."""
    async with stage(settings(history=HISTORY), WatchedBus()) as on:
        await watch_from_the_beginning(on)
        for number in range(40):
            await publish(on, 20 * number, 20)
            await trio.sleep(1)
        assert isinstance(on.bus, WatchedBus)
        assert on.bus.held == []


async def watch_from_the_beginning(on: Stage) -> Client:
    client, _ = await on.ready(query="?cursor=earliest", send_buffer=4096, receive_buffer=4096)
    return client


async def test_it_can_be_turned_off(autojump_clock: MockClock) -> None:
    configured = settings(history=HISTORY, frontend={"hold_back": "0s"})
    check(configured)
    async with stage(configured, WatchedBus()) as on:
        await on.ready(send_buffer=4096, receive_buffer=4096)
        for number in range(20):
            await publish(on, 40 * number, 40)
        assert isinstance(on.bus, WatchedBus)
        assert on.bus.held == []
