"""The trace of an event at one node."""

from __future__ import annotations

import itertools
import time
from types import SimpleNamespace

import pytest
import trio
from trio.testing import MockClock

from liveserver.bus.interface import AppendRequest
from liveserver.frontend import trace
from tests.frontend.harness import Stage, settings, stage


async def publish(on: Stage, *ids: str, padding: int = 0) -> int:
    """When these were accepted."""
    at = int(time.time() * 1000)
    lines = [
        b'like {"id":"%b","video":"v","type":"like","at":%d,"n":0,"data":"%b"}'
        % (name.encode(), at, b"x" * padding)
        for name in ids
    ]
    await on.bus.append([AppendRequest("v", f"t-{ids[0]}", lines, list(ids))])
    return at


async def test_a_trace_tells_where_an_event_went(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = itertools.count(time.time())
    monkeypatch.setattr(trace, "time", SimpleNamespace(time=lambda: next(ticks)))  # a second between readings
    async with stage() as on:
        clients = [(await on.ready())[0] for _ in range(3)]
        await publish(on, "before")
        await trio.sleep(5)
        at = await publish(on, "e1", "e2")
        for client in clients:
            await client.events(3)
        story = on.frontend.trace("v", "e2")
        assert story is not None
        assert (story.type, story.node, story.accepted.at, story.accepted.datacenter) == (
            "like",
            "n1",
            at,
            "dc1",
        )
        assert (story.logged.epoch, story.logged.number) == (on.channel().epoch, 3)
        assert story.received.at is not None
        assert (story.written.viewers, story.written.visits, story.written.is_complete) == (3, 1, True)
        assert story.written.first_at == story.written.last_at == story.received.at  # at one virtual time
        assert story.not_written == []
        assert (story.now.viewers, story.now.past, story.now.waiting, story.now.lagging) == (3, 3, 0, 0)


async def test_an_event_that_is_not_in_the_log_has_no_trace(autojump_clock: MockClock) -> None:
    async with stage() as on:
        await on.ready()
        await publish(on, "e1")
        await trio.sleep(0.1)
        assert on.frontend.trace("v", "e") is None
        assert on.frontend.trace("v", 'e1","') is None
        assert on.frontend.trace("w", "e1") is None


async def test_viewers_that_lag_or_were_given_up_are_named_with_the_reason(autojump_clock: MockClock) -> None:
    async with stage(settings(frontend={"slow_timeout": "5s"})) as on:
        await on.ready("v", "", send_buffer=4096, receive_buffer=4096)
        quick, _ = await on.ready()
        names = [f"e{number}" for number in range(50)]
        await publish(on, *names, padding=1000)
        await quick.events(50)
        story = on.frontend.trace("v", "e49")
        assert story is not None
        assert [(each.what, each.viewers) for each in story.not_written] == [("late", 1)]
        assert (story.now.viewers, story.now.past) == (2, 2)  # behind it in the log, but with a rest unsent
        await publish(on, "last")
        await quick.events(1)
        story = on.frontend.trace("v", "last")
        assert story is not None
        assert (story.written.viewers, story.now.past, story.now.lagging) == (1, 1, 1)
        await trio.sleep(10)
        story = on.frontend.trace("v", "last")
        assert story is not None
        assert [(each.what, each.viewers) for each in story.not_written] == [("let go", 1)]
        assert story.now.viewers == 1


async def test_an_event_read_from_the_log_has_no_time_of_receipt(autojump_clock: MockClock) -> None:
    async with stage() as on:
        await publish(on, "old")
        client, _ = await on.ready("v", "?cursor=earliest")
        await client.events(1)
        story = on.frontend.trace("v", "old")
        assert story is not None
        assert (story.received.at, story.written.viewers, story.written.is_complete) == (None, 1, False)
