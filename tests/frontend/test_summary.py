"""A frontend's summary is that of its channel, and follows it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import trio
from msgspec import json, to_builtins

from liveserver import config, node
from liveserver.frontend.history.items import Item
from liveserver.frontend.summary import parse_comments
from tests.conftest import Until

SUMMARY = "/v1/videos/v/summary"


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    settings = ["listen.public=127.0.0.1:0", "listen.ops=127.0.0.1:0", 'node.roles=["dispatcher","frontend"]']
    effective = config.load(None, [*settings, "bus.kind=memory"], {})
    async with trio.open_nursery() as nursery, httpx.AsyncClient(trust_env=False, timeout=60) as client:
        running = await nursery.start(node.serve, effective)
        yield client, f"http://{running.addresses.public}"
        nursery.cancel_scope.cancel()


def totals(store: str, **total: int) -> dict[str, Any]:
    version = sum(total.values())
    return {
        "id": f"{store}-{version}", "type": "likes", "key": f"likes/{store}", "version": version,
        "data": {"added": {}, "total": total, "users": []},
    }  # fmt: skip


async def test_totals_of_all_stores_and_the_newest_comments(until: Until) -> None:
    async with serving() as (client, url):

        async def publish(*events: dict[str, Any], path: str = "/v1/videos/v/events") -> None:
            assert (await client.post(url + path, json=list(events))).status_code == 202

        async def summary() -> dict[str, Any]:
            answer = await client.get(url + SUMMARY)
            assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
            return dict(answer.json())

        assert await summary() == {"likes": 0, "reactions": {}, "comments": []}
        comments = [{"id": f"c{n}", "type": "comment", "data": {"text": str(n)}} for n in range(60)]
        await publish(*comments, {"type": "comment", "data": "of another shape"})
        await publish(totals("a", heart=5, fire=7), totals("b", heart=9), totals("a", heart=1))
        await publish({"type": "other", "key": "likes/c", "data": {"total": "none"}})

        async def seen() -> bool:
            return len((await summary())["comments"]) == 50 and (await summary())["likes"] == 21

        await until(seen)
        found = await summary()
        assert list(found["reactions"].items()) == [("heart", 14), ("fire", 7)]
        assert [each["text"] for each in found["comments"]][::49] == [
            max(map(str, range(60)), key=lambda text: f"c{text}"),
            found["comments"][-1]["text"],
        ]
        gone = found["comments"][0]["id"]
        retraction = {"type": "retract", "video": "v", "data": {"id": gone}}
        await publish(retraction, path="/v1/retractions")
        await publish(totals("b", heart=10))

        async def redacted() -> bool:
            now = await summary()
            return now["likes"] == 22 and gone not in [each["id"] for each in now["comments"]]

        await until(redacted)
        assert (await client.get(url + SUMMARY + "?other=1")).status_code == 400


async def test_pages_of_the_comments_in_the_log(until: Until) -> None:
    path = "/v1/videos/v/comments"
    async with serving() as (client, url):

        async def page(query: str = "") -> dict[str, Any]:
            answer = await client.get(url + path + query)
            assert answer.status_code == 200
            return dict(answer.json())

        assert await page() == {"comments": [], "next": None, "complete": False}
        events = [{"id": f"c{n}", "type": "comment", "data": {"text": 'says "id":"c1"'}} for n in range(5)]
        events[2:2] = [{"id": "w", "type": "wave"}, {"id": "x", "type": "comment", "data": "other"}]
        assert (await client.post(url + "/v1/videos/v/events", json=events)).status_code == 202

        async def seen() -> bool:
            return len((await page())["comments"]) == 5

        await until(seen)
        pages = [await page("?limit=2"), await page("?limit=2&before=c3"), await page("?limit=2&before=c1")]
        assert [[each["id"] for each in one["comments"]] for one in pages] == [
            ["c4", "c3"],
            ["c2", "c1"],
            ["c0"],
        ]
        assert [one["next"] for one in pages] == ["c3", "c1", None]
        for query, status in (("?before=w", 404), ("?limit=0", 400), ("?status=waiting", 400), ("?a=b", 400)):
            assert (await client.get(url + path + query)).status_code == status


def test_a_comments_role_is_shown_where_it_has_one() -> None:
    event = {"id": "c", "at": 5, "data": {"text": "hi"}}
    events = (event, event | {"user": "mo", "role": "moderator"})
    found = parse_comments(Item(b"comment", json.encode(each), b"", "dc1", "e", 1) for each in events)
    assert [to_builtins(each) for each in found] == [
        {"id": "c", "text": "hi", "at": 5},
        {"id": "c", "text": "hi", "at": 5, "user": "mo", "role": "moderator"},
    ]
