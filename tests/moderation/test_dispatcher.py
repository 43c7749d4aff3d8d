"""Moderation at a dispatcher, with a publisher's key: the server API in one place."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from liveserver.config import Settings
from tests.auth.harness import KEY
from tests.moderation.harness import ADA, BOB, HOST, MODERATOR, SETTINGS, VIDEO, Node, running, settings

DEFAULTS = {"comments": "open", "slow": 30, "likes": "open", "review": False}


@asynccontextmanager
async def dispatching() -> AsyncIterator[Node]:
    """A node with a dispatcher and a frontend, whose hot routes read settings; no backend."""
    configured: Settings = settings('node.roles=["dispatcher", "frontend"]')
    async with running(configured) as (on,):
        yield on


async def publish(on: Node, kind: str, data: Any, **fields: Any) -> None:
    await on.done("POST", "/v1/events", KEY, {"video": "v", "type": kind, "data": data, **fields})


async def test_settings_change_and_are_read() -> None:
    async with dispatching() as on:
        assert await on.done("GET", SETTINGS, ADA) == DEFAULTS
        slow = DEFAULTS | {"comments": "slow", "slow": 60}
        assert await on.done("PUT", SETTINGS, KEY, {"comments": "slow", "slow": 60}) == slow
        assert await on.done("PUT", SETTINGS, MODERATOR, {"likes": "closed"}) == slow | {"likes": "closed"}
        assert await on.done("GET", SETTINGS, ADA) == slow | {"likes": "closed"}
        assert [event["by"] for event in await on.events() if event["type"] == "settings"] == ["site", "mo"]


@pytest.mark.parametrize(("key", "status"), [(None, 401), (ADA, 403), (HOST, 403)])
async def test_who_may_not_changes_nothing(key: str | None, status: int) -> None:
    async with dispatching() as on:
        for method, path, body in (
            ("PUT", SETTINGS, {"comments": "closed"}),
            ("PUT", f"{VIDEO}/bans/bob", {}),
            ("DELETE", f"{VIDEO}/bans/bob", None),
            ("GET", f"{VIDEO}/bans", None),
            ("PUT", "/v1/videos/*/bans/bob", {}),
            ("DELETE", f"{VIDEO}/users/bob/comments", None),
        ):
            assert (await on.ask(method, path, key, body)).status_code == status, path
        assert await on.events(MODERATOR) == []


async def test_other_methods_of_a_hot_path_are_refused_with_all_that_there_are() -> None:
    async with dispatching() as on:
        answer = await on.ask("DELETE", SETTINGS, KEY)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, PUT")


async def test_bans_hold_for_the_frontend() -> None:
    async with dispatching() as on:
        await on.done("PUT", f"{VIDEO}/bans/ada", KEY, {"reason": "spam"})
        assert await on.refused("GET", f"{VIDEO}/poll", ADA) == (403, "banned", None)
        listed = await on.done("GET", f"{VIDEO}/bans", KEY)
        assert listed["bans"] == [{"user": "ada", "until": None, "reason": "spam"}]
        await on.done("DELETE", f"{VIDEO}/bans/ada", KEY)
        await on.done("GET", f"{VIDEO}/poll", ADA)
        await on.done("PUT", "/v1/videos/*/bans/ada", KEY, {})
        assert (await on.done("GET", "/v1/videos/*/bans", KEY))["bans"][0]["user"] == "ada"


async def test_pins_announcements_and_clearing() -> None:
    async with dispatching() as on:
        for number in range(3):
            await publish(on, "comment", {"text": f"no. {number}"}, id=f"c{number}", user="ada")
        await publish(on, "comment", {"text": "his"}, id="c9", user="bob")
        await on.done("PUT", f"{VIDEO}/pin", KEY, {"comment": "c1"})
        assert (await on.state())["pin"] == {"text": "no. 1", "comment": "c1", "user": "ada"}
        assert (await on.refused("PUT", f"{VIDEO}/pin", KEY, {"comment": "c7"}))[0] == 404
        await on.done("POST", f"{VIDEO}/announcements", KEY, {"text": "soon"})
        assert (await on.events())[-1]["data"] == {"text": "soon"}
        await on.done("DELETE", f"{VIDEO}/users/ada/comments", KEY)
        assert "pin" not in await on.state()
        shown = await on.events(BOB)
        assert [event["id"] for event in shown if event["type"] == "comment"] == ["c9"]
        assert (await on.refused("PUT", f"{VIDEO}/pin", KEY, {"comment": "c2"}))[0] == 404
        retraction = {"video": "v", "type": "retract", "data": {"id": "c9"}}
        await on.done("POST", "/v1/retractions", KEY, retraction)
        assert (await on.refused("PUT", f"{VIDEO}/pin", KEY, {"comment": "c9"}))[0] == 404
        await on.done("PUT", f"{VIDEO}/pin", KEY, {"text": "rules"})
        await on.done("DELETE", f"{VIDEO}/pin", KEY)
        assert "pin" not in await on.state()


async def test_the_document_says_so() -> None:
    async with dispatching() as on:
        paths = json.loads((await on.ask("GET", "/openapi.json", None)).content)["paths"]
        assert {"get", "put"} <= paths["/v1/videos/{video}/settings"].keys()
        assert "/v1/videos/{video}/audit" not in paths
