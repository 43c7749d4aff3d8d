"""Comments that wait for a moderator: once, in bounded number, until one has decided."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from liveserver.backend.waiting_comments import WaitingComments
from liveserver.config import ReviewSettings
from liveserver.errors import NotFound
from liveserver.moderation import acts
from liveserver.moderation.acts import Act
from liveserver.moderation.publisher import ActPublisher
from liveserver.moderation.rules import Rules, Waiting
from tests.auth.harness import KEY
from tests.moderation.harness import ADA, BOB, COMMENTS, HOST, MODERATOR, SETTINGS, VIDEO, Node, serving

CLEAR = f"{VIDEO}/users/ada/comments"


REVIEW = {"review": True}


async def waiting(on: Node) -> list[dict[str, Any]]:
    return list((await on.done("GET", f"{COMMENTS}?status=waiting", MODERATOR))["comments"])


async def shown(on: Node) -> list[str]:
    return [event["data"]["text"] for event in await on.events(BOB) if event["type"] == "comment"]


async def test_a_comment_waits_until_it_is_approved_or_rejected() -> None:
    async with serving() as on:
        await on.done("PUT", SETTINGS, MODERATOR, REVIEW)
        held = []
        for text in ("good", "bad"):
            answer = await on.ask("POST", COMMENTS, ADA, {"text": text})
            assert (answer.status_code, answer.json()["waiting"]) == (202, True)
            held.append(answer.json()["id"])
        assert await on.comment(MODERATOR, "mine") == 201
        listed = await waiting(on)
        assert {(each["id"], each["text"], each["user"]) for each in listed} == {
            (held[0], "good", "ada"),
            (held[1], "bad", "ada"),
        }
        for key in (ADA, BOB):
            assert await on.refused("GET", f"{COMMENTS}?status=waiting", key) == (403, "", None)
            assert await on.refused("POST", f"{COMMENTS}/{held[0]}/approve", key) == (403, "", None)
            assert not any("waiting" in str(event) for event in await on.events(key))
            assert list(await on.state(key)) == ["settings"]
        await on.done("POST", f"{COMMENTS}/{held[0]}/approve", MODERATOR)
        await on.done("POST", f"{COMMENTS}/{held[1]}/reject", MODERATOR)
        assert await waiting(on) == []
        assert sorted(await shown(on)) == ["good", "mine"]
        page = (await on.done("GET", COMMENTS, BOB))["comments"]
        assert {each["text"] for each in page} == {"good", "mine"}
        for act in ("approve", "reject"):
            assert await on.refused("POST", f"{COMMENTS}/{held[1]}/{act}", MODERATOR) == (404, "", None)
        await on.done("PUT", SETTINGS, MODERATOR, {"review": False})
        assert await on.comment(ADA, "now") == 201


async def test_a_repeated_request_waits_once_and_a_decided_one_stays_decided() -> None:
    async with serving() as on:
        await on.done("PUT", SETTINGS, MODERATOR, REVIEW)
        answers = [await on.ask("POST", COMMENTS, ADA, {"text": "hi"}, idempotency_key="k") for _ in range(2)]
        assert [answer.status_code for answer in answers] == [202, 202]
        (held,) = await waiting(on)
        await on.done("POST", f"{COMMENTS}/{held['id']}/reject", MODERATOR)
        again = await on.ask("POST", COMMENTS, ADA, {"text": "hi"}, idempotency_key="k")
        assert again.json() == answers[0].json()
        assert await waiting(on) == []


async def test_waiting_comments_are_bounded_and_listed_in_pages() -> None:
    async with serving("review.waiting_comments=3") as on:
        await on.done("PUT", SETTINGS, MODERATOR, REVIEW)
        for number in range(3):
            assert await on.comment(KEY, str(number), user=f"u{number}") == 202
        assert await on.refused("POST", COMMENTS, ADA, {"text": "x"}) == (429, "review", "10")
        page = await on.done("GET", f"{COMMENTS}?status=waiting&limit=2", MODERATOR)
        rest = await on.done("GET", f"{COMMENTS}?status=waiting&before={page['next']}", MODERATOR)
        assert sorted(each["text"] for each in page["comments"] + rest["comments"]) == ["0", "1", "2"]
        assert rest["next"] is None
        assert await on.refused("GET", f"{COMMENTS}?status=gone", MODERATOR) == (400, "", None)


async def test_what_a_cleared_user_has_waiting_is_rejected() -> None:
    async with serving() as on:
        await on.done("PUT", SETTINGS, MODERATOR, REVIEW)
        assert (await on.comment(ADA), await on.comment(BOB, "bob's")) == (202, 202)
        await on.done("DELETE", CLEAR, MODERATOR)
        assert [each["text"] for each in await waiting(on)] == ["bob's"]


class Moderated:
    """A video's rules, and the acts that were published."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.acts: list[Act] = []

    async def rules(self, video: str) -> Rules:
        await trio.lowlevel.checkpoint()
        return self._rules

    refresh = rules

    async def act(self, *several: Act) -> list[Act]:
        await trio.lowlevel.checkpoint()
        self.acts += several
        return list(several)

    async def publish(self, body: bytes) -> int:
        raise AssertionError


async def test_a_comment_that_came_while_its_user_was_cleared_is_not_approved() -> None:
    rules = Rules([acts.clear("v", "mo", "ada").stamped(10, -1).keyed()])
    for name, at in (("late", 10), ("later", 11)):
        rules.fold(acts.wait("v", Waiting(name, "hi", at, "ada")).stamped(20, -1).keyed())
    video = Moderated(rules)
    comments = WaitingComments(video, ActPublisher(video, video.publish), video.act, ReviewSettings(), None)
    with pytest.raises(NotFound):
        await comments.review("v", "mo", "late", "approved")
    assert [(act.type, act.key) for act in video.acts] == [("waiting", "waiting/late")]
    await comments.review("v", "mo", "later", "approved")
    assert [(act.type, act.id) for act in video.acts[1:2]] == [("comment", "later")]


async def test_the_role_of_a_host_is_kept_while_the_comment_waits() -> None:
    async with serving() as on:
        await on.done("PUT", SETTINGS, MODERATOR, REVIEW)
        assert await on.comment(HOST) == 202
        (held,) = await waiting(on)
        await on.done("POST", f"{COMMENTS}/{held['id']}/approve", MODERATOR)
        assert [event["role"] for event in await on.events(BOB) if event["type"] == "comment"] == ["host"]
