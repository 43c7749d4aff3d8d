"""Responses as bytes: rendered completely, so that one non-blocking send usually suffices."""

from __future__ import annotations

import time
from email.utils import formatdate
from http import HTTPStatus

from liveserver.errors import Problem

HEAD_END = b"\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}


class _Date:
    """The `date` header (RFC 9110 §6.6.1), rendered once a second."""

    def __init__(self) -> None:
        self.second = 0
        self.line = b""

    def __call__(self) -> bytes:
        now = int(time.time())
        if now != self.second:
            self.second = now
            self.line = f"date: {formatdate(now, usegmt=True)}\r\n".encode()
        return self.line


date_line = _Date()


class _Heads:
    """Constant heads, rendered once a second; as many as there are different ones."""

    def __init__(self) -> None:
        self._date = b""
        self._heads: dict[tuple[int, tuple[bytes, ...]], bytes] = {}

    def __call__(self, status: int, headers: tuple[bytes, ...]) -> bytes:
        date = date_line()
        if date is not self._date:
            self._date = date
            self._heads.clear()
        rendered = self._heads.get((status, headers))
        if rendered is None:
            rendered = self._heads[status, headers] = head(status, *headers)
        return rendered


constant_head = _Heads()  # of headers that are constants


def head(status: int, *headers: bytes) -> bytes:
    """Render a response head; the headers are without line ends."""
    return b"".join(
        [_STATUS_LINES[status], date_line(), *[header + b"\r\n" for header in headers], b"\r\n"],
    )


def with_headers(response: bytes, lines: bytes) -> bytes:
    """Insert header lines, with line ends, after a response's status line."""
    return response.replace(b"\r\n", b"\r\n" + lines, 1) if lines else response


def without_body(response: bytes) -> bytes:
    """Return a response's head, which answers HEAD (RFC 9110 §9.3.2)."""
    return response[: response.index(HEAD_END) + len(HEAD_END)]


def json_response(status: int, body: bytes, *headers: bytes) -> bytes:
    """Render a complete response with a JSON body that is not to be cached."""
    return (
        b"%b%bcontent-type: application/json\r\ncache-control: no-store\r\ncontent-length: %d\r\n%b\r\n%b"
        % (
            _STATUS_LINES[status],
            date_line(),
            len(body),
            b"".join([header + b"\r\n" for header in headers]) if headers else b"",
            body,
        )
    )


def problem_response(problem: Problem, *, close: bool = False) -> bytes:
    """Render a complete problem+json response (RFC 9457)."""
    body = problem.body()
    headers = [f"{name}: {value}".encode() for name, value in problem.all_headers()]
    if close:
        headers.append(b"connection: close")
    return (
        head(
            problem.status,
            b"content-type: application/problem+json",
            b"cache-control: no-store",
            b"content-length: %d" % len(body),
            *headers,
        )
        + body
    )
