"""Request heads that were parsed already: those of publishers, nodes and pollers are the same each time, or
differ only in the target."""

from __future__ import annotations

import re

from liveserver.edge.request import Request

KNOWN_HEADS, KNOWN_HEAD_BYTES = 512, 1024  # heads that are kept parsed, and how long one is at most

# A request line that every parser reads alike: a path without escapes, and a query.
_LINE = re.compile(
    rb"GET (/[A-Za-z0-9/._~!$&'()*+,;=:@-]*)(?:\?([A-Za-z0-9/?._~!$&'()*+,;=:@%-]*))? HTTP/1\.1\r\n"
)


class KnownHeads:
    """A cache of parsed heads that were received more than once, as those of publishers, nodes and pollers
    are; and of the headers alone, for polls, whose targets have another cursor each time.

    The requests share their `headers`, which must not be changed. A head that was received once costs a
    number.
    """

    __slots__ = ("_fields", "_parsed", "_seen")

    def __init__(self) -> None:
        self._parsed: dict[bytes, Request] = {}
        self._fields: dict[bytes, Request] = {}  # what follows a request line that `_LINE` matches
        self._seen: set[int] = set()

    def request(self, head: bytes) -> Request:
        """Return `Request(head)`. Raises `BadRequest`, `HeadersTooLarge`."""
        known = self._parsed.get(head)
        if known is not None:
            return known.copy()
        if len(head) > KNOWN_HEAD_BYTES:
            return Request(head)
        line = _LINE.match(head)
        fields = b""
        if line is not None:
            fields = head[line.end() :]
            known = self._fields.get(fields)
            if known is not None:
                return _with_target(known, head, line[1], line[2])
        request = Request(head)
        if self._is_seen(head):
            _keep(self._parsed, head, request)
        elif line is not None and self._is_seen(fields):
            _keep(self._fields, fields, request)
        return request

    def _is_seen(self, part: bytes) -> bool:
        """Return whether this part was received before, as far as is remembered."""
        name = hash(part)
        if name in self._seen:
            return True
        if len(self._seen) >= 8 * KNOWN_HEADS:
            self._seen.clear()
        self._seen.add(name)
        return False


def _keep(parsed: dict[bytes, Request], key: bytes, request: Request) -> None:
    if len(parsed) >= KNOWN_HEADS:
        parsed.clear()
    parsed[key] = request.copy()


def _with_target(known: Request, head: bytes, path: bytes, query: bytes | None) -> Request:
    """Return the request of a head that has the headers of a known one."""
    request = known.copy()
    request.head = head
    request.path = path.decode("ascii")
    request.query = query.decode("ascii") if query else ""
    return request
