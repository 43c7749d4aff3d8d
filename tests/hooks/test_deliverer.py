"""One endpoint's queue, delivered in order, with retries; on a virtual clock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio
from trio.testing import MockClock

from liveserver.hooks.collector import Collector
from liveserver.hooks.deliverer import Deliverer
from liveserver.hooks.sink import EndpointGone, SinkError
from tests.hooks.harness import URL, FakeSink, Stage, settings


class Delivering:
    """A stage whose messages are delivered to a sink."""

    def __init__(self, stage: Stage, sink: FakeSink, deliverer: Deliverer, collector: Collector) -> None:
        self.stage, self.sink, self.deliverer, self.collector = stage, sink, deliverer, collector

    async def comment(self, video: str = "v", count: int = 1) -> list[str]:
        names = await self.stage.comment(video, count)
        await self.collector.collect()
        self.deliverer.wake()
        return names


@asynccontextmanager
async def delivering(**more: Any) -> AsyncIterator[Delivering]:
    stage = Stage(settings(**more))
    sink = FakeSink()
    deliverer = Deliverer("site", URL, sink, stage.queue, stage.settings.hooks)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(deliverer.run)
        yield Delivering(stage, sink, deliverer, await stage.lead())
        nursery.cancel_scope.cancel()


async def test_messages_are_delivered_in_order_and_videos_at_once(autojump_clock: MockClock) -> None:
    async with delivering(concurrency=3) as on:
        published = {video: await on.comment(video, 50) for video in "abcde"}
        await trio.sleep(60)
        for video, names in published.items():
            assert on.sink.ids(video) == names
        assert on.sink.busiest == 3
        assert (await on.stage.queue.waiting(["site"])) == {"site": 0}
        assert on.deliverer.statistics().delivered == 250


async def test_a_failure_is_retried_with_growing_pauses_and_keeps_the_order(
    autojump_clock: MockClock,
) -> None:
    async with delivering(retry_min="1s", retry_max="60s") as on:
        on.sink.next = [SinkError(f"status 50{number}") for number in range(8)]
        names = await on.comment(count=3)
        await trio.sleep(600)
        assert on.sink.ids() == names
        times = [at for at, delivery in on.sink.attempts]
        assert len(times) == 11
        assert times[8] - times[0] > times[4] - times[0] > 0
        assert len({delivery.id for _, delivery in on.sink.attempts[:9]}) == 1, "the same id each time"
        assert on.deliverer.statistics().failures == 8


async def test_while_an_endpoint_is_in_trouble_one_message_at_a_time_is_tried(
    autojump_clock: MockClock,
) -> None:
    async with delivering(concurrency=8, retry_min="1s", retry_max="8s") as on:
        for number in range(20):
            on.sink.of_video[f"v{number}"] = SinkError("connection refused")
            await on.comment(f"v{number}")
        await trio.sleep(120)
        assert on.sink.busiest <= 8
        assert len(on.sink.attempts) < 8 + 200
        busiest, on.sink.busiest = on.sink.busiest, 0
        await trio.sleep(60)
        assert on.sink.busiest == 1 <= busiest
        on.sink.of_video.clear()
        await trio.sleep(120)
        assert len(on.sink.accepted) == 20


async def test_a_message_that_is_refused_holds_up_only_its_video(autojump_clock: MockClock) -> None:
    async with delivering(give_up_after="1h") as on:
        on.sink.of_video["bad"] = SinkError("status 400", is_refused=True)
        on.sink.of_video["broken"] = SinkError("status 500")
        await on.comment("bad", 2)
        await on.comment("broken", 2)
        names = await on.comment("v", 100)
        await trio.sleep(900)
        assert on.sink.ids("v") == names
        assert on.sink.ids("bad") == on.sink.ids("broken") == []


async def test_what_is_too_old_is_given_up_and_leaves_a_gap(autojump_clock: MockClock) -> None:
    async with delivering(give_up_after="10m", retry_max="1m") as on:
        on.sink.of_video["v"] = SinkError("status 400", is_refused=True)
        await on.comment("v", 3)
        await trio.sleep(590)
        later = await on.comment("v", 2)
        await trio.sleep(120)
        on.sink.of_video.clear()
        await trio.sleep(120)
        assert on.sink.ids() == ["gap", *later]
        assert on.deliverer.statistics().given_up == 3
        gap = msgspec.json.decode(on.sink.accepted[0].body)
        assert (gap["type"], gap["data"]["video"]) == ("video.gap", "v")


async def test_an_endpoint_that_is_gone_is_disabled_until_it_is_enabled(autojump_clock: MockClock) -> None:
    async with delivering() as on:
        on.sink.next = [EndpointGone("status 410")]
        await on.comment(count=3)
        await trio.sleep(30)
        assert on.sink.accepted == []
        assert on.deliverer.statistics().is_disabled == 1
        assert (await on.stage.queue.waiting(["site"])) == {"site": 0}
        other = Deliverer("site", "redis://elsewhere/0", on.sink, on.stage.queue, on.stage.settings.hooks)
        await other.check_disabled()
        assert not other.is_disabled, "another URL is another endpoint"
        await on.deliverer.check_disabled()
        assert on.deliverer.is_disabled
        await on.stage.queue.enable("site")
        await on.deliverer.check_disabled()
        names = await on.comment()
        await trio.sleep(30)
        assert on.sink.ids() == names


async def test_no_answer_in_time_is_a_failure(autojump_clock: MockClock) -> None:
    async with delivering(timeout="3s") as on:
        on.sink.hangs = True
        names = await on.comment()
        await trio.sleep(10)
        on.sink.hangs = False
        await trio.sleep(60)
        assert on.sink.ids() == names
        assert on.deliverer.statistics().failures >= 2


async def test_an_endpoint_may_say_when_to_come_again(autojump_clock: MockClock) -> None:
    async with delivering(retry_min="1s") as on:
        on.sink.next = [SinkError("status 503", retry_after=100.0)]
        await on.comment()
        await trio.sleep(99)
        assert len(on.sink.attempts) == 1
        await trio.sleep(10)
        assert len(on.sink.attempts) == 2
