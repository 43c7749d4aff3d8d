"""The status of a frontend's videos and viewers."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from tests.frontend.fakes import connect
from tests.frontend.harness import settings, stage


async def test_viewers_are_counted_by_transport(autojump_clock: MockClock) -> None:
    async with stage() as on:
        await on.ready()
        await on.ready()
        lines = on.connect()
        await lines.get("/v1/videos/v/events", "Accept: application/x-ndjson")
        await lines.head()
        poll = on.connect()
        await poll.get("/v1/videos/v/poll")
        cursor = (await poll.json())["cursor"]
        await poll.get(f"/v1/videos/v/poll?cursor={cursor}")
        await (await connect(on)).watch()
        await trio.sleep(0.1)
        statistics = on.frontend.statistics()
        assert statistics.transports == {"sse": 2, "ndjson": 1, "poll": 1, "ws": 1}
        assert sum(statistics.transports.values()) == statistics.viewers
        status = on.frontend.video_status("v")
        assert status is not None
        assert (status.viewers, status.lag, status.mending) == (5, 0, False)
        assert status.transports == statistics.transports


async def test_only_the_most_watched_videos_are_listed(autojump_clock: MockClock) -> None:
    async with stage(settings(ops={"top_videos": 2})) as on:
        for video, viewers in (("one", 1), ("three", 3), ("two", 2), ("nobody", 1)):
            for _ in range(viewers):
                client, _ = await on.ready(video)
        client.sock.close()
        await trio.sleep(0.1)
        assert on.frontend.statistics().video_viewers == {"three": 3, "two": 2, "(other)": 1}
        overview = on.frontend.overview()
        assert [status.video for status in overview.videos] == ["three", "two"]
        assert (overview.more_videos, overview.more_viewers) == (2, 1)
        assert on.frontend.video_status("elsewhere") is None


async def test_lag_is_of_those_furthest_behind(autojump_clock: MockClock) -> None:
    async with stage(settings(frontend={"slow_timeout": "1h"})) as on:
        await on.ready("v", "", send_buffer=4096, receive_buffer=4096)
        quick, _ = await on.ready()
        for _ in range(40):
            await on.publish(10, padding=500)
            await quick.events(10)
            await trio.sleep(0.05)
        status = on.frontend.video_status("v")
        assert status is not None
        assert (status.events, status.offset, status.lagging) == (400, 400, 1)
        assert 0 < status.lag < 400
        assert on.frontend.statistics().lag == status.lag


async def test_arrival_records_are_dropped_with_their_items(autojump_clock: MockClock) -> None:
    async with stage(settings(history={"max_events": 64, "ephemeral_types": []})) as on:
        client, _ = await on.ready()
        for number in range(1, 1001):
            await on.publish()
            assert await client.events(1) == [number]
        log = on.channel().log
        assert len(log._arrivals) == len(log.items) <= 128
        assert log.arrived_at(log.tip - 1) is not None
        assert log.arrived_at(log.base - 1) is None
