"""Heads that were parsed before: the same requests, in bounded memory."""

from __future__ import annotations

import pytest

from liveserver.edge.known_heads import KNOWN_HEAD_BYTES, KNOWN_HEADS, KnownHeads
from liveserver.edge.request import Request
from liveserver.errors import BadRequest
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
        assert len(heads._seen) <= 8 * KNOWN_HEADS
    long = b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * KNOWN_HEAD_BYTES + b"\r\n\r\n"
    known = dict(heads._parsed)
    for _ in range(3):
        heads.request(long)
    assert heads._parsed == known
