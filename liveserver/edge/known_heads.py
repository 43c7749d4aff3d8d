"""Request heads that were parsed already: those of publishers, nodes and pollers are the same each time."""

from __future__ import annotations

from liveserver.edge.request import Request

KNOWN_HEADS, KNOWN_HEAD_BYTES = 512, 1024  # heads that are kept parsed, and how long one is at most


class KnownHeads:
    """A cache of parsed heads that were received more than once, as those of publishers, nodes and pollers
    are.

    The requests share their `headers`, which must not be changed. A head that was received once costs a
    number.
    """

    __slots__ = ("_parsed", "_seen")

    def __init__(self) -> None:
        self._parsed: dict[bytes, Request] = {}
        self._seen: set[int] = set()

    def request(self, head: bytes) -> Request:
        """Return `Request(head)`. Raises `BadRequest`, `HeadersTooLarge`."""
        known = self._parsed.get(head)
        if known is not None:
            return known.copy()
        request = Request(head)
        if len(head) <= KNOWN_HEAD_BYTES:
            name = hash(head)
            if name in self._seen:
                if len(self._parsed) >= KNOWN_HEADS:
                    self._parsed.clear()
                self._parsed[head] = request.copy()
            elif len(self._seen) >= 8 * KNOWN_HEADS:
                self._seen.clear()
            self._seen.add(name)
        return request
