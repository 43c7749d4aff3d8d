"""Heads that were parsed before: the same requests, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from liveserver.edge.known_heads import KNOWN_HEAD_BYTES, KNOWN_HEADS, KnownHeads
from liveserver.edge.request import Request
from liveserver.errors import BadRequest, Problem
from tests.edge.harness import WHOLE


def test_heads_that_come_again_are_parsed_once_and_give_requests_of_their_own() -> None:
    heads = KnownHeads()
    first, second, third = (heads.request(WHOLE) for _ in range(3))
    assert first.headers == second.headers
    assert third.headers is second.headers or third.headers == second.headers
    third.body, third.video, third.cors, third.keep_alive = b"body", "video", b"cors", not third.keep_alive
    fourth = heads.request(WHOLE)
    plain = Request(WHOLE)
    for name in ("head", "headers", "method", "path", "query", "version", "keep_alive", "plain_length"):
        assert getattr(fourth, name) == getattr(plain, name)
    assert (fourth.body, fourth.video, fourth.cors) == (b"", "", b"")


def test_a_malformed_head_is_refused_each_time() -> None:
    heads = KnownHeads()
    for _ in range(4):
        with pytest.raises(BadRequest):
            heads.request(b"GET / HTTP/1.1\r\n\r\n")


def test_no_more_heads_are_kept_than_there_is_room_for() -> None:
    heads = KnownHeads()
    for number in range(9 * KNOWN_HEADS):
        head = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number
        for _ in range(2):
            assert heads.request(head).path == f"/{number}"
        assert len(heads._parsed) <= KNOWN_HEADS
        assert len(heads._fields) <= KNOWN_HEADS
        assert len(heads._seen) <= 8 * KNOWN_HEADS
    long = b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * KNOWN_HEAD_BYTES + b"\r\n\r\n"
    known = dict(heads._parsed)
    for number in range(2 * KNOWN_HEADS):
        for target in range(3):
            heads.request(b"GET /%d HTTP/1.1\r\nHost: x%d\r\n\r\n" % (target, number))
        assert 0 < len(heads._fields) <= KNOWN_HEADS
    known = dict(heads._parsed)
    for _ in range(3):
        heads.request(long)
    assert heads._parsed == known


NAMES = (
    "head", "headers", "method", "path", "query", "version", "keep_alive", "plain_length", "content_length",
    "_authority",
)  # fmt: skip
FIELDS = (
    b"Host: x\r\nAccept: */*\r\n",
    b"Host: x\r\nConnection: close\r\n",
    b"Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
    b"Host: x\r\nContent-Length: 3\r\n",
    b"Host: x\r\nTransfer-Encoding: chunked\r\n",
    b"Host: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n",
    b"Host: x\r\nA: 1\r\nA: 2\r\n",
    b"Host: x\r\nA:   1  \r\n",
    b"Host: x\nA: 1\r\n",
    b"Host: x\r\nHost: x\r\n",
    b"Host: x\r\n A: 1\r\n",
    b" Host: x\r\n",
    b"A: 1\r\n",
    b"\r\n",
    b"Host: /\r\n",
    b"Host: x\r\nTransfer-Encoding: gzip\r\n",
    b"Host: x\r\nContent_Length: 1\r\n",
)
LINES = (
    b"GET /v1/videos/v/poll?cursor=dc1-k3f9a-%d HTTP/1.1\r\n",
    b"GET /v1/videos/v/poll?cursor=a%%7Eb-%d&&=?/ HTTP/1.1\r\n",
    b"GET //v1/%d HTTP/1.1\r\n",
    b"GET /%d? HTTP/1.1\r\n",
    b"GET /a%%20b?%d HTTP/1.1\r\n",
    b"GET http://other/%d?a HTTP/1.1\r\n",
    b"GET /%d#a HTTP/1.1\r\n",
    b"GET  /%d HTTP/1.1\r\n",
    b"GET /%d HTTP/1.0\r\n",
    b"POST /%d HTTP/1.1\r\n",
    b"HEAD /%d HTTP/1.1\r\n",
    b"GET /%d HTTP/1.1\n",
    b"\r\nGET /%d HTTP/1.1\r\n",
)


def outcome(parse: Callable[[bytes], Request], head: bytes) -> object:
    try:
        request = parse(head)
    except Problem as problem:
        return problem.status, problem.detail
    return {name: getattr(request, name) for name in NAMES}


@pytest.mark.parametrize("fields", FIELDS)
def test_heads_that_differ_in_the_target_are_read_as_by_the_parser(fields: bytes) -> None:
    heads = KnownHeads()
    for number in range(4):
        for line in LINES:
            head = line % number + fields + b"\r\n"
            assert outcome(heads.request, head) == outcome(Request, head), head


def test_the_headers_of_polls_are_parsed_once() -> None:
    heads = KnownHeads()
    polls = [
        heads.request(b"GET /v1/videos/v/poll?cursor=dc1-k3f9a-%d HTTP/1.1\r\nHost: x\r\n\r\n" % number)
        for number in range(10)
    ]
    assert [poll.query for poll in polls] == [f"cursor=dc1-k3f9a-{number}" for number in range(10)]
    assert all(poll.headers is polls[-1].headers for poll in polls[2:])
    with pytest.raises(BadRequest):
        heads.request(b"Host: x\r\n\r\n")  # what is known is no request by itself
