"""Bans, at whole nodes over real sockets: what is refused, which streams end, by which way in."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from liveserver.client import Bye, Event, Ready, watch
from liveserver.client.watching import Transport, Watcher
from tests.auth.harness import KEY
from tests.conftest import Until
from tests.moderation.harness import ADA, BOB, COMMENTS, LIKES, MODERATOR, VIDEO, Node, serving, token

BANS = f"{VIDEO}/bans"
FOREVER: dict[str, Any] = {}


async def test_a_banned_user_neither_likes_nor_comments_nor_watches() -> None:
    async with serving() as on:
        await on.done("PUT", f"{BANS}/ada", MODERATOR, {"reason": "spam"})
        answer = await on.ask("POST", COMMENTS, ADA, {"text": "hi"})
        assert (answer.status_code, answer.json()["reason"]) == (403, "banned")
        assert "spam" in answer.json()["detail"]
        assert await on.refused("POST", LIKES, ADA, {}) == (403, "banned", None)
        assert await on.refused("POST", COMMENTS, KEY, {"text": "hi", "user": "ada"}) == (403, "banned", None)
        for path in ("events", "poll", "poll?cursor=earliest", "events?replay=5"):
            assert await on.refused("GET", f"{VIDEO}/{path}", ADA) == (403, "banned", None)
        assert (await on.comment(BOB), await on.like(BOB)) == (201, 201)
        await on.done("GET", "/v1/videos/w/poll", ADA)
        await on.done("DELETE", f"{BANS}/ada", MODERATOR)
        assert (await on.comment(ADA), await on.like(ADA)) == (201, 201)
        await on.done("GET", f"{VIDEO}/poll", ADA)


async def test_a_ban_holds_until_its_time() -> None:
    async with serving() as on:
        until = int(time.time() * 1000) + 600_000
        await on.done("PUT", f"{BANS}/ada", MODERATOR, {"until": until})
        answer = await on.ask("POST", COMMENTS, ADA, {"text": "hi"})
        assert (answer.status_code, answer.json()["until"]) == (403, until)
        assert 500 < int(answer.headers["retry-after"]) <= 600
        await on.done("PUT", f"{BANS}/ada", MODERATOR, {"until": int(time.time() * 1000) - 1})
        assert await on.comment(ADA) == 201
        await on.done("GET", f"{VIDEO}/poll", ADA)


async def test_all_videos_are_banned_with_a_star(until: Until) -> None:
    async with serving() as on, watching(on, ADA) as items:
        elsewhere = token("mo", "moderate", videos=["v"])
        assert await on.refused("PUT", "/v1/videos/*/bans/ada", elsewhere, {}) == (403, "", None)
        await on.done("PUT", "/v1/videos/*/bans/ada", MODERATOR, FOREVER)
        assert await bye(items) == Bye("removed", False)
        for video in ("v", "w"):
            path = f"/v1/videos/{video}"
            assert await on.refused("POST", f"{path}/comments", ADA, {"text": "x"}) == (403, "banned", None)
            assert await on.refused("GET", f"{path}/poll", ADA) == (403, "banned", None)
        listed = await on.done("GET", "/v1/videos/*/bans", MODERATOR)
        assert [each["user"] for each in listed["bans"]] == ["ada"]
        await on.done("DELETE", "/v1/videos/*/bans/ada", MODERATOR)
        assert await on.comment(ADA) == 201

        async def may_watch() -> bool:
            return (await on.ask("GET", f"{VIDEO}/poll", ADA)).is_success

        await until(may_watch)


async def test_spectators_see_nothing_of_bans_and_moderators_all() -> None:
    async with serving() as on:
        await on.done("PUT", f"{BANS}/ada", MODERATOR, {"reason": "spam"})
        assert await on.events(BOB) == []
        assert await on.state(BOB) == {}
        (event,) = await on.events(MODERATOR)
        assert (event["type"], event["user"], event["by"], event["key"]) == ("ban", "ada", "mo", "ban/ada")
        assert (await on.state(MODERATOR))["ban/ada"]["reason"] == "spam"


@pytest.mark.parametrize("transport", ["sse", "ws"])
async def test_a_ban_ends_streams(transport: Transport) -> None:
    async with (
        serving() as on,
        watching(on, ADA, transport) as ada,
        watching(on, BOB, transport) as bob,
    ):
        await on.done("PUT", f"{BANS}/ada", MODERATOR, FOREVER)
        assert await bye(ada) == Bye("removed", False)
        assert await on.comment(BOB) == 201
        with trio.fail_after(20):
            async for item in bob:
                if isinstance(item, Event) and item.type == "comment":
                    break


@asynccontextmanager
async def watching(on: Node, key: str, transport: Transport = "sse") -> AsyncIterator[Watcher]:
    """A viewer that is level."""
    async with watch(on.url, "v", transport=transport, token=key) as items:
        assert isinstance(await anext(items), Ready)
        yield items


async def bye(items: Watcher) -> Bye:
    with trio.fail_after(30):
        async for item in items:
            if isinstance(item, Bye):
                return item
    raise AssertionError("the stream ended without a bye")


async def test_a_ban_answers_waiting_polls(until: Until) -> None:
    async with serving() as on, trio.open_nursery() as nursery:
        cursor = (await on.done("GET", f"{VIDEO}/poll", ADA))["cursor"]
        answers = []

        async def poll() -> None:
            answers.append(await on.ask("GET", f"{VIDEO}/poll?cursor={cursor}&wait=60", ADA))

        async def is_waiting() -> bool:
            return bool((await on.done("GET", f"{VIDEO}/viewers", BOB))["here"])

        async def is_answered() -> bool:
            return bool(answers)

        nursery.start_soon(poll)
        await until(is_waiting)
        await on.done("PUT", f"{BANS}/ada", MODERATOR, FOREVER)
        await until(is_answered)
        assert answers[0].json()["events"] == []
        assert await on.refused("GET", f"{VIDEO}/poll?cursor={cursor}", ADA) == (403, "banned", None)
