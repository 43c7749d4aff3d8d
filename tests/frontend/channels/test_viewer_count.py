"""Viewer counts are sent to viewers that are level, at most once a second."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import trio
from trio.testing import MockClock

from liveserver.viewer_count import ViewerCount
from tests.frontend.harness import Client, FullLoad, Stage, settings, stage

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

TELLING = {"counts_interval": "1s"}


async def received(client: Client) -> tuple[str | None, tuple[int, int, int]]:
    """The next event, which is `viewers`: its id, and what it says of here, the datacenter and all."""
    event = await client.event()
    assert event.type == "viewers"
    data = msgspec.json.decode(event.data)
    assert data["video"] == "v"
    return event.id, (data["here"], data["datacenter"], data["total"])


async def sent_among(client: Client, events: int) -> tuple[list[int], list[int]]:
    """The `n` of the next so many events, and the totals sent among them."""
    numbers: list[int] = []
    totals: list[int] = []
    while len(numbers) < events:
        event = await client.event()
        data = msgspec.json.decode(event.data)
        if event.type == "viewers":
            totals.append(data["total"])
        else:
            numbers.append(data["n"])
    return numbers, totals


async def asked(on: Stage, video: str = "v") -> dict[str, object]:
    client = on.connect()
    await client.get(f"/v1/videos/{video}/viewers")
    answer: dict[str, object] = await client.json()
    return answer


async def test_viewers_are_sent_how_many_they_are(autojump_clock: MockClock) -> None:
    async with stage(settings(frontend=TELLING)) as on:
        one, ready = await on.ready()
        started = trio.current_time()
        assert await received(one) == (ready["cursor"], (1, 1, 1))
        assert trio.current_time() - started <= 1.5
        two, _ = await on.ready()
        assert (await received(two))[1] == (2, 2, 2)  # itself counted, with its ready
        for client in (one, two):
            assert (await received(client))[1] == (2, 2, 2)
        assert await asked(on) == {"video": "v", "here": 2, "datacenter": 2, "total": 2}
        two.sock.close()
        assert (await received(one))[1] == (1, 1, 1)


async def test_other_nodes_and_datacenters_count(autojump_clock: MockClock) -> None:
    async with stage(settings(frontend=TELLING)) as on:
        client, _ = await on.ready()
        await received(client)
        await on.bus.subscribe("n2", {"v": 10}, 15)
        await on.bus.note_peer_counts([ViewerCount("v", "dc2", 100, 0, 35)])
        assert (await received(client))[1] == (1, 11, 111)
        assert await asked(on) == {"video": "v", "here": 1, "datacenter": 11, "total": 111}
        # Both end by themselves: the node is dead, and so is the link.
        assert (await received(client))[1] == (1, 1, 101)
        assert (await received(client))[1] == (1, 1, 1)


async def test_counts_of_videos_watched_only_elsewhere_are_answered(autojump_clock: MockClock) -> None:
    async with stage(settings(frontend=TELLING)) as on:
        await on.bus.subscribe("n2", {"w": 10}, 30)
        assert await asked(on, "w") == {"video": "w", "here": 0, "datacenter": 10, "total": 10}
        assert await asked(on, "x") == {"video": "x", "here": 0, "datacenter": 0, "total": 0}
        assert not on.frontend.table.channels


async def test_viewers_get_a_count_at_most_once_a_second(autojump_clock: MockClock) -> None:
    async with stage(settings(frontend=TELLING)) as on:
        client, _ = await on.ready()
        await received(client)
        before = on.frontend.fanout.statistics().visits
        others = []
        for _ in range(100):  # ten seconds in which viewers keep coming
            others.append((await on.ready())[0])
            await trio.sleep(0.1)
        seen = words = 0
        while seen < 101:
            seen = (await received(client))[1][0]
            words += 1
        assert words <= 12
        # One flush each, besides those in which viewers join.
        assert on.frontend.fanout.statistics().visits - before <= 12


async def test_the_numbers_stand_behind_the_events_and_carry_their_cursor(autojump_clock: MockClock) -> None:
    async with stage(settings(frontend=TELLING | {"flush_interval": "2s"})) as on:
        on.frontend.fanout.load = FullLoad()
        client, _ = await on.ready()
        await received(client)
        await on.publish()  # written at once; from here on the segment rests
        assert await client.events(1) == [1]
        await on.bus.subscribe("n2", {"v": 1}, 60)
        writes = on.frontend.fanout.statistics().writes
        await trio.sleep(0.5)
        receipt = await on.publish(2)
        assert await client.events(2) == [2, 3]
        assert await received(client) == (str(receipt.cursor), (1, 2, 2))
        assert on.frontend.fanout.statistics().writes - writes <= 2


async def test_json_lines_get_counts_and_polls_do_not(autojump_clock: MockClock) -> None:
    async with stage(settings(frontend=TELLING)) as on:
        lines = on.connect()
        await lines.get("/v1/videos/v/events", "Accept: application/x-ndjson")
        await lines.head()
        ready = msgspec.json.decode(await lines.chunk())
        data = {"video": "v", "here": 1, "datacenter": 1, "total": 1}
        expected = {"cursor": ready["cursor"], "event": "viewers", "data": data}
        assert msgspec.json.decode(await lines.chunk()) == expected
        poll = on.connect()
        await poll.get(f"/v1/videos/v/poll?cursor={ready['cursor']}&wait=20")
        data |= {"here": 2, "datacenter": 2, "total": 2}
        assert msgspec.json.decode(await lines.chunk())["data"] == data
        assert (await poll.json())["events"] == []


async def test_a_long_poll_viewer_is_counted_between_two_polls(autojump_clock: MockClock) -> None:
    async with stage(settings(frontend=TELLING)) as on:
        client, ready = await on.ready()
        await received(client)
        poll = on.connect()
        cursor = ready["cursor"]
        for number in range(1, 5):
            await poll.get(f"/v1/videos/v/poll?cursor={cursor}&wait=20")
            if number == 1:
                assert (await received(client))[1] == (2, 2, 2)
            await on.publish()
            cursor = (await poll.json())["cursor"]
            assert await client.events(1) == [number]
            await trio.sleep(1.5)
        assert (await received(client))[1] == (1, 1, 1)  # some seconds after the last one


async def test_a_lagging_viewer_gets_no_counts(autojump_clock: MockClock) -> None:
    """It gets each event once and in order, and no count that was announced while it lagged."""
    async with stage(settings(frontend=TELLING | {"slow_timeout": "1h"})) as on:
        slow, _ = await on.ready(receive_buffer=4096, send_buffer=4096)
        quick, _ = await on.ready()
        await on.publish(40, padding=1000)
        assert (await sent_among(quick, 40))[0] == list(range(1, 41))
        assert len(on.channel().audience.lagging) == 1
        others = [(await on.ready())[0] for _ in range(3)]
        await trio.sleep(5)
        for other in others:
            other.sock.close()
        await trio.sleep(5)
        numbers, totals = await sent_among(slow, 40)
        assert numbers == list(range(1, 41))
        assert 5 not in totals
        await trio.sleep(1)
        assert not on.channel().audience.lagging
        quick.sock.close()
        assert (await received(slow))[1] == (1, 1, 1)


async def test_a_full_socket_does_not_lag_for_a_number(autojump_clock: MockClock) -> None:
    async with stage(settings(frontend=TELLING | {"heartbeat": "1h"})) as on:
        client, _ = await on.ready()
        await received(client)
        (seated,) = on.channel().audience.viewers()
        send = seated.send

        def refuse(data: ReadableBuffer, flags: int = 0) -> int:
            raise BlockingIOError

        seated.set_send(refuse)
        await on.bus.subscribe("n2", {"v": 1}, 60)
        await trio.sleep(5)
        assert not on.channel().audience.lagging
        seated.set_send(send)
        await on.bus.subscribe("n2", {"v": 2}, 60)
        assert (await received(client))[1] == (1, 3, 3)


async def test_a_viewer_of_a_video_without_viewers_is_counted_at_once(autojump_clock: MockClock) -> None:
    async with stage(settings(frontend=TELLING | {"linger": "30s"})) as on:
        first, _ = await on.ready()
        await received(first)
        first.sock.close()
        await trio.sleep(3)  # there are no viewers, which would have been the last report
        second, ready = await on.ready()
        assert await received(second) == (ready["cursor"], (1, 1, 1))
