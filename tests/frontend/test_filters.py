"""A viewer that filters by type is sent these events alone, on every transport, and its cursor moves on."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from liveserver.bus.interface import AppendRequest
from tests.frontend.fakes import connect
from tests.frontend.harness import Client, Stage, settings, stage
from tests.frontend.test_retention import SMALL, say

BAD = [
    "",
    ",",
    "like,",
    "Like",
    "a" * 33,
    "gap",
    "like,ready",
    ",".join(f"t{n}" for n in range(17)),
    "t%C3%A9",
]


async def retract(on: Stage, name: str) -> None:
    line = f'retract {{"id":"r{name}","video":"v","type":"retract","data":{{"id":"{name}"}}}}'.encode()
    await on.bus.append([AppendRequest("v", f"r{name}", [line], [None])])


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


async def kinds_until(client: Client, count: int) -> list[str]:
    found: list[str] = []
    while len(found) < count:
        kind = (await client.event()).type
        if kind not in ("ready", "viewers"):
            found.append(kind)
    return found


@pytest.mark.parametrize("query", BAD)
async def test_bad_filters_are_400(query: str, autojump_clock: MockClock) -> None:
    async with stage() as on:
        for path in ("events", "poll"):
            client = on.connect()
            await client.get(f"/v1/videos/v/{path}?types={query}")
            assert " 400 " in await client.head()


async def test_every_transport(autojump_clock: MockClock) -> None:
    async with stage() as on:
        cursor = await say(on, "c")
        stream = await on.watch("v", "?types=comment")
        lines = on.connect()
        await lines.get("/v1/videos/v/events?types=comment", "Accept: application/x-ndjson")
        await lines.head()
        assert b'"ready"' in await lines.chunk()
        socket = await connect(on)
        await socket.say(subscribe={"video": "v", "types": ["comment"]})
        ready: Any = await socket.next()
        assert "ready" in ready
        polls = on.connect()
        await polls.get(f"/v1/videos/v/poll?types=comment&cursor={cursor}")
        await wait_all_tasks_blocked()
        await say(on, "llcslcl")
        assert await kinds_until(stream, 2) == ["comment", "comment"]
        read = b""
        while read.count(b'"event":"comment"') < 2:
            read += await lines.chunk()
        assert b'"event":"like' not in read
        found: list[str] = []
        while len(found) < 2:
            message = await socket.next()
            assert isinstance(message, dict)
            found += kinds(message.get("events", {}).get("events", []))
        assert found == ["comment", "comment"]
        page = await polls.json()
        assert kinds(page["events"]) == ["comment", "comment"]
        assert page["cursor"] == on.channel().log.cursor_at(on.channel().log.tip).decode()


async def test_resuming_state_and_replay(autojump_clock: MockClock) -> None:
    async with stage() as on:
        cursor = await say(on, "c")
        await say(on, "lslcscl")
        resumed, ready = await on.ready("v", f"?types=comment&cursor={cursor}")
        assert (ready["resumed"], ready["gap"]) == (True, False)
        assert await kinds_until(resumed, 2) == ["comment", "comment"]
        replayed, _ = await on.ready("v", "?types=comment&replay=3")
        assert await kinds_until(replayed, 3) == ["comment"] * 3  # no state: its events are filtered as well
        with_sums, _ = await on.ready("v", "?types=likes&replay=1")
        assert await kinds_until(with_sums, 2) == ["state", "likes"]
        poll = on.connect()
        await poll.get("/v1/videos/v/poll?types=comment")
        assert not (await poll.json()).get("state")


async def test_a_poll_passes_pages_that_show_nothing(autojump_clock: MockClock) -> None:
    async with stage() as on:
        cursor = await say(on, "c")
        await say(on, "llllllllllc")
        for transport in ("", "&limit=3"):
            client = on.connect()
            await client.get(f"/v1/videos/v/poll?types=comment&cursor={cursor}{transport}")
            assert kinds((await client.json())["events"]) == ["comment"]


async def test_the_cursor_moves_while_nothing_is_shown(autojump_clock: MockClock) -> None:
    async with stage() as on:
        stream = await on.watch("v", "?types=comment")
        socket = await connect(on)
        await socket.say(subscribe={"video": "v", "types": ["comment"]})
        await socket.next()
        await wait_all_tasks_blocked()
        stream.pending()
        for _ in range(3):
            await say(on, "ll")
            await trio.sleep(4)
        await trio.sleep(20)
        tip = on.channel().log.cursor_at(on.channel().log.tip)
        while b"id: " + tip + b"\n\n" not in stream.raw:
            assert await stream.more()
        assert b"event: like" not in stream.raw
        message: Any = {}
        while message.get("events", {}).get("cursor") != tip.decode():
            message = await socket.next()
        assert message["events"]["events"] == []


async def test_a_retraction_passes(autojump_clock: MockClock) -> None:
    async with stage() as on:
        stream = await on.watch("v", "?types=comment")
        await say(on, "l")
        await retract(on, "1")
        assert await kinds_until(stream, 1) == ["retract"]


async def test_filters_are_bounded_and_shared(autojump_clock: MockClock) -> None:
    async with stage(settings(frontend={"max_filters": 2})) as on:
        first = [await on.watch("v", "?types=like,comment"), await on.watch("v", "?types=comment,like")]
        await on.watch("v", "?types=like")
        refused = on.connect()
        await refused.get("/v1/videos/v/poll?types=comment")
        assert " 429 " in await refused.head()
        assert len(on.channel().audience.totals.filters) == 2
        for client in first:
            client.sock.close()
        await trio.sleep(60)
        poll = on.connect()
        await poll.get("/v1/videos/v/poll?types=comment")
        assert kinds((await poll.json())["events"]) == []
        assert {form.types for form in on.channel().log._frames if form.types} == {
            frozenset({b"like", b"gap", b"skip", b"retract", b"clear"})
        }


async def test_behind_live_and_old_retention(autojump_clock: MockClock) -> None:
    async with stage(settings(history=SMALL)) as on:
        cursor = await say(on, "c")
        behind = await on.watch("v", "?types=comment&behind=3")
        await say(on, "cl")
        for _ in range(10):
            await say(on, "l" * 50)
        await say(on, "c")
        assert await kinds_until(behind, 2) == ["comment", "comment"]
        resumed, ready = await on.ready("v", f"?types=comment&cursor={cursor}")
        assert (ready["resumed"], ready["gap"]) == (True, False)
        assert await kinds_until(resumed, 2) == ["comment", "comment"]
