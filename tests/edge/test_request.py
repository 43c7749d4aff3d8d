"""Requests are parsed exactly, or refused with a problem."""

from __future__ import annotations

import gc
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from liveserver.edge.request import Request
from liveserver.edge.response import HEAD_END
from liveserver.errors import BadRequest, WrongType
from tests.edge.harness import WHOLE, request

GET = b"GET / HTTP/1.1\r\nHost: x\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"


def test_a_head_is_taken_apart() -> None:
    whole = Request(WHOLE)
    assert (whole.method, whole.path, whole.query) == ("POST", "/v1/videos/v1/events", "cursor=now")
    assert (whole.version, whole.keep_alive, whole.head) == ("1.1", True, WHOLE)
    assert whole.headers[b"content-type"] == b"text/plain"
    assert (whole.has_body, whole.is_chunked, whole.content_length) == (True, False, 12)


def test_a_repeated_header_is_joined() -> None:
    assert request(b"/", b"GET", b"Accept: a", b"ACCEPT: b").headers[b"accept"] == b"a, b"


@pytest.mark.parametrize(
    "head",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",  # no Host
        GET + b"Host: y\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\n",
        b"GET / HTTP/1.2\r\nHost: x\r\n\r\n",
        b"GET / HTTP/0.9\r\nHost: x\r\n\r\n",
        b"GET /\r\n\r\n",
        b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"get / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET x HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        *(  # escapes that are read in two ways, or as U+FFFD, which would be another name
            b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n" % (place + part)
            for place in (b"", b"?a=")
            for part in (b"%", b"%4", b"%zz", b"%u0041", b"%ff", b"%ED%A0%80", b"%C0%AF", b"%F4%90%80%80")
        ),
        b"GET / HTTP/1.1\nHost: x\n\n\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\n\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\rA: b\r\n\r\n",
        GET + b"A: b\r\n c\r\n\r\n",  # obs-fold
        GET + b"A : b\r\n\r\n",
        GET + b" A: b\r\n\r\n",
        GET + b": b\r\n\r\n",
        GET + b"A\r\n\r\n",
        GET + b"A: \x00\r\n\r\n",
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
        POST + b"Content-Length: 5, 5\r\n\r\n",
        POST + b"Content-Length: +5\r\n\r\n",
        POST + b"Content-Length: -5\r\n\r\n",
        POST + b"Content-Length: 0x5\r\n\r\n",
        POST + b"Content-Length:\r\n\r\n",
        POST + b"Content-Length: 99999999999999999999\r\n\r\n",
        POST + b"Transfer-Encoding: identity\r\n\r\n",
        POST + b"Transfer-Encoding: gzip\r\n\r\n",
        POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_malformed_requests_are_bad_requests(head: bytes) -> None:
    with pytest.raises(BadRequest):
        Request(head)


def test_a_length_may_have_zeros_before_it_but_not_without_end() -> None:
    assert request(b"/", b"POST", b"Content-Length: 0012 ").content_length == 12
    with pytest.raises(BadRequest):
        _ = request(b"/", b"POST", b"Content-Length: " + b"0" * 5000 + b"12").content_length


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        (GET + b"\r\n", True),
        (GET + b"Connection: Close\r\n\r\n", False),
        (GET + b"Connection: x, close\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", False),
    ],
)
def test_which_requests_keep_the_connection_alive(head: bytes, kept: bool) -> None:
    assert Request(head).keep_alive is kept


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/a%20b%2Fc?d=%20", "/a b/c", "d=%20"),
        (b"/%c3%bc", "/ü", ""),
        (b"http://example.com:80/a/b?c=d", "/a/b", "c=d"),
        (b"HTTPS://x", "/", ""),
        (b"http://x?c=d", "/", "c=d"),
        (b"/http://x/y", "/http://x/y", ""),
        (b"*", "*", ""),
        (b"/?", "/", ""),
        (b"//a", "//a", ""),
    ],
)
def test_targets(target: bytes, path: str, query: str) -> None:
    asked = request(target, b"OPTIONS")
    assert (asked.path, asked.query) == (path, query)


def test_which_requests_expect_100_continue() -> None:
    assert request(b"/", b"POST", b"Expect: 100-Continue").awaits_continue
    assert not request(b"/", b"POST", b"Expect: 200-ok").awaits_continue
    assert not Request(b"POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").awaits_continue


