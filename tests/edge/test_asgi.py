"""Requests as Hypercorn gives them, in the form in which the edge reads them."""

from __future__ import annotations

from typing import Any

import pytest

from liveserver.edge.asgi import replayed, request_from
from liveserver.errors import BadRequest, HeadersTooLarge


def scope(
    *headers: tuple[bytes, bytes], path: bytes = b"/v1/x", query: bytes = b"", **more: Any
) -> dict[str, Any]:
    return {"method": "GET", "raw_path": path, "query_string": query, "headers": list(headers), **more}


HOST = (b"host", b"test")


def test_method_path_query_and_headers_are_kept() -> None:
    found = request_from(
        scope(HOST, (b"x-own", b"1"), path=b"/v1/a-b", query=b"cursor=now&x=%C3%A9", method="POST"), 10_000
    )
    assert (found.method, found.path) == ("POST", "/v1/a-b")
    assert found.arguments(("cursor", "x")) == {"cursor": "now", "x": "é"}
    assert (found.headers[b"host"], found.headers[b"x-own"]) == (b"test", b"1")


@pytest.mark.parametrize("name", [b"connection", b"transfer-encoding", b"date"])
def test_headers_of_http1_connections_are_left_out(name: bytes) -> None:
    assert name not in request_from(scope(HOST, (name, b"chunked")), 10_000).headers


@pytest.mark.parametrize(
    "given",
    [
        scope(HOST, (b"x", b"a\r\nhost: other")),
        scope(HOST, (b"x", b"a\nb")),
        scope(HOST, (b"x\r\ny", b"a")),
        scope(HOST, (b"x", b"a\0")),
        scope(HOST, path=b"/v1/x y"),
        scope(HOST, path=b"/v1/x\r\nx:"),
        scope(HOST, query=b"a b"),
        scope(HOST, query=b"a\nb"),
    ],
)
def test_nothing_is_smuggled_into_the_head(given: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        request_from(given, 10_000)


def test_a_head_is_bounded_as_over_http1() -> None:
    given = scope(HOST, (b"x", b"y" * 100))
    size = len(b"GET /v1/x HTTP/1.0\r\nhost: test\r\nx: " + b"y" * 100 + b"\r\n\r\n")
    request_from(given, size)
    with pytest.raises(HeadersTooLarge, match=f"at most {size - 1} bytes"):
        request_from(given, size - 1)


async def test_a_body_that_was_received_comes_first_and_once() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    replay = replayed(b"body", receive)
    assert await replay() == {"type": "http.request", "body": b"body", "more_body": False}
    assert await replay() == {"type": "http.disconnect"}
    assert await replay() == {"type": "http.disconnect"}
