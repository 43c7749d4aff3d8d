"""Likes and comments at the hot routes: what is stored, answered and refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.backend.node_harness import (
    COMMENTS,
    KEY,
    LIKES,
    SITE,
    SUMMARY,
    serving,
)
from tests.conftest import Until


async def test_a_like_is_stored_and_seen(until: Until) -> None:
    async with serving() as on:
        answer = await on.post(LIKES, {"user": "u1", "reaction": "heart"})
        assert (answer.status_code, answer.headers["content-type"]) == (201, "application/json")
        assert answer.headers["cache-control"] == "no-store"
        first = answer.json()
        assert first["total"] == 1
        assert (await on.post(LIKES, {"reaction": "wow"})).json()["total"] == 2
        assert (await on.post(LIKES, {})).json()["total"] == 3

        async def all_seen() -> bool:
            return len(await on.events()) == 3

        await until(all_seen)
        events = await on.events()
        assert events[0].pop("at")
        assert events[0] == {
            "id": first["id"],
            "video": "v",
            "type": "like",
            "user": "u1",
            "data": {"reaction": "heart"},
        }
        assert "user" not in events[1]

        async def total_seen() -> bool:
            sums = await on.events(sums=True)
            return bool(sums) and sums[-1]["version"] == 3

        await until(total_seen)
        newest = (await on.events(sums=True))[-1]
        assert newest["key"].startswith("likes/")
        assert newest["data"]["total"] == {"heart": 2, "wow": 1}
        assert await on.get(SUMMARY) == {"likes": 3, "reactions": {"heart": 2, "wow": 1}, "comments": []}
        assert await on.get("/v1/videos/other/summary") == {"likes": 0, "reactions": {}, "comments": []}
        status = (await on.client.get(on.ops + "/v1/status")).json()
        assert status["backend"]["write"]["stored"] == 3
        ready = (await on.client.get(on.ops + "/readyz")).json()
        assert ready["checks"]["database"] == {"ok": True}


async def test_the_same_key_answers_the_same(until: Until) -> None:
    async with serving() as on:
        answers = [await on.post(LIKES, {}, idempotency_key="k 1") for _ in range(3)]
        assert {(answer.status_code, answer.content) for answer in answers} == {(201, answers[0].content)}
        comment = await on.post(COMMENTS, {"text": "hi"}, idempotency_key="k 1")
        assert comment.status_code == 201
        assert comment.json()["id"] != answers[0].json()["id"]
        assert (await on.post("/v1/videos/w/likes", {}, idempotency_key="k 1")).json()["total"] == 1
        assert (await on.get(SUMMARY))["likes"] == 1


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        (LIKES, [], {}, 400),
        (LIKES, {"reaction": "♥"}, {}, 400),
        (LIKES, {"reaction": "heart\n"}, {}, 400),
        (LIKES, {"reaction": ""}, {}, 400),
        (LIKES, {"reaction": "constructor"}, {}, 400),
        (LIKES, {"reaction": "__proto__"}, {}, 400),
        (LIKES, {"reaction": "Heart"}, {}, 400),
        (LIKES, {"reaction": "sad"}, {}, 400),
        (LIKES, {"reaction": None, "user": 3}, {}, 400),
        (LIKES, {"user": "u" * 129}, {}, 400),
        (LIKES, {"user": "\0"}, {}, 400),
        (LIKES, {"likes": 1_000_000}, {}, 400),
        (LIKES, {}, {"content-type": "text/plain"}, 415),
        (LIKES, {}, {"idempotency-key": "k" * 256}, 400),
        (LIKES, {}, {"idempotency-key": ""}, 400),
        ("/v1/videos/-v/likes", {}, {}, 400),
        ("/v1/videos/v%0a/likes", {}, {}, 400),
        (COMMENTS, {}, {}, 400),
        (COMMENTS, {"text": " \n"}, {}, 400),
        (COMMENTS, {"text": "x" * 501}, {}, 400),
        (COMMENTS, {"text": "a\0b"}, {}, 400),
        (COMMENTS, {"text": "x" * 20_000}, {}, 413),
    ],
)
async def test_invalid_requests_are_refused_with_the_reason(
    path: str, body: Any, headers: dict[str, str], status: int
) -> None:
    async with serving() as on:
        answer = await on.client.post(on.url + path, json=body, headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert answer.json()["detail"]
        assert await on.get(SUMMARY) == {"likes": 0, "reactions": {}, "comments": []}


async def test_comments_are_read_in_pages(until: Until) -> None:
    async with serving() as on:
        made = [(await on.post(COMMENTS, {"text": str(number)})).json()["id"] for number in range(5)]

        async def is_received() -> bool:
            return (await on.get(COMMENTS))["complete"] is True

        await until(is_received)
        whole = await on.get(COMMENTS)
        assert [each["id"] for each in whole["comments"]] == made[::-1]
        assert whole["next"] is None
        first = await on.get(COMMENTS + "?limit=2")
        assert ([each["id"] for each in first["comments"]], first["next"]) == ([made[4], made[3]], made[3])
        rest = await on.get(f"{COMMENTS}?limit=200&before={first['next']}")
        assert ([each["id"] for each in rest["comments"]], rest["next"]) == (made[2::-1], None)
        await on.client.delete(f"{on.url}{COMMENTS}/{made[3]}")
        rest = await on.get(f"{COMMENTS}?before={first['next']}")
        assert [each["id"] for each in rest["comments"]] == made[2::-1], "also before one that is gone"
        for wrong, status in (
            ("?limit=0", 400),
            ("?limit=201", 400),
            ("?limit=x", 400),
            ("?limit=%D9%A3", 400),
            ("?before=nothing", 404),
            ("?before=%00", 400),
            ("?after=x", 400),
        ):
            assert (await on.client.get(on.url + COMMENTS + wrong)).status_code == status, wrong


async def test_reactions_are_those_of_the_settings() -> None:
    async with serving('backend.reactions=["clap","heart"]') as on:
        assert (await on.post(LIKES, {"reaction": "clap"})).status_code == 201
        assert (await on.post(LIKES, {})).status_code == 201
        refused = await on.post(LIKES, {"reaction": "wow"})
        assert (refused.status_code, refused.json()["detail"]) == (
            400,
            "the permitted reactions are clap, heart",
        )
        assert (await on.get(SUMMARY))["reactions"] == {"clap": 2}


async def test_an_idempotency_key_answers_only_its_user() -> None:
    async with serving() as on:
        first = await on.post(COMMENTS, {"user": "ada", "text": "mine"}, idempotency_key="1")
        second = await on.post(COMMENTS, {"user": "bob", "text": "mine too"}, idempotency_key="1")
        assert first.json()["id"] != second.json()["id"]
        assert {each["text"] for each in (await on.get(SUMMARY))["comments"]} == {"mine", "mine too"}


async def test_a_publisher_reads_the_summaries_of_its_own_videos() -> None:
    async with serving(SITE, "auth.viewers=token", f"auth.secret={'v' * 40}") as on:
        shown = {"authorization": f"Bearer {KEY}"}
        own = await on.client.get(f"{on.url}/v1/videos/concert-1/summary", headers=shown)
        assert own.status_code == 200
        for video in ("v", "concert", "other-concert-1"):
            other = await on.client.get(f"{on.url}/v1/videos/{video}/summary", headers=shown)
            assert other.status_code == 403, video
        assert (await on.client.get(f"{on.url}/v1/videos/concert-1/summary")).status_code == 401


async def test_other_methods_are_named() -> None:
    async with serving() as on:
        answer = await on.client.put(on.url + LIKES)
        assert (answer.status_code, "POST" in answer.headers["allow"]) == (405, True)
