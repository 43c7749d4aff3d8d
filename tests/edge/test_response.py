"""Responses, to the byte."""

from __future__ import annotations

import pytest

from liveserver.edge.response import head, json_response, problem_response
from liveserver.errors import MethodNotAllowed, Unavailable

DATE = b"date: Sun, 23 Nov 2025 01:40:00 GMT\r\n"


@pytest.fixture(autouse=True)
def the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("liveserver.edge.response.time.time", lambda: 1763862000.9)


def test_a_head() -> None:
    assert head(200, b"a: b", b"c: d") == b"HTTP/1.1 200 OK\r\n" + DATE + b"a: b\r\nc: d\r\n\r\n"


def test_json() -> None:
    assert json_response(202, b"{}") == (
        b"HTTP/1.1 202 Accepted\r\n" + DATE + b"content-type: application/json\r\n"
        b"cache-control: no-store\r\ncontent-length: 2\r\n\r\n{}"
    )
    assert json_response(200, b"1", b"a: b").endswith(b"content-length: 1\r\na: b\r\n\r\n1")


def test_a_problem() -> None:
    body = b'{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"later"}'
    assert problem_response(Unavailable("later", retry_after=7), close=True) == (
        b"HTTP/1.1 503 Service Unavailable\r\n" + DATE + b"content-type: application/problem+json\r\n"
        b"cache-control: no-store\r\ncontent-length: %d\r\nretry-after: 7\r\nconnection: close\r\n\r\n"
        % len(body)
        + body
    )
    kept = problem_response(MethodNotAllowed("PUT", "GET, POST"))
    assert b"\r\nallow: GET, POST\r\n" in kept
    assert b"connection" not in kept


def test_the_date_header_advances(monkeypatch: pytest.MonkeyPatch) -> None:
    first = head(200)
    monkeypatch.setattr("liveserver.edge.response.time.time", lambda: 1763862001.0)
    assert head(200) == first.replace(b"01:40:00", b"01:40:01")
