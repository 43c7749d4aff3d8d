"""Documents from memory: compressed for clients that take it, and not sent again."""

from __future__ import annotations

import gzip
from contextlib import AbstractAsyncContextManager

import pytest

from liveserver.edge.pages import Page
from tests.edge.harness import Answered, Client, Served, serving

CONTENT = b"<p>all of it</p>" * 100


def page(content: bytes = CONTENT, *, is_open: bool = False) -> Page:
    headers = {"content-type": "text/html", "cache-control": "no-cache"}
    return Page(
        content,
        "abc",
        headers,
        is_open=is_open,
        headers_for=lambda query: b"x-query: %b\r\n" % query.encode(),
    )


def pages(allow_origins: list[str] | None = None) -> AbstractAsyncContextManager[Served]:
    routes = {
        ("GET", "/"): page().answer,
        ("GET", "/small"): page(b"tiny", is_open=True).answer,
        ("GET", "/closed"): page(b"tiny").answer,
    }
    return serving(routes, allow_origins=allow_origins or [])


async def ask(client: Client, *lines: bytes, path: bytes = b"/", method: bytes = b"GET") -> Answered:
    head = [method + b" " + path + b" HTTP/1.1", b"Host: x", *lines, b"", b""]
    await client.send(b"\r\n".join(head))
    return await client.answer(bodiless=method == b"HEAD")


@pytest.mark.parametrize(
    ("accept", "is_zipped"),
    [
        (b"gzip", True),
        (b"br, GZIP;q=0.5", True),
        (b"gzip, deflate, br, zstd", True),
        (b"", False),
        (b"br", False),
        (b"gzip;q=0", False),
        (b"gzip; q=0.000", False),
        (b"identity", False),
    ],
)
async def test_pages_are_compressed_for_clients_that_accept_it(accept: bytes, is_zipped: bool) -> None:
    async with pages() as served, served.connect() as client:
        answer = await ask(client, b"Accept-Encoding: " + accept, path=b"/?a=b")
        assert answer.headers["vary"] == "accept-encoding"
        assert (answer.status, answer.headers["x-query"]) == (200, "a=b")
        assert answer.headers.get("content-encoding") == ("gzip" if is_zipped else None)
        assert (gzip.decompress(answer.body) if is_zipped else answer.body) == CONTENT
        small = await ask(client, b"Accept-Encoding: " + accept, path=b"/small")
        assert (small.body, small.headers.get("content-encoding")) == (b"tiny", None)


@pytest.mark.parametrize("known", [b'"abc"', b'W/"abc"', b'"x", "abc-gzip"', b"*"])
async def test_a_page_whose_etag_the_client_names_is_answered_304_without_a_body(known: bytes) -> None:
    async with pages() as served, served.connect() as client:
        for _ in range(2):
            answer = await ask(client, b"If-None-Match: " + known)
            assert (answer.status, answer.body) == (304, b"")
            assert answer.headers["etag"] == '"abc"'
            assert "content-length" not in answer.headers
        other = await ask(client, b'If-None-Match: "ab"')
        assert (other.status, other.body) == (200, CONTENT)


async def test_the_variants_have_etags_of_their_own() -> None:
    async with pages() as served, served.connect() as client:
        plain, zipped = await ask(client), await ask(client, b"Accept-Encoding: gzip")
        assert plain.headers["etag"] != zipped.headers["etag"]


async def test_head_has_no_body_and_other_methods_are_refused() -> None:
    async with pages() as served, served.connect() as client:
        answer = await ask(client, method=b"HEAD")
        assert (answer.status, answer.headers["content-length"]) == (200, str(len(CONTENT)))
        answer = await ask(client, b"Content-Length: 0", method=b"POST")
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


async def test_what_is_open_says_so_once_whichever_origins_are_allowed() -> None:
    for allowed, origin, expected in (
        ([], b"https://a.example", "*"),
        (["*"], b"https://a.example", "*"),
        (["https://a.example"], b"https://a.example", "https://a.example"),
        (["https://a.example"], b"https://b.example", "*"),
    ):
        async with pages(allowed) as served, served.connect() as client:
            answer = await ask(client, b"Origin: " + origin, path=b"/small")
            assert answer.headers["access-control-allow-origin"] == expected
            closed = await ask(client, b"Origin: https://b.example", path=b"/closed")
            assert closed.headers.get("access-control-allow-origin") == ("*" if allowed == ["*"] else None)
