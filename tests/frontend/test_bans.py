"""Bans at a frontend: on each transport, streams end and new ones are refused."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from trio.testing import MockClock
from wsproto.events import AcceptConnection

from liveserver.bus.interface import AppendRequest
from tests.auth.harness import NOW, SECRET, Clock, settings, token
from tests.frontend.fakes import SocketClient
from tests.frontend.harness import Client, Stage, stage

ADA, BOB = (f"Authorization: Bearer {token(sub=user)}" for user in ("ada", "bob"))


@asynccontextmanager
async def locked(**sections: dict[str, Any]) -> AsyncIterator[Stage]:
    configured = settings(auth={"viewers": "token", "secret": SECRET}, **sections)
    async with stage(configured, clock=Clock()) as on:
        on.frontend._clock = lambda: NOW
        yield on


async def ban(
    on: Stage, user: str = "ada", video: str = "v", *, at: int = 1, until: int | None = None
) -> None:
    data = json.dumps({"user": user, "until": until})
    await on.publish_keyed(f"ban/{user}", data, at=1, kind="ban", video=video)


async def removed(client: Client) -> None:
    """Assert that the stream ends with `bye`."""
    while (event := await client.event()).type != "bye":
        assert event.type in ("like", "viewers", "gap", "state")
    bye = json.loads(event.data)
    assert (bye["reason"], bye["reconnect"]) == ("removed", False)


async def refused(on: Stage, path: str, *headers: str) -> None:
    client = on.connect()
    await client.get(path, *headers)
    assert " 403 " in (head := await client.head()).partition("\r\n")[0], head


@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson"])
async def test_a_live_ban_ends_only_the_users_streams(accept: str, autojump_clock: MockClock) -> None:
    async with locked() as on:
        kind = f"Accept: {accept}"
        ada, other = [await on.watch("v", "", ADA, kind) for _ in range(2)]
        bob, elsewhere = await on.watch("v", "", BOB, kind), await on.watch("w", "", ADA, kind)
        await ban(on)
        for client in (ada, other):
            data = b""
            while b"removed" not in data:
                chunk = await client.chunk()
                assert chunk
                data += chunk
            assert b'"reconnect":false' in data
        await on.publish()
        await on.publish(video="w")
        for client in (bob, elsewhere):
            while b'"n":' not in (chunk := await client.chunk()):
                assert chunk
        for path in ("events", "poll", "poll?cursor=earliest", "events?replay=1"):
            await refused(on, f"/v1/videos/v/{path}", ADA)
        assert (await on.ready("v", "", BOB))[1]["video"] == "v"


async def test_lifted_and_expired_bans_have_no_effect(autojump_clock: MockClock) -> None:
    async with locked() as on:
        await on.watch("v", "", BOB)
        await ban(on)
        await on.publish_keyed("ban/ada", "null", at=2, kind="ban")
        await ban(on, "bob", until=int(NOW * 1000) - 1)
        await on.ready("v", "", BOB)
        await on.ready("v", "", ADA)


async def test_a_ban_from_before_the_channel_was_opened_holds(autojump_clock: MockClock) -> None:
    async with locked() as on:
        await ban(on)
        await on.publish(3)
        for path in ("events", "poll?cursor=earliest"):
            await refused(on, f"/v1/videos/v/{path}", ADA)


async def test_a_ban_missed_by_the_inbox_ends_streams_when_it_is_read(autojump_clock: MockClock) -> None:
    async with locked() as on:
        ada, _ = await on.ready("v", "", ADA)
        forward, on.bus._forward = on.bus._forward, lambda *_: None  # type: ignore[method-assign]
        await ban(on)
        on.bus._forward = forward  # type: ignore[method-assign]
        await on.publish()
        await removed(ada)


async def test_a_ban_that_only_the_state_has_ends_streams_behind_a_gap(autojump_clock: MockClock) -> None:
    async with locked() as on:
        ada, _ = await on.ready("v", "", ADA)
        line = b';ban;ban/ada;-;1;i {"id":"b","at":1,"key":"ban/ada","data":{"user":"ada"}}'
        await on.bus.merge_states({"v": [line]})
        await on.relay_after_gap(b'like {"n":1}', 7)
        await removed(ada)


async def test_a_ban_of_another_datacenter_ends_streams(autojump_clock: MockClock) -> None:
    async with locked() as on:
        ada, _ = await on.ready("v", "", ADA)
        line = b';ban;ban/ada;-;1;i {"id":"b","at":1,"key":"ban/ada","data":{"user":"ada"}}'
        await on.relay_after_gap(line, 1)
        await removed(ada)


async def test_a_websocket_loses_the_video_and_a_last_one_ends_it(autojump_clock: MockClock) -> None:
    async with locked() as on:
        socket = SocketClient(on.connect())
        await socket.upgrade((b"authorization", ADA.partition(": ")[2].encode()))
        assert isinstance(await socket.event(), AcceptConnection)
        for video in ("v", "w"):
            await socket.watch(video)
        await ban(on)
        error = await socket.error()
        assert (error["video"], error["status"], error["reason"]) == ("v", 403, "banned")
        await socket.say(subscribe={"video": "v"})
        error = await socket.error()
        assert (error["video"], error["status"], error["reason"]) == ("v", 403, "banned")
        await ban(on, video="w")
        kind, bye = await socket.message()
        assert (kind, bye["reason"], bye["reconnect"]) == ("bye", "removed", False)


async def test_a_slow_viewer_is_disconnected_as_well(autojump_clock: MockClock) -> None:
    async with locked() as on:
        ada, _ = await on.ready("v", "", ADA, receive_buffer=2048, send_buffer=2048)
        await on.publish(200, padding=1000)
        await ban(on)
        while on.frontend.statistics().viewers:
            await ada.more()


async def test_ten_thousand_bans_cost_other_viewers_nothing(autojump_clock: MockClock) -> None:
    async with locked() as on:
        lines = [
            b';ban;ban/u%d;-;1;i {"id":"b%d","at":1,"key":"ban/u%d","data":{"user":"u%d"}}' % ((n,) * 4)
            for n in range(10_000)
        ]
        await on.bus.append([AppendRequest("v", "t", lines, [None] * len(lines), is_keyed=True)])
        bob, _ = await on.ready("v", "", BOB)
        rules = on.channel().log.state.rules
        assert len(rules.bans) == 10_000
        await on.publish()
        assert await bob.events(1) == [1]
        await refused(on, "/v1/videos/v/events", f"Authorization: Bearer {token(sub='u77')}")
