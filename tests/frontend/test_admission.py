"""Admission of viewers over real sockets: tokens, expiry, limits and rates."""

from __future__ import annotations

import msgspec
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from liveserver.client.sse import SSEEvent
from tests.auth.harness import NOW, OTHER, SECRET, Clock, settings, token
from tests.frontend.harness import Client, Stage, stage

TOKENS = {"viewers": "token", "secret": SECRET}


def bearer(text: str) -> str:
    return f"Authorization: Bearer {text}"


async def refusal(on: Stage, path: str, *headers: str) -> tuple[int, str, str]:
    """Status, detail, and the challenge."""
    client = on.connect()
    await client.get(path, *headers)
    body = b""
    head = ""
    while not body:
        head = await client.head()
        client.raw, body = b"", client.raw
    status = int(head.split()[1])
    challenge = [line[18:] for line in head.split("\r\n") if line.startswith("www-authenticate: ")]
    return status, msgspec.json.decode(body)["detail"], "".join(challenge)


async def news(client: Client) -> SSEEvent:
    """The next event that is not about how many there are."""
    while (event := await client.event()).type == "viewers":
        pass
    return event


async def expect_bye(client: Client, reason: str) -> None:
    event = await news(client)
    assert event.type == "bye"
    assert msgspec.json.decode(event.data) == {"reason": reason, "reconnect": True}


@pytest.mark.parametrize("what", ["events", "poll"])
async def test_watching_needs_a_valid_token(what: str, autojump_clock: MockClock) -> None:
    async with stage(settings(auth=TOKENS), clock=Clock()) as on:
        path = f"/v1/videos/v/{what}"
        status, detail, challenge = await refusal(on, path)
        assert (status, challenge) == (401, 'Bearer realm="liveserver"')
        assert "send Authorization: Bearer TOKEN" in detail
        status, _, challenge = await refusal(on, path, bearer(token(OTHER)))
        assert (status, challenge) == (401, 'Bearer realm="liveserver", error="invalid_token"')
        assert (await refusal(on, path, bearer(token(videos=["w", "v1*"]))))[0] == 403
        assert (await refusal(on, path, bearer(token(scope="like"))))[0] == 403
        assert (await refusal(on, f"{path}?token={token()}"))[0] == 403  # it lives for too long
        assert (await refusal(on, path, f"Cookie: liveserver_token={token()}", "Origin: http://x.example"))[
            0
        ] == 401
        assert on.frontend.statistics().viewers == 0


async def test_a_token_is_accepted_in_header_cookie_or_query(autojump_clock: MockClock) -> None:
    async with stage(settings(auth=TOKENS), clock=Clock()) as on:
        short = token(videos=["v"], exp=NOW + 600)
        await on.ready("v", "", bearer(token()))
        await on.ready("v", f"?token={short}")
        await on.ready("v", "", f"Cookie: a=b; liveserver_token={token()}")


async def test_a_stream_ends_with_its_token_and_resumes_with_a_new_one(
    autojump_clock: MockClock,
) -> None:
    clock = Clock()
    async with stage(settings(auth=TOKENS), clock=clock) as on:
        client, ready = await on.ready("v", "", bearer(token(exp=NOW + 60)))
        longer, _ = await on.ready("v", "", bearer(token(exp=NOW + 200)))
        await expect_bye(client, "expired")
        assert 70 <= clock() - NOW < 72  # the leeway is part of it
        assert await client.chunk() == b""
        await on.publish(1)
        assert (await news(longer)).type == "like"
        path = f"?cursor={ready['cursor']}"
        assert (await refusal(on, f"/v1/videos/v/events{path}", bearer(token(exp=NOW + 60))))[0] == 401
        again, _ = await on.ready("v", path, bearer(token()))
        assert (await news(again)).type == "like"


async def test_a_poll_is_answered_when_the_token_ends(autojump_clock: MockClock) -> None:
    clock = Clock()
    async with stage(settings(auth=TOKENS), clock=clock) as on:
        receipt = await on.publish(1)
        client = on.connect()
        path = f"/v1/videos/v/poll?cursor=dc1-{receipt.epoch}-1&wait=60"
        await client.get(path, bearer(token(exp=NOW + 5)))
        assert (await client.json())["events"] == []
        assert 15 <= clock() - NOW < 16


async def test_many_that_expire_at_once_are_let_go_without_holding_up_the_others(
    autojump_clock: MockClock,
) -> None:
    configured = settings(auth=TOKENS, frontend={"segment_size": 2})
    async with stage(configured, clock=Clock()) as on:
        same = bearer(token(exp=NOW + 30))
        clients = [(await on.ready("v", "", same))[0] for _ in range(7)]
        gone, _ = await on.ready("v", "", same)
        gone.sock.close()
        for client in clients:
            await expect_bye(client, "expired")
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert on.frontend.statistics().viewers == 0
        assert on.frontend.statistics().fanout.byes["expired"] == 7


async def test_so_many_at_once_and_no_more(autojump_clock: MockClock) -> None:
    configured = settings(auth=TOKENS, limits={"viewers_per_user": 2})
    async with stage(configured, clock=Clock()) as on:
        mine = bearer(token(sub="ada"))
        first, ready = await on.ready("v", "", mine)
        poller = on.connect()
        await poller.get(f"/v1/videos/v/poll?cursor={ready['cursor']}&wait=10", mine)
        await trio.testing.wait_all_tasks_blocked(0.01)
        third = await on.watch("v", "", mine)
        await expect_bye(third, "overload")
        status, detail, _ = await refusal(on, "/v1/videos/v/poll", mine)
        assert (status, "too many connections of this user" in detail) == (429, True)
        await on.ready("v", "", bearer(token(sub="bob")))
        first.sock.close()
        await poller.json()
        await trio.testing.wait_all_tasks_blocked(0.01)
        await on.ready("v", "", mine)
        await on.ready("v", "", mine)


async def test_so_often_and_no_more(autojump_clock: MockClock) -> None:
    configured = settings(limits={"connects_per_video": 0.5, "burst": "4s"})
    async with stage(configured, clock=Clock()) as on:
        await on.ready("v")
        await on.ready("v")
        await on.ready("w")
        client = on.connect()
        await client.get("/v1/videos/v/events")
        assert (await client.head()).startswith("HTTP/1.1 200")
        bye = await client.event()
        assert bye.type == "bye"
        assert client.parser.retry is not None
        assert 3000 <= client.parser.retry <= 6000
        poller = on.connect()
        await poller.get("/v1/videos/v/poll")
        head = await poller.head()
        assert head.startswith("HTTP/1.1 429")
        assert "retry-after: 2" in head
        await trio.sleep(2)
        await on.ready("v")


async def test_a_node_has_so_many_videos_and_no_more(autojump_clock: MockClock) -> None:
    async with stage(settings(limits={"videos_per_node": 2})) as on:
        await on.ready("v1")
        await on.ready("v2")
        await on.ready("v1")  # one that is watched already is not a new one
        assert (await refusal(on, "/v1/videos/v3/poll"))[0] == 503
        await expect_bye(await on.watch("v3"), "unavailable")
        for client in on.clients[:3]:
            client.sock.close()
        await trio.sleep(30)  # videos without viewers linger for a while
        await on.ready("v3")
        assert set(on.frontend.table.channels) == {"v3"}