@pytest.mark.parametrize(
    "offers",
    [[b"Upgrade: h2c"], [b"UPGRADE:\tH2C "], [b"Upgrade: foo", b"Upgrade: h2c"], [b"upgrade: foo, h2c"]],
)
def test_an_offer_of_http_2_is_not_handed_over(offers: list[bytes]) -> None:
    asked = request(b"/", b"GET", *offers, b"Connection: upgrade, http2-settings", b"A: b")
    assert asked.head_to_hand_over() == (GET + b"Connection: upgrade, http2-settings\r\nA: b\r\n\r\n")


def test_everything_else_is_handed_over_unchanged() -> None:
    for head in (WHOLE, GET + b"Connection: upgrade\r\nUpgrade: foo\r\n\r\n"):
        assert Request(head).head_to_hand_over() == head
    absolute = request(b"http://h/a?b=c").head_to_hand_over()
    assert absolute == b"GET /a?b=c HTTP/1.1\r\nHost: h\r\n\r\n"


def test_an_empty_line_before_a_request_is_not_handed_over() -> None:
    asked = Request(b"\r\n" + GET + b"\r\n")
    assert (asked.method, asked.path) == ("GET", "/")
    assert asked.head_to_hand_over("1") == GET.replace(b"\r\n", b"\r\nx-request-id: 1\r\n", 1) + b"\r\n"


def test_the_video_in_the_path() -> None:
    asked = request()
    for good in ("v", "A.b_c-9", "x" * 128):
        asked.video = good
        assert asked.checked_video() == good
    for bad in ("", "-v", ".v", "v w", "ü", "x" * 129, "v\n", "v/w"):
        asked.video = bad
        with pytest.raises(BadRequest):
            asked.checked_video()


def test_the_type_of_the_body() -> None:
    json = "application/json"
    asked = request(b"/", b"POST", b"Content-Type: Application/JSON ; charset=utf-8")
    assert asked.require_type("text/plain", json) == json
    for other in (b"Content-Type: text/plain", b"Content-Type: application/jsonx", b"X: y"):
        with pytest.raises(WrongType, match=r"application/json or text/html"):
            request(b"/", b"POST", other).require_type(json, "text/html")


@pytest.mark.parametrize("coding", [b"gzip", b"br", b"identity, gzip", b"GZIP"])
def test_an_encoded_body_is_not_taken_for_a_plain_one(coding: bytes) -> None:
    asked = request(b"/", b"POST", b"Content-Type: application/json", b"Content-Encoding: " + coding)
    with pytest.raises(WrongType, match="without a content-encoding") as caught:
        asked.require_type("application/json")
    assert caught.value.headers == (("accept-encoding", "identity"),)
    plain = request(b"/", b"POST", b"Content-Type: application/json", b"Content-Encoding: Identity")
    assert plain.require_type("application/json")


def take(head: bytes) -> Request | None:
    with suppress(BadRequest):
        return Request(head)
    return None


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_a_bad_one(data: bytes) -> None:
    take(data + HEAD_END)


@given(st.integers(0, len(WHOLE) - 1), st.binary(max_size=4), st.integers(0, 4))
@example(WHOLE.index(b"HTTP"), b"", 0)
def test_a_damaged_request_is_a_request_or_a_bad_one(at: int, put: bytes, cut: int) -> None:
    head = WHOLE[:at] + put + WHOLE[at + cut :]
    if not head.endswith(HEAD_END):
        head += HEAD_END
    asked = take(head)
    if asked is not None:
        assert asked.version in ("1.0", "1.1")
        assert asked.content_length >= 0
        assert asked.head_to_hand_over()
        # Nothing but CRLF ended a line, and nothing but an empty line ended the head.
        assert head.count(b"\n") == head.count(b"\r\n") == head.count(b"\r")
        assert head.lstrip(b"\r\n").index(HEAD_END) == len(head.lstrip(b"\r\n")) - len(HEAD_END)


def test_a_request_goes_without_the_garbage_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            Request(WHOLE)
        assert gc.collect() == 0
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("line", "length"),
    [
        (b"", 0),
        (b"Content-Length: 12", 12),
        (b"Transfer-Encoding: chunked", -1),
        (b"Content-Length: 5\r\nExpect: 100-continue", -1),
        (b"Content-Length: " + b"0" * 18 + b"1", -1),
    ],
)
def test_which_bodies_are_cut_off_at_once(line: bytes, length: int) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\n" + (line + b"\r\n" if line else b"") + b"\r\n"
    assert Request(head).plain_length == length
