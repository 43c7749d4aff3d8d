"""The records of flushes: their delays, the viewers written to, and those that were not."""

from __future__ import annotations

import time

import trio
from trio.testing import MockClock

from liveserver.bus.interface import AppendRequest
from liveserver.event import Batch
from liveserver.frontend.delivery.flush_history import FlushRecord
from tests.frontend.harness import FullLoad, Stage, settings, stage


async def publish_at(on: Stage, milliseconds: int) -> None:
    line = (
        b'like {"id":"x","video":"v","type":"like","user":",\\"at\\":5","at":%d,"data":{"at":7}}'
        % milliseconds
    )
    await on.bus.append([AppendRequest("v", f"t{milliseconds}", [line], [None])])


async def test_a_visit_is_remembered_with_its_time_and_its_viewers(autojump_clock: MockClock) -> None:
    async with stage() as on:
        clients = [(await on.ready())[0] for _ in range(3)]
        await on.publish(2)
        for client in clients:
            await client.events(2)
        when = trio.current_time()
        await trio.sleep(1)
        await on.publish()
        await clients[0].events(1)
        visits = on.channel().audience.flush_history
        assert list(visits.of(1)) == [FlushRecord(when, 0, 2, 3)]
        assert list(visits.of(2)) == [FlushRecord(when + 1, 2, 3, 3)]
        assert list(visits.of(3)) == []
        assert visits.reaches_back_to(0)


async def test_only_so_many_visits_are_remembered(autojump_clock: MockClock) -> None:
    async with stage(settings(frontend={"trace_flushes": 5})) as on:
        client, _ = await on.ready()
        for _ in range(100):
            await on.publish()
            await trio.sleep(0.1)
        await client.events(100)
        visits = on.channel().audience.flush_history
        remembered = [position for position in range(100) if list(visits.of(position))]
        assert remembered == list(range(100 - len(remembered), 100))
        assert 5 <= len(remembered) <= 10
        assert visits.reaches_back_to(trio.current_time() - 0.2)
        assert not visits.reaches_back_to(trio.current_time() - 5)


async def test_a_delay_is_from_the_arrival_to_the_end_of_the_visit(autojump_clock: MockClock) -> None:
    async with stage(settings(frontend={"flush_interval": "400ms"})) as on:
        on.frontend.fanout.load = FullLoad()
        client, _ = await on.ready()
        await trio.sleep(1)
        await on.publish()  # at once
        await trio.sleep(0.1)
        await on.publish()  # 0.3 s later, when the segment has rested
        await client.events(2)
        delay = on.frontend.statistics().fanout.delay
        assert sum(delay.counts) == 2
        assert delay.counts[0] == 1
        assert abs(delay.sum - 0.3) < 1e-6


async def test_the_time_since_it_was_published_is_the_events_own(autojump_clock: MockClock) -> None:
    """Neither what a user is called nor what the data says is taken for it; clocks may be wrong."""
    async with stage() as on:
        client, _ = await on.ready()
        await publish_at(on, 1_000)  # half a century ago
        await client.event()
        distribution = on.frontend.statistics().fanout.publish_to_write
        assert distribution.counts[-1] == 1
        assert 1.7e9 < distribution.sum < 1e11
        await trio.sleep(1)
        await publish_at(on, 10**14)  # to come
        await client.event()
        later = on.frontend.statistics().fanout.publish_to_write
        assert (later.counts[0], later.sum) == (1, distribution.sum)


async def test_long_polls_are_counted_too(autojump_clock: MockClock) -> None:
    async with stage() as on:
        client = on.connect()
        await client.get("/v1/videos/v/poll")
        cursor = (await client.json())["cursor"]
        await client.get(f"/v1/videos/v/poll?cursor={cursor}")
        await trio.sleep(0.1)
        await on.publish(2)
        assert len((await client.json())["events"]) == 2
        assert on.frontend.statistics().fanout.deliveries == 2
        assert [visit.viewers for visit in on.channel().audience.flush_history.of(1)] == [1]


async def test_skipped_viewers_are_noted_once(autojump_clock: MockClock) -> None:
    configured = settings(history={"max_events": 50, "ephemeral_types": []}, frontend={"slow_timeout": "10s"})
    async with stage(configured) as on:
        for _ in range(2):
            await on.ready("v", "", send_buffer=4096, receive_buffer=4096)
        for _ in range(60):
            await on.publish(5, padding=500)
            await trio.sleep(0.05)
        notes = on.channel().audience.flush_history.notes
        late = [remark for remark in notes if remark.what == "late"]
        assert sum(remark.viewers for remark in late) == 2
        await trio.sleep(20)
        assert {remark.what for remark in notes} == {"late", "let go"}
        assert on.frontend.statistics().fanout.byes["slow"] == 2


async def test_withheld_events_are_counted(autojump_clock: MockClock) -> None:
    """A viewer from a node that had already received more of another datacenter."""
    async with stage() as on:
        client, ready = await on.ready()
        channel = on.channel()
        lines = [b'like {"n":%d}' % number for number in range(1, 6)]
        assert channel.append_batch(Batch("v", channel.epoch, 1, "dc2", "p0x1b", 1, lines[:1]))
        assert await client.events(1) == [1]
        ahead, ready = await on.ready("v", f"?cursor=dc1-{channel.epoch}-0~dc2-p0x1b-3")
        assert ready["resumed"]
        assert channel.append_batch(Batch("v", channel.epoch, 2, "dc2", "p0x1b", 2, lines[1:]))
        assert await ahead.events(2) == [4, 5]
        assert await client.events(4) == [2, 3, 4, 5]
        assert on.frontend.statistics().fanout.withheld == 2
        (remark,) = [remark for remark in channel.audience.flush_history.notes if remark.what == "withheld"]
        assert (remark.start, remark.end, remark.viewers) == (1, 3, 1)


async def test_a_replay_is_not_measured_as_delay(autojump_clock: MockClock) -> None:
    async with stage() as on:
        stays, _ = await on.ready()
        await on.publish(5)
        assert await stays.events(5) == [1, 2, 3, 4, 5]
        await trio.sleep(30)
        stays.sock.close()
        await trio.sleep(1)
        before = on.frontend.statistics().fanout
        client, _ = await on.ready("v", "?replay=3")
        assert await client.events(3) == [3, 4, 5]
        after = on.frontend.statistics().fanout
        assert after.delay.counts == before.delay.counts
        assert after.publish_to_write.counts == before.publish_to_write.counts
        await on.publish()
        await client.events(1)
        assert sum(on.frontend.statistics().fanout.delay.counts) == sum(before.delay.counts) + 1


async def test_an_event_that_waited_before_it_was_accepted_is_measured_from_then(
    autojump_clock: MockClock,
) -> None:
    async with stage() as on:
        client, _ = await on.ready()
        accepted = int(time.time() * 1000)
        line = (
            b'like {"id":"x","video":"v","type":"like","at":5,"accepted":%d,"data":{"accepted":9}}' % accepted
        )
        await on.bus.append([AppendRequest("v", "t", [line], [None])])
        await client.event()
        assert on.frontend.statistics().fanout.publish_to_write.sum < 1e6
        story = on.frontend.trace("v", "x")
        assert story is not None
        assert story.accepted.at == accepted
