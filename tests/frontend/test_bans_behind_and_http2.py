"""Bans hold at once for viewers behind live, and for streams and polls over HTTP/2."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock
from wsproto.events import AcceptConnection

from liveserver.auth.grant import Grant
from liveserver.transport.form import Reason
from tests.auth.harness import SECRET
from tests.edge.authority import Authority
from tests.frontend.fakes import SocketClient
from tests.frontend.harness import Client
from tests.frontend.http2_harness import over_http2
from tests.frontend.test_bans import ADA, BOB, ban, locked, refused
from tests.moderation.harness import token as lasting_token

# Behind live


async def shows_removed(client: Client) -> None:
    data = b""
    while b"removed" not in data:
        chunk = await client.chunk()
        assert chunk, data
        data += chunk
    assert b'"reconnect":false' in data
    assert b'"n":' not in data  # what came in the meantime is not its to see any more


@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson"])
@pytest.mark.parametrize("waits", ["nothing", "an event"])
async def test_a_ban_holds_at_once_for_viewers_behind_live(
    accept: str, waits: str, autojump_clock: MockClock
) -> None:
    async with locked() as on:
        ada = await on.watch("v", "?behind=60", ADA, f"Accept: {accept}")
        bob, _ = await on.ready("v", "?behind=60", BOB)
        if waits == "an event":
            await on.publish()
            await trio.sleep(5)
        begun = trio.current_time()
        await ban(on)
        await shows_removed(ada)
        assert trio.current_time() - begun < 1
        for path in ("events?behind=60", "poll?behind=60", "events?behind=60&replay=1"):
            await refused(on, f"/v1/videos/v/{path}", ADA)
        await on.publish()
        assert (await bob.event()).type in ("like", "viewers")


async def test_a_ban_answers_polls_that_wait_behind_live(autojump_clock: MockClock) -> None:
    async with locked() as on:
        _, ready = await on.ready("v", "?behind=30", ADA)
        cursor = ready["cursor"]
        await on.publish()
        waiting = on.connect()
        await waiting.get(f"/v1/videos/v/poll?behind=30&wait=25&cursor={cursor}", ADA)
        await trio.sleep(0.5)
        begun = trio.current_time()
        await ban(on)
        assert " 200 " in (await waiting.head()).partition("\r\n")[0]
        assert trio.current_time() - begun < 1
        assert b'"n":' not in waiting.pending()
        await refused(on, f"/v1/videos/v/poll?behind=30&cursor={cursor}", ADA)


async def test_a_ban_holds_at_once_for_videos_behind_live_of_a_websocket(autojump_clock: MockClock) -> None:
    async with locked() as on:
        socket = SocketClient(on.connect())
        await socket.upgrade((b"authorization", ADA.partition(": ")[2].encode()))
        assert isinstance(await socket.event(), AcceptConnection)
        for video in ("v", "w"):
            await socket.say(subscribe={"video": video, "behind": 60})
            kind, _ = await socket.message()
            assert kind == "ready"
        begun = trio.current_time()
        await ban(on)
        error = await socket.error()
        assert (error["video"], error["status"], error["reason"]) == ("v", 403, "banned")
        await socket.say(subscribe={"video": "v", "behind": 60})
        assert (await socket.error())["reason"] == "banned"
        await ban(on, video="w")
        kind, bye = await socket.message()
        assert (kind, bye["reason"], bye["reconnect"]) == ("bye", "removed", False)
        assert trio.current_time() - begun < 1


async def test_a_user_removed_from_all_videos_is_removed_behind_live(autojump_clock: MockClock) -> None:
    async with locked() as on:
        ada = await on.watch("v", "?behind=60", ADA)
        await on.publish()

        def is_ada(grant: Grant) -> bool:
            return grant.user == "ada"

        await on.frontend.end_where(is_ada, Reason.REMOVED)
        await shows_removed(ada)


# Over HTTP/2


TOKENS = {"auth": {"viewers": "token", "secret": SECRET}}


def bearer(user: str) -> dict[str, str]:
    return {"authorization": f"Bearer {lasting_token(user)}"}


@pytest.mark.parametrize("query", [{}, {"behind": "60"}])
async def test_a_ban_ends_streams_over_http2_and_leaves_the_others_of_the_connection(
    tmp_path: Path, query: dict[str, str]
) -> None:
    with trio.fail_after(60):
        async with (
            over_http2(Authority(tmp_path), **TOKENS) as both,
            both.watch(headers=bearer("ada"), params=query) as ada,
            both.watch(headers=bearer("bob")) as bob,
            both.watch("w", headers=bearer("ada")) as elsewhere,
        ):
            for stream in (ada, bob, elsewhere):
                assert (await stream.event()).type == "ready"
            await ban(both.on)
            while (event := await ada.event()).type != "bye":
                assert event.type == "viewers"
            bye = json.loads(event.data)
            assert (bye["reason"], bye["reconnect"]) == ("removed", False)
            assert await ada.is_over()
            await both.on.publish()
            await both.on.publish(video="w")
            assert await number(bob) + 1 == await number(elsewhere)
            for path in ("events", "poll", "events?behind=60", "poll?cursor=earliest"):
                answer = await both.client.get(f"/v1/videos/v/{path}", headers=bearer("ada"))
                assert (answer.status_code, answer.json()["reason"]) == (403, "banned")
                assert answer.http_version == "HTTP/2"


async def number(stream: Any) -> int:
    """Return the number in the stream's next like."""
    while (event := await stream.event()).type != "like":
        assert event.type == "viewers"
    return int(json.loads(event.data)["n"])


async def test_a_ban_answers_waiting_polls_over_http2(tmp_path: Path) -> None:
    with trio.fail_after(60):
        async with over_http2(Authority(tmp_path), **TOKENS) as both, trio.open_nursery() as nursery:
            cursor = (await both.client.get("/v1/videos/v/poll", headers=bearer("ada"))).json()["cursor"]
            answers: list[Any] = []

            async def ask() -> None:
                query = {"cursor": cursor, "wait": "30"}
                answers.append(
                    await both.client.get("/v1/videos/v/poll", headers=bearer("ada"), params=query)
                )

            nursery.start_soon(ask)
            while not both.on.channel().audience.totals.count:
                await trio.testing.wait_all_tasks_blocked(0.01)
            await ban(both.on)
            while not answers:
                await trio.testing.wait_all_tasks_blocked(0.01)
            assert (answers[0].status_code, answers[0].json()["events"]) == (200, [])
            again = await both.client.get(
                "/v1/videos/v/poll", headers=bearer("ada"), params={"cursor": cursor}
            )
            assert again.json()["reason"] == "banned"


async def test_a_slow_viewer_over_http2_is_disconnected_as_well(tmp_path: Path) -> None:
    with trio.fail_after(60):
        async with (
            over_http2(Authority(tmp_path), **TOKENS) as both,
            both.watch(headers=bearer("ada")) as ada,
        ):
            assert (await ada.event()).type == "ready"
            await both.on.publish(300, padding=5_000)
            await ban(both.on)
            while both.on.frontend.statistics().viewers:
                await anext(ada.chunks)
