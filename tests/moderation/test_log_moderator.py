"""Moderation at a dispatcher, with a publisher's key: the server API in one place."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from liveserver import state
from liveserver.bus.interface import Head, Slice
from liveserver.config import Settings
from liveserver.cursor import Cursor
from liveserver.errors import BusError, NotFound, Unavailable
from liveserver.event import Batch
from liveserver.moderation import acts
from liveserver.moderation.log_moderator import LogModerator
from liveserver.moderation.rules import Pinned
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
async def test_requests_without_the_scope_change_nothing(key: str | None, status: int) -> None:
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


class Log:
    """A log of one comment a line, read in pieces of three, and a state."""

    def __init__(self, *lines: bytes, state: tuple[bytes, ...] = (), fails: bool = False) -> None:
        self.lines, self.states, self.fails = lines, list(state), fails
        self.published: list[bytes] = []
        self.moderator = LogModerator(self, self.publish)

    async def publish(self, body: bytes) -> int:
        await trio.lowlevel.checkpoint()
        self.published.append(body)
        return 0

    async def read(self, video: str, after: int, limit: int) -> Slice:
        await trio.lowlevel.checkpoint()
        if self.fails:
            raise BusError("away")
        found = list(self.lines[after : after + min(3, limit)])
        batches = [Batch(video, "e", after + 1, "dc1", "e", after + 1, found)] if found else []
        end = after + len(found)
        return Slice(Head("e", len(self.lines), Cursor()), 1, batches, end if end < len(self.lines) else None)

    async def state(self, video: str) -> list[bytes]:
        await trio.lowlevel.checkpoint()
        if self.fails:
            raise BusError("away")
        return self.states


def said(name: str, text: str = "hi", at: int = 5) -> bytes:
    return (
        b"comment "
        + json.dumps(
            {"id": name, "at": at, "user": "ada", "data": {"text": text}}, separators=(",", ":")
        ).encode()
    )


def taken_back(name: str) -> bytes:
    return b'retract {"id":"r","data":{"id":"%b"}}' % name.encode()


async def test_a_comment_is_found_in_whatever_piece_of_the_log_it_is() -> None:
    log = Log(*(said(f"c{n}", f"text {n}") for n in range(8)))
    for number in (0, 3, 7):
        assert await log.moderator.comment("v", f"c{number}") == Pinned(f"text {number}", f"c{number}", "ada")
    with pytest.raises(NotFound):
        await log.moderator.comment("v", "c")
    with pytest.raises(NotFound):
        await Log().moderator.comment("v", "c0")


async def test_a_comment_that_was_taken_back_is_not_found_but_one_that_came_again_is() -> None:
    with pytest.raises(NotFound):
        await Log(said("c"), said("d"), said("e"), taken_back("c")).moderator.comment("v", "c")
    assert await Log(said("c"), taken_back("d")).moderator.comment("v", "c") == Pinned("hi", "c", "ada")
    assert (
        await Log(said("c"), taken_back("c"), said("c", "anew")).moderator.comment("v", "c")
    ).text == "anew"


async def test_a_cleared_users_comments_are_not_found_unless_they_are_later() -> None:
    clearing = acts.clear("v", "mo", "ada").stamped(5, -1)
    head = state.head("clear", "clear/ada", None, 5, is_cleared=False, is_internal=False)
    line = head + b" " + json.dumps(clearing.publication(), separators=(",", ":")).encode()
    log = Log(said("early", at=5), said("late", at=6), state=(line,))
    with pytest.raises(NotFound):
        await log.moderator.comment("v", "early")
    assert (await log.moderator.comment("v", "late")).comment == "late"


async def test_other_events_of_that_id_and_malformed_lines_are_skipped() -> None:
    log = Log(
        said("c"), b'like {"id":"c","data":1}', b'comment {"id":"c","data":7}', b"retract {}",
        state=(b";nonsense", b";settings;settings;-;1; {\"id\":\"i\",\"data\":{\"likes\":\"closed\"}}"),
    )  # fmt: skip
    assert await log.moderator.comment("v", "c") == Pinned("hi", "c", "ada")
    assert (await log.moderator.refresh("v")).settings.likes == "closed"


async def test_a_log_that_cannot_be_read_is_temporary() -> None:
    log = Log(fails=True)
    for ask in (
        log.moderator.rules("v"),
        log.moderator.comment("v", "c"),
        log.moderator.clear("v", "mo", "ada"),
    ):
        with pytest.raises(Unavailable, match="try again"):
            await ask
    assert log.published == []
