"""A viewer that resumes from before the likes that are kept is sent everything else, on every transport."""

from __future__ import annotations

import itertools
import re
from typing import Any

import msgspec
import pytest
from trio.testing import MockClock

from liveserver.bus.interface import AppendRequest
from liveserver.client.sse import SSEEvent
from tests.frontend.fakes import connect
from tests.frontend.harness import Stage, settings, stage

SMALL = {"max_events": 100, "ephemeral_types": ["like", "likes"], "ephemeral_events": 20}
_numbers = itertools.count(1)


async def say(on: Stage, kinds: str) -> str:
    """Publish comments (`c`), likes (`l`) and sums (`s`, keyed); return the cursor."""
    lines = []
    for kind in kinds:
        number = next(_numbers)
        if kind == "s":
            head, rest = f";likes;likes/a;{number};{number};", ',"type":"likes","key":"likes/a"'
        else:
            head = "comment" if kind == "c" else "like"
            rest = f',"type":"{head}"'
        lines.append(f'{head} {{"id":"{number}","video":"v"{rest}}}'.encode())
    request = AppendRequest("v", f"said{next(_numbers)}", lines, [None] * len(lines), is_keyed=True)
    (result,) = await on.bus.append([request])
    return str(result.cursor)


def types(events: list[dict[str, Any]]) -> str:
    return "".join({"comment": "c", "like": "l", "likes": "s"}[event["type"]] for event in events)


async def storm(on: Stage) -> str:
    """Publish 500 likes, and some comments and sums before and among them; return the cursor before them."""
    cursor = await say(on, "c")
    await say(on, "cs")
    for _ in range(10):
        await say(on, "l" * 50)
    await say(on, "c")
    return cursor


async def check_all(on: Stage, cursor: str) -> None:
    """What is missing is only likes: over each transport the same."""
    client, ready = await on.ready("v", f"?cursor={cursor}")
    assert (ready["resumed"], ready["gap"], ready["skipped"]) == (True, False, "ephemeral")
    sent_events = [await client.event()]
    while sum(event.type == "comment" for event in sent_events) < 2:
        sent_events.append(await client.event())
    assert sent_events[0].type == "state"
    events = [event.type for event in sent_events if event.type not in ("state", "viewers")]
    assert events == ["comment", *["like"] * 20, "comment"]

    lines = on.connect()
    await lines.get(f"/v1/videos/v/events?cursor={cursor}", "Accept: application/x-ndjson")
    await lines.head()
    assert msgspec.json.decode((await lines.chunk()).split(b"\n")[0])["data"]["skipped"] == "ephemeral"

    polls = on.connect()
    await polls.get(f"/v1/videos/v/poll?cursor={cursor}")
    page = await polls.json()
    assert (page["gap"], page["skipped"], types(page["state"])) == (False, "ephemeral", "s")
    assert types(page["events"]) == "c" + "l" * 20 + "c"
    await polls.get(f"/v1/videos/v/poll?cursor={cursor}&limit=1")
    first = await polls.json()
    assert types(first["events"]) == "c"
    await polls.get(f"/v1/videos/v/poll?cursor={first['cursor']}")
    second = await polls.json()
    assert (second["gap"], types(second["events"])) == (False, "l" * 20 + "c")

    socket = await connect(on)
    said = await socket.watch(cursor=cursor)
    assert (said["resumed"], said["gap"], said["skipped"]) == (True, False, "ephemeral")
    kind, _ = await socket.message()
    assert kind == "state"


async def test_at_a_node_that_has_followed_the_video(autojump_clock: MockClock) -> None:
    async with stage(settings(history=SMALL)) as on:
        stays, _ = await on.ready()
        cursor = await storm(on)
        await stays.event()
        on.channel().trim()
        assert on.channel().log.base > 400
        await check_all(on, cursor)


async def test_at_a_node_that_is_new_to_the_video(autojump_clock: MockClock) -> None:
    async with stage(settings(history=SMALL)) as on:
        await check_all(on, await storm(on))


async def test_a_node_that_missed_a_storm_reports_no_gap(autojump_clock: MockClock) -> None:
    """It reads the log, which has the comments; the sums that are gone are in the state that follows."""
    async with stage(settings(history=SMALL)) as on:
        stays, _ = await on.ready()
        await say(on, "c")
        assert (await stays.event()).type == "comment"
        on.frontend.receiver.reconnect()  # nothing is received meanwhile
        await storm(on)
        sent_events: list[SSEEvent] = []
        while sum(event.type == "comment" for event in sent_events) < 3 or sent_events[-1].type != "state":
            sent_events.append(await stays.event())
        assert all(event.type != "gap" for event in sent_events)
        assert b"likes/a" in sent_events[-1].data.encode()


async def test_a_viewer_that_saw_the_last_dropped_event_resumes_exactly(autojump_clock: MockClock) -> None:
    async with stage(settings(history=SMALL)) as on:
        stays, _ = await on.ready()
        await say(on, "l" * 50)
        cursor = await say(on, "l" * 30)
        await say(on, "l" * 20)
        on.channel().trim()
        for _ in range(2):
            _, ready = await on.ready("v", f"?cursor={cursor}")
            assert (ready["resumed"], "skipped" in ready) == (True, False)
        assert stays


@pytest.mark.parametrize("is_open", [True, False])
@pytest.mark.parametrize("missing", [0, 1, 2])
async def test_replay_counts_across_what_was_dropped(
    missing: int, is_open: bool, autojump_clock: MockClock
) -> None:
    """Where this node saw the storm, and where it reads the log from the bus."""
    names = {b"comment": "c", b"like": "l", b"likes": "s"}
    async with stage(settings(history=SMALL)) as on:
        if is_open:
            await on.ready("v")
        await storm(on)
        poll = on.connect()
        await poll.get("/v1/videos/v/poll?replay=200")
        every = types((await poll.json())["events"])
        comments = every.replace("l", "").replace("s", "")
        assert comments in ("ccc", "cccc")
        assert 20 <= len(every) < 150
        expected = every[missing:]
        count = len(expected)

        stream, _ = await on.ready("v", f"?replay={count}")
        received = ""
        while len(received) < len(expected):
            received += {"comment": "c", "like": "l", "likes": "s"}.get((await stream.event()).type, "")
        assert received == expected

        lines = on.connect()
        await lines.get(f"/v1/videos/v/events?replay={count}", "Accept: application/x-ndjson")
        await lines.head()
        received = ""
        while len(received) < len(expected):
            found = re.findall(rb'"event":"(likes?|comment)"', await lines.chunk())
            received += "".join(names[name] for name in found)
        assert received == expected

        poll = on.connect()
        await poll.get(f"/v1/videos/v/poll?replay={count}")
        assert types((await poll.json())["events"]) == expected

        socket = await connect(on)
        await socket.say(subscribe={"video": "v", "replay": count})
        received = ""
        while len(received) < len(expected):
            message: Any = await socket.next()
            received += types(message.get("events", {}).get("events", []))
        assert received == expected
