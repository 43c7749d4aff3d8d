"""ASGI, as Hypercorn speaks it: its types, and its requests in the form in which the edge reads them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from liveserver.edge.request import Request
from liveserver.errors import BadRequest, HeadersTooLarge

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

ONLY_HTTP1 = {b"connection", b"transfer-encoding", b"date"}  # Hypercorn has a date of its own
_FORBIDDEN = (b"\r", b"\n", b"\0")


def replayed(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that first returns a body that was already received."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> dict[str, Any]:
        return messages.pop() if messages else await receive()

    return replay


def request_from(scope: Scope, limit: int) -> Request:
    """Return the request in its HTTP/1.0 form. Raises `Problem`."""
    method, path, query = scope["method"].encode(), scope["raw_path"], scope["query_string"]
    target = path + b"?" + query if query else path
    lines = [b"%b %b HTTP/1.0" % (method, target), *_lines(scope["headers"]), b"", b""]
    if any(part in line for line in lines for part in _FORBIDDEN) or b" " in target:
        raise BadRequest("the request is malformed: a line break within a header")
    head = b"\r\n".join(lines)
    if len(head) > limit:
        raise HeadersTooLarge(f"the request line and headers have at most {limit} bytes")
    return Request(head)


def _lines(headers: Iterable[tuple[bytes, bytes]]) -> Iterable[bytes]:
    for name, value in headers:
        if name not in ONLY_HTTP1:
            yield b"%b: %b" % (name, value)
