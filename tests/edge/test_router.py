"""Which requests are hot."""

from __future__ import annotations

import pytest

from liveserver.edge.answer import Answer, Peer
from liveserver.edge.request import Request
from liveserver.edge.router import Router
from liveserver.errors import MethodNotAllowed


async def watch(request: Request, peer: Peer) -> Answer:
    return b"watch"


async def publish(request: Request, peer: Peer) -> Answer:
    return b"publish"


def router() -> Router:
    made = Router()
    made.add("GET", "/v1/videos/{video}/events", watch)
    made.add("POST", "/v1/videos/{video}/events", publish)
    made.add("POST", "/v1/events", publish)
    return made


def request(method: str, path: str) -> Request:
    return Request(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())


def test_a_route_is_its_path_and_its_method() -> None:
    for method, path, handler in [
        ("GET", "/v1/videos/v1/events?x=y", watch),
        ("POST", "/v1/videos/v1/events", publish),
        ("POST", "/v1/events", publish),
    ]:
        assert router().match(request(method, path)) is handler


@pytest.mark.parametrize(
    ("path", "video"), [("v1", "v1"), ("", ""), ("%C3%BC", "ü"), ("a%20b", "a b"), ("-", "-")]
)
def test_the_video_of_the_path_is_passed_unchanged(path: str, video: str) -> None:
    asked = request("GET", f"/v1/videos/{path}/events")
    assert router().match(asked) is watch
    assert asked.video == video


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1/events/",
        "/V1/events",
        "/v1/videos/",
        "/v1/videos/v/poll",
        "/v1/videos/v/events/",
        "/v1/videos/a/b/events",
        "/v1/videos/v",
    ],
)
def test_other_paths_are_not_hot(path: str) -> None:
    assert router().match(request("GET", path)) is None


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "DELETE"])
def test_other_methods_are_answered_with_the_allowed_ones(method: str) -> None:
    with pytest.raises(MethodNotAllowed) as caught:
        router().match(request(method, "/v1/videos/v/events"))
    assert caught.value.headers == (("allow", "GET, HEAD, POST"),)


async def test_the_whole_server_is_asked_for_its_methods() -> None:
    asked = request("OPTIONS", "*")
    handler = router().match(asked)
    assert handler is not None
    answer = await handler(asked, NotImplemented)
    assert isinstance(answer, bytes)
    assert answer.startswith(b"HTTP/1.1 204 ")
    assert b"\r\nallow: DELETE, GET, HEAD, OPTIONS, POST, PUT\r\n" in answer


def test_a_route_has_one_handler() -> None:
    made = router()
    with pytest.raises(AssertionError, match=r"GET /v1/videos/\{video\}/events has a handler"):
        made.add("GET", "/v1/videos/{video}/events", watch)


def test_an_incomplete_router_refuses_no_method() -> None:
    incomplete = router()
    incomplete.is_complete = False
    assert incomplete.match(request("DELETE", "/v1/events")) is None
    incomplete.is_complete = True
    with pytest.raises(MethodNotAllowed):
        incomplete.match(request("DELETE", "/v1/events"))
