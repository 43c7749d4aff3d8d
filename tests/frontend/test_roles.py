"""What moderators are sent and others never: by every transport, from wherever a viewer begins, also behind.

`test_state.py` has the states; here nothing of an internal event may be among the bytes.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.auth.harness import SECRET, Clock, token
from tests.auth.harness import settings as auth_settings
from tests.edge.authority import Authority
from tests.frontend.fakes import SocketClient
from tests.frontend.harness import Client, Stage, stage
from tests.frontend.http2_harness import over_http2
from tests.frontend.test_state import TOKENS

SCOPES = {"watch": 0, "watch comment like": 0, "watch host": 0, "watch moderate": 1, "watch host moderate": 1}
BEGINNINGS = ("cursor=now", "cursor=earliest", "replay=7", "resume")
HIDDEN = b"secret-ban"


async def some(on: Stage, first: int) -> None:
    """Ten events, of which every other one is for moderators."""
    for number in range(first, first + 10):
        if number % 2:
            await on.publish_keyed(f"ban/{number}", '"secret-ban"', at=number, kind="ban")
        else:
            await on.publish_keyed(f"a/{number}", str(number), at=number)


async def read_until(client: Client, wanted: bytes) -> bytes:
    """All that has come when `wanted` is among it, and what comes with it."""
    client.pending()
    while wanted not in client.raw:
        assert await client.more()
    await wait_all_tasks_blocked()
    return client.pending()


@pytest.mark.parametrize("beginning", BEGINNINGS)
@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson"])
@pytest.mark.parametrize("scope", SCOPES)
async def test_streams(scope: str, accept: str, beginning: str, autojump_clock: MockClock) -> None:
    async with stage(auth_settings(auth=TOKENS), clock=Clock()) as on:
        await some(on, 0)
        cursor = str((await on.bus.read("v", 0, 1)).head.cursor).replace("-10", "-4")
        headers = [f"Authorization: Bearer {token(scope=scope)}", f"Accept: {accept}"]
        query = "" if beginning == "resume" else f"?{beginning}"
        for version in ("1.1", "1.0"):
            resume = [f"Last-Event-ID: {cursor}"] if beginning == "resume" else []
            client = on.connect()
            await client.get(f"/v1/videos/v/events{query}", *headers, *resume, version=version)
            await client.head()
            await wait_all_tasks_blocked()
            await some(on, 10)
            assert (HIDDEN in await read_until(client, b'"key":"a/18"')) == bool(SCOPES[scope])
            client.sock.close()


@pytest.mark.parametrize("scope", SCOPES)
async def test_polls(scope: str, autojump_clock: MockClock) -> None:
    """One that waits is answered by what it may see."""
    async with stage(auth_settings(auth=TOKENS), clock=Clock()) as on:
        await some(on, 0)
        bearer = f"Authorization: Bearer {token(scope=scope)}"
        for query in ("", "?cursor=earliest", "?replay=7", "?cursor=earliest&limit=3"):
            client = on.connect()
            await client.get(f"/v1/videos/v/poll{query}", bearer)
            assert (HIDDEN in await client.body()) == bool(SCOPES[scope])
        client = on.connect()
        await client.get("/v1/videos/v/poll", bearer)
        cursor = (await client.json())["cursor"]
        await client.get(f"/v1/videos/v/poll?cursor={cursor}&wait=30", bearer)
        await wait_all_tasks_blocked()
        await on.publish_keyed("ban/x", '"secret-ban"', at=20, kind="ban")
        await wait_all_tasks_blocked()
        assert bool(client.pending()) == bool(SCOPES[scope])
        await on.publish_keyed("a/20", "1", at=21)
        assert (HIDDEN in await client.body()) == bool(SCOPES[scope])


@pytest.mark.parametrize("scope", SCOPES)
async def test_websockets(scope: str, autojump_clock: MockClock) -> None:
    async with stage(auth_settings(auth=TOKENS), clock=Clock()) as on:
        await some(on, 0)
        client = SocketClient(on.connect())
        await client.upgrade((b"authorization", f"Bearer {token(scope=scope)}".encode()))
        await client.event()
        await client.watch("w")
        await client.watch()
        await wait_all_tasks_blocked()
        await some(on, 10)
        await on.publish_keyed("ban/w", '"secret-ban"', at=1, kind="ban", video="w")
        await on.publish_keyed("a/w", "1", at=2, video="w")
        found: list[Any] = []
        while not {"a/18", "a/w"} <= {event.get("key") for event in found}:
            kind, message = await client.message()
            found += message.get("events", []) if kind in ("events", "state") else []
        assert any(event.get("key", "").startswith("ban/") for event in found) == bool(SCOPES[scope])


@pytest.mark.parametrize("scope", ["watch", "watch moderate"])
async def test_viewers_that_fell_behind(scope: str, autojump_clock: MockClock) -> None:
    """They are caught up by themselves, from the log."""
    async with stage(auth_settings(auth=TOKENS), clock=Clock()) as on:
        bearer = f"Authorization: Bearer {token(scope=scope)}"
        client = await on.watch("v", "", bearer, receive_buffer=4096, send_buffer=4096)
        await wait_all_tasks_blocked()
        for _ in range(30):
            await on.publish(1, padding=10_000)
            await wait_all_tasks_blocked()
        assert on.channel().audience.lagging
        await some(on, 10)
        assert (HIDDEN in await read_until(client, b'"key":"a/18"')) == (scope != "watch")
        await some(on, 20)
        assert (HIDDEN in (await read_until(client, b'"key":"a/28"')).partition(b"a/18")[2]) == (
            scope != "watch"
        )


async def test_streams_of_one_http2_connection_each_have_their_own_role(tmp_path: Path) -> None:
    def shown(scope: str) -> dict[str, str]:
        return {"authorization": f"Bearer {token(SECRET, scope=scope, exp=time.time() + 600)}"}

    async with over_http2(Authority(tmp_path), auth=TOKENS) as both:
        async with (
            both.watch(headers=shown("watch")) as public,
            both.watch(headers=shown("watch moderate")) as internal,
        ):
            for stream in (public, internal):
                assert (await stream.event()).type == "ready"
            await some(both.on, 0)
            for stream, keys in (
                (public, [f"a/{n}" for n in range(0, 10, 2)]),
                (internal, [f"{'ban' if n % 2 else 'a'}/{n}" for n in range(10)]),
            ):
                with trio.fail_after(30):
                    events = [msgspec.json.decode((await stream.event()).data) for _ in keys]
                assert [event["key"] for event in events] == keys
        for scope, is_internal in SCOPES.items():
            page = await both.client.get(
                "/v1/videos/v/poll", params={"cursor": "earliest"}, headers=shown(scope)
            )
            assert (HIDDEN in page.content) == bool(is_internal)
