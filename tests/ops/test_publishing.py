"""Test events from the dashboard: at a dispatcher, with the publisher's key, from its own page alone."""

from __future__ import annotations

import json

import httpx
import pytest

from liveserver.errors import BadRequest, Conflict, Problem, Unavailable
from liveserver.ops.app import ops_app
from liveserver.ops.publishing import EventPublisher

ACCEPTED = {"accepted": 1, "duplicates": 0, "cursor": "dc1-a-1"}


class Dispatchers:
    """The first does not answer; the second needs a key."""

    def __init__(self) -> None:
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if request.url.host == "gone.test":
            raise httpx.ConnectError("refused")
        if request.headers.get("authorization") != "Bearer secret":
            return httpx.Response(401, json={"title": "Unauthorized", "detail": "this needs a key"})
        return httpx.Response(202, json=ACCEPTED)


def publisher(dispatchers: Dispatchers, *urls: str) -> EventPublisher:
    return EventPublisher(
        urls or ("http://gone.test", "http://di.test/"), transport=httpx.MockTransport(dispatchers)
    )


async def test_an_event_is_published_with_an_id_to_trace_it_by() -> None:
    dispatchers = Dispatchers()
    answer = await publisher(dispatchers).publish("v", b'{"type":"like"}', "secret")
    sent = json.loads(dispatchers.asked[-1].content)
    assert answer == {"id": sent["id"], **ACCEPTED}
    assert sent["type"] == "like"
    assert str(dispatchers.asked[-1].url) == "http://di.test/v1/videos/v/events"


@pytest.mark.parametrize("key", [None, "wrong"])
async def test_the_dispatchers_refusal_is_the_answer(key: str | None) -> None:
    with pytest.raises(Problem, match="needs a key") as caught:
        await publisher(Dispatchers()).publish("v", b'{"type":"like"}', key)
    assert (caught.value.status, caught.value.title) == (401, "Unauthorized")


async def test_what_cannot_be_published_says_why() -> None:
    for body in (b"", b"[]", b"{", b'"\xff"', b"[" * 60_000, b'{"a":' * 12_000):
        with pytest.raises(BadRequest):
            await publisher(Dispatchers()).publish("v", body, None)
    with pytest.raises(BadRequest, match="ASCII"):
        await publisher(Dispatchers()).publish("v", b"{}", "\u00e9")
    with pytest.raises(Conflict):
        await EventPublisher([]).publish("v", b"{}", None)
    with pytest.raises(Unavailable):
        await publisher(Dispatchers(), "http://gone.test").publish("v", b"{}", None)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 202),
        ({"origin": "http://localhost", "sec-fetch-site": "same-origin"}, 202),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
    ],
)
async def test_pages_from_elsewhere_may_not_publish(headers: dict[str, str], status: int) -> None:
    dispatchers = Dispatchers()
    app = ops_app({}, {}, dict, publisher=publisher(dispatchers))
    given = {"content-type": "application/json", "liveserver-key": "secret", **headers}
    answer = await app.test_client().post("/v1/videos/v/events", headers=given, data='{"type":"like"}')
    assert answer.status_code == status
    assert bool(dispatchers.asked) == (status == 202)
