"""Likes and comments are stored once, however often they are sent."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from trio.testing import MockClock

from liveserver.client import Commented, Liked, ProtocolError, Refused, comment, like, retract, summary
from liveserver.client.liking import Summary
from tests.client.fakes import Servers, answer, problem


class Keys:
    """A backend that notes the keys and paths of its requests, and answers 503 to the first."""

    def __init__(self, content: bytes) -> None:
        self.seen: list[httpx.Request] = []
        self.client = httpx.AsyncClient(transport=httpx.MockTransport(self.handle))
        self._content = content

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        return httpx.Response(503 if len(self.seen) == 1 else 200, content=self._content)

    @property
    def keys(self) -> list[str | None]:
        return [request.headers.get("idempotency-key") for request in self.seen]


async def test_a_repeated_like_has_the_same_key_and_another_like_another(autojump_clock: MockClock) -> None:
    backend = Keys(b'{"id":"a","total":3}')
    assert await like("http://a", "v", client=backend.client) == Liked("a", 3)
    await like("http://a", "v", client=backend.client)
    first, again, other = backend.keys
    assert first == again != other
    await like("http://a", "v", idempotency_key="mine", client=backend.client)
    assert backend.keys[-1] == "mine"


@pytest.mark.parametrize(
    ("given", "body"),
    [({}, {"reaction": "heart"}), ({"user": "ada", "reaction": "wow"}, {"reaction": "wow", "user": "ada"})],
)
async def test_a_like_says_what_was_given(given: dict[str, Any], body: dict[str, str]) -> None:
    servers = Servers(answer({"id": "a", "total": 1}))
    await like("http://a", "v", client=servers.client, token="t", **given)
    [asked] = servers.asked
    assert (asked.body, asked.authorization) == (body, "Bearer t")
    assert asked.path == "/v1/videos/v/likes"


async def test_names_are_one_segment_of_the_path_each(autojump_clock: MockClock) -> None:
    backend = Keys(b"{}")
    await retract("http://a", "a/b", "c/d?e", client=backend.client)
    assert {request.url.raw_path for request in backend.seen} == {b"/v1/videos/a%2Fb/comments/c%2Fd%3Fe"}
    assert {request.method for request in backend.seen} == {"DELETE"}
    assert backend.keys == [None, None]


async def test_a_comment_is_its_text_and_user() -> None:
    servers = Servers(answer({"id": "c"}), answer({"id": "d"}))
    assert await comment("http://a", "v", "hi", user="ada", client=servers.client) == Commented("c")
    await comment("http://a", "v", "hi", client=servers.client)
    assert [asked.body for asked in servers.asked] == [{"text": "hi", "user": "ada"}, {"text": "hi"}]


async def test_a_summary_is_read() -> None:
    found: dict[str, Any] = {
        "likes": 3,
        "reactions": {"heart": 3},
        "comments": [{"id": "c", "text": "hi"}],
        "more": 1,
    }
    servers = Servers(answer(found))
    assert await summary("http://a", "v", client=servers.client) == Summary(
        3, {"heart": 3}, found["comments"]
    )


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b'{"id":7}', b'{"id":"\xff","total":1}'])
async def test_an_answer_of_another_form_is_no_backends(content: bytes) -> None:
    servers = Servers(lambda _: httpx.Response(200, content=content))
    with pytest.raises(ProtocolError, match="not a likes backend's"):
        await like("http://a", "v", client=servers.client)


async def test_a_refusal_is_raised_with_its_reason() -> None:
    with pytest.raises(Refused, match="the permitted reactions are") as raised:
        await like("http://a", "v", client=Servers(problem(400, "the permitted reactions are heart")).client)
    assert raised.value.status == 400
