"""A viewer that asks for at most so many comments a second gets the same sample on every transport, and how
many were left out; what it got and what was left out is all there was."""

from __future__ import annotations

import itertools
import random
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from liveserver.bus.interface import AppendRequest
from tests.frontend.fakes import connect
from tests.frontend.harness import Client, Stage, settings, stage
from tests.frontend.test_retention import SMALL

_numbers = itertools.count(1)


async def say(on: Stage, *seconds: float, kind: str = "comment") -> str:
    """Publish one event at each of these times; return the cursor."""
    lines = [
        f'{kind} {{"id":"{next(_numbers)}","video":"v","type":"{kind}","at":{round(second * 1000)}}}'.encode()
        for second in seconds
    ]
    (result,) = await on.bus.append([AppendRequest("v", f"said{next(_numbers)}", lines, [None] * len(lines))])
    return str(result.cursor)


async def end_of(on: Stage) -> str:
    """Publish an event that is written by itself, behind all counts; return its cursor."""
    await trio.sleep(3)
    return await say(on, 1e6, kind="like")


def tip(on: Stage) -> str:
    return on.channel().log.cursor_at(on.channel().log.tip).decode()


class Taken:
    """What a viewer received up to a cursor."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.omitted = 0
        self.notices = 0
        self.cursor = ""

    def take(self, kind: str, data: dict[str, Any], cursor: str) -> None:
        if kind == "omitted":
            assert data["cursor"] == cursor
            self.omitted += data["omitted"]
            self.notices += 1
        elif "id" in data:
            self.ids.append(data["id"])
        self.cursor = cursor or self.cursor

    async def until(self, client: Client, cursor: str) -> None:
        """Read an event stream up to this cursor."""
        while self.cursor != cursor:
            event = await client.event()
            self.take(event.type, msgspec.json.decode(event.data), event.id)


@pytest.mark.parametrize("query", ["", "0", "101", "1.5", "-1", "x", "5%20", "%D9%A5"])
async def test_bad_rates_are_400(query: str, autojump_clock: MockClock) -> None:
    async with stage() as on:
        for path in ("events", "poll"):
            client = on.connect()
            await client.get(f"/v1/videos/v/{path}?rate={query}")
            assert " 400 " in await client.head()
        socket = await connect(on)
        for rate in (0, 101, 1.5, "5"):
            await socket.say(subscribe={"video": "v", "rate": rate})
            refused: Any = await socket.next()
            assert refused["error"]["status"] == 400


async def test_every_transport_has_the_same_sample(autojump_clock: MockClock) -> None:
    async with stage() as on:
        cursor = await say(on, 0)
        stream = await on.watch("v", "?rate=2")
        lines = on.connect()
        await lines.get("/v1/videos/v/events?rate=2", "Accept: application/x-ndjson")
        await lines.head()
        await lines.chunk()
        socket = await connect(on)
        await socket.say(subscribe={"video": "v", "rate": 2})
        await socket.next()
        polls = on.connect()
        await polls.get(f"/v1/videos/v/poll?rate=2&cursor={cursor}")
        await wait_all_tasks_blocked()
        first = next(_numbers) + 1
        await say(on, 7.0, 7.1, 7.2, 7.3, 8.0, 8.1, 8.2)
        page = await polls.json()
        end = await end_of(on)
        sample = [str(first + each) for each in (0, 1, 4, 5)]

        taken = Taken()
        await taken.until(stream, end)
        assert (taken.ids, taken.omitted) == ([*sample, str(first + 8)], 3)
        read = Taken()
        while read.cursor != end:
            for line in filter(None, (await lines.chunk()).splitlines()):
                said = msgspec.json.decode(line)
                read.take(said["event"], said["data"], said["cursor"])
        assert (read.ids, read.omitted) == (taken.ids, 3)
        heard = Taken()
        while heard.cursor != end:
            message: Any = await socket.next()
            ((kind, data),) = message.items()
            for event in data.get("events", ()):
                heard.take("event", event, "")
            if kind in ("events", "omitted"):
                heard.take(kind, {"video": "v"} | data, data["cursor"])
        assert (heard.ids, heard.omitted) == (taken.ids, 3)
        assert ([each["id"] for each in page["events"]], page["omitted"]) == (sample, 3)


async def test_what_comes_and_what_is_left_out_is_all(autojump_clock: MockClock) -> None:
    """Streams that reconnect, polls with small pages, and one behind live, over a random feed."""
    chance = random.Random(11)
    async with stage() as on:
        cursor = await say(on, 0)
        stream, taken, polled, position = await on.watch("v", "?rate=3"), Taken(), Taken(), cursor
        behind, late = await on.watch("v", "?rate=3&behind=2"), Taken()
        polls = on.connect()
        await wait_all_tasks_blocked()
        comments, now = 0, 1.0
        for turn in range(60):
            some = [now + chance.uniform(-0.3, 0.3) for _ in range(chance.randrange(6))]
            comments += len(some)
            await say(on, *some)
            if chance.random() < 0.3:
                await say(on, now, kind="like")
            now += chance.uniform(0, 0.6)
            if turn % 7 == 3:
                await taken.until(stream, await end_of(on))
                stream.sock.close()
                stream, ready = await on.ready("v", f"?rate=3&cursor={taken.cursor}")
                assert ready["resumed"]
            limit = chance.choice(["", "&limit=2"])
            await polls.get(f"/v1/videos/v/poll?rate=3&cursor={position}{limit}&wait=0")
            page = await polls.json()
            for event in page["events"]:
                polled.take("event", event, "")
            polled.omitted += page.get("omitted", 0)
            position = page["cursor"]
        end = await end_of(on)
        while position != end:
            await polls.get(f"/v1/videos/v/poll?rate=3&cursor={position}&limit=1")
            page = await polls.json()
            for event in page["events"]:
                polled.take("event", event, "")
            polled.omitted += page.get("omitted", 0)
            position = page["cursor"]
        await taken.until(stream, end)
        await late.until(behind, end)
        likes = sum(item.event == b"like" for item in on.channel().log.items)
        assert len(taken.ids) + taken.omitted == comments + likes
        assert taken.omitted > 20
        assert (polled.ids, polled.omitted) == (taken.ids, taken.omitted)
        assert late.ids == taken.ids
        assert late.omitted == taken.omitted


async def test_omitted_comments_are_counted_a_few_times_a_second(autojump_clock: MockClock) -> None:
    async with stage() as on:
        stream, taken = await on.watch("v", "?rate=1"), Taken()
        for turn in range(200):
            await say(on, 50 + turn / 100)
            await trio.sleep(0.01)
        await taken.until(stream, await end_of(on))
        assert (len(taken.ids), taken.omitted) == (3, 198)
        assert taken.notices <= 12


async def test_a_waiting_poll_counts_what_passes_it(autojump_clock: MockClock) -> None:
    async with stage() as on:
        await on.watch("v")
        cursor = await say(on, 5)
        polls, full = on.connect(), on.connect()
        await polls.get(f"/v1/videos/v/poll?rate=1&cursor={cursor}&wait=20")
        await full.get(f"/v1/videos/v/poll?rate=1&cursor={cursor}&wait=20&limit=3")
        await wait_all_tasks_blocked()
        for _ in range(2):
            await say(on, 5.1)
            await wait_all_tasks_blocked()
        await say(on, 6)
        page = await polls.json()
        assert (len(page["events"]), page["omitted"], page["cursor"]) == (1, 2, tip(on))
        assert (await full.json())["omitted"] == 2
        await polls.get(f"/v1/videos/v/poll?rate=1&cursor={tip(on)}&wait=2")
        await wait_all_tasks_blocked()
        await say(on, 6.1)
        page = await polls.json()  # at its deadline
        assert (page["events"], page["omitted"], page["cursor"]) == ([], 1, tip(on))


async def test_an_early_answer_has_the_filter(autojump_clock: MockClock) -> None:
    """The client closes its sending side before the next flush."""
    async with stage() as on:
        await on.watch("v")
        cursor = await say(on, 5)
        polls = on.connect()
        await polls.get(f"/v1/videos/v/poll?types=like&rate=1&cursor={cursor}&wait=20")
        await wait_all_tasks_blocked()
        (segment,) = on.channel().audience.poll_segments()
        await say(on, 5.5, 5.6)
        if segment.waiters:
            segment.answer_early(segment.waiters[0])
        assert (await polls.json())["events"] == []


async def test_rates_are_filters_and_bounded(autojump_clock: MockClock) -> None:
    async with stage(settings(frontend={"max_filters": 2})) as on:
        await on.watch("v", "?rate=1")
        await on.watch("v", "?rate=1")
        await on.watch("v", "?rate=1&types=comment")
        refused = on.connect()
        await refused.get("/v1/videos/v/poll?rate=2")
        assert " 429 " in await refused.head()


async def test_retention_and_replay(autojump_clock: MockClock) -> None:
    async with stage(settings(history=SMALL)) as on:
        cursor = await say(on, 1)
        await say(on, 1.1, 1.2, 1.3)
        for _ in range(10):
            await say(on, *[1.5] * 50, kind="like")
        stream, ready = await on.ready("v", f"?rate=1&types=comment&cursor={cursor}")
        assert ready["resumed"]
        taken = Taken()
        while taken.omitted < 3:
            event = await stream.event()
            taken.take(event.type, msgspec.json.decode(event.data), event.id)
        assert taken.ids == []
        replayed, _ = await on.ready("v", "?rate=2&types=comment&replay=2")
        first = Taken()
        while len(first.ids) < 2:
            event = await replayed.event()
            first.take(event.type, msgspec.json.decode(event.data), event.id)
