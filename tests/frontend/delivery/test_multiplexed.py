"""Viewers of several videos on one connection: what is sent in part blocks them all, and nothing is lost."""

from __future__ import annotations

import trio
import trio.testing
from trio.testing import MockClock
from wsproto.events import Ping

from liveserver.frontend.delivery.multiplexed import MultiplexedViewer
from liveserver.frontend.delivery.segment import StreamSegment
from tests.frontend.fakes import connect
from tests.frontend.harness import settings, stage

SMALL = {"send_buffer": 4096, "receive_buffer": 4096}


async def test_a_slow_client_lags_with_all_its_videos_and_misses_nothing(autojump_clock: MockClock) -> None:
    """Partial writes, several videos and replies on one socket: every message arrives whole."""
    async with stage() as on:
        slow, quick = await connect(on, **SMALL), await connect(on)
        videos = [f"v{number}" for number in range(5)]
        for video in videos:
            await slow.watch(video)
            await quick.watch(video)
        published: dict[str, list[int]] = {video: [] for video in videos}
        count = 0
        for step in range(40):
            for video in videos[: 1 + step % 5]:
                await on.publish(3, video, padding=400)
                published[video] += range(count + 1, count + 4)
                count += 3
            if step % 10 == 5:
                await slow.say(ping={})
            await trio.sleep(0.03)
        assert on.frontend.statistics().lagging >= 1
        for client, pongs in ((slow, 4), (quick, 0)):
            seen: dict[str, list[int]] = {video: [] for video in videos}
            while sum(map(len, seen.values())) < count or pongs:
                kind, said = await client.message()
                if kind == "pong":
                    pongs -= 1
                    continue
                seen[said["video"]] += [event["n"] for event in said["events"]]
            assert seen == published
        await trio.sleep(0.1)
        assert on.frontend.statistics().lagging == 0
        await on.publish(1, "v3")
        for client in (slow, quick):
            kind, said = await client.message()
            assert (kind, said["video"]) == ("events", "v3")


async def test_nothing_is_written_into_a_message_that_is_under_way(autojump_clock: MockClock) -> None:
    """Also by a segment that has visited this viewer before."""
    async with stage() as on:
        client = await connect(on)
        await client.watch("a")
        await on.publish(1, "a")
        assert (await client.message())[0] == "events"
        (viewer,) = on.channel("a").audience.viewers()
        segment = viewer.segment
        assert isinstance(viewer, MultiplexedViewer)
        assert isinstance(segment, StreamSegment)
        viewer._connection.save_unsent(memoryview(b"\x89\0"))  # a ping stands for what is left of a message
        segment._send_all(b"\x81\x02{}", segment.position, segment.position, optional=True)
        assert isinstance(await client.event(), Ping)
        await on.publish(1, "a")
        assert (await client.message())[0] == "events"


async def test_a_client_that_takes_nothing_gets_bye(autojump_clock: MockClock) -> None:
    async with stage(settings(frontend={"slow_timeout": "10s"})) as on:
        stalled = await connect(on, **SMALL)
        for video in ("a", "b"):
            await stalled.watch(video)
        for _ in range(20):
            await on.publish(10, "a", padding=500)
            await on.publish(10, "b", padding=500)
            await trio.sleep(0.05)
        await trio.sleep(15)
        statistics = on.frontend.statistics()
        assert (statistics.viewers, statistics.lagging, statistics.fanout.slow) == (0, 0, 1)
        while (message := await stalled.message())[0] == "events":
            pass
        assert (message[0], message[1]["reason"]) == ("bye", "slow")
        assert await stalled.closed() == (4008, "slow")


async def test_a_slow_client_out_of_reach_gets_the_gap_in_each_video(autojump_clock: MockClock) -> None:
    configured = settings(history={"max_events": 50, "ephemeral_types": []}, frontend={"slow_timeout": "1h"})
    async with stage(configured) as on:
        slow = await connect(on, **SMALL)
        for video in ("a", "b"):
            await slow.watch(video)
        for _ in range(80):
            for video in ("a", "b"):
                await on.publish(5, video, padding=500)
            await trio.sleep(0.05)
        last = {"a": 0, "b": 0}
        gaps = {"a": 0, "b": 0}
        while min(last.values()) < 400:
            kind, said = await slow.message()
            place = int(said["cursor"].rpartition("-")[2])
            if kind == "gap":
                gaps[said["video"]] += 1
                assert place > last[said["video"]]
            else:
                assert kind == "events"
                assert place == last[said["video"]] + len(said["events"])
            last[said["video"]] = place
        assert gaps == {"a": 1, "b": 1}


async def test_unsubscribing_a_video_while_its_message_is_under_way(autojump_clock: MockClock) -> None:
    async with stage() as on:
        client = await connect(on, **SMALL)
        await client.watch("a")
        await client.watch("b")
        for _ in range(10):
            await on.publish(10, "a", padding=500)
            await trio.sleep(0.05)
        assert on.frontend.statistics().lagging == 1
        await client.say(unsubscribe={"video": "a"})
        await client.say(ping={})
        await on.publish(1, "b")
        kinds: list[str] = []
        while not {"pong", "b"} <= set(kinds):
            kind, said = await client.message()
            kinds.append(said["video"] if kind == "events" else kind)
        assert kinds.index("pong") >= 1
        assert on.frontend.statistics().viewers == 1


async def test_a_client_that_disconnects_while_lagging_is_removed(autojump_clock: MockClock) -> None:
    async with stage() as on:
        client = await connect(on, **SMALL)
        for video in ("a", "b"):
            await client.watch(video)
        for _ in range(20):
            for video in ("a", "b"):
                await on.publish(10, video, padding=500)
            await trio.sleep(0.05)
        assert on.frontend.statistics().lagging == 2
        client.client.sock.close()
        await trio.testing.wait_all_tasks_blocked(0.01)
        statistics = on.frontend.statistics()
        assert (statistics.viewers, statistics.lagging, statistics.sockets) == (0, 0, 0)
