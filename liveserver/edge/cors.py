"""Pages of other origins: which of them may read what is answered here (Fetch standard, CORS protocol).

`Last-Event-ID` costs a preflight when it is long or has unusual characters, `authorization` and JSON
bodies always do: all of them are answered.
"""

from __future__ import annotations

from collections.abc import Sequence

from liveserver.edge.answer import Answer, Peer
from liveserver.edge.request import Request
from liveserver.edge.response import head

PREFLIGHT = (
    b"access-control-allow-methods: GET, POST, DELETE",
    b"access-control-allow-headers: authorization, content-type, idempotency-key, last-event-id",
    b"access-control-max-age: 86400",
)


class Origins:
    """The origins that are allowed: `*` for all, or `https://example.org` and the like."""

    def __init__(self, allowed: Sequence[str]) -> None:
        self._all = "*" in allowed
        self._allowed = {origin.encode() for origin in allowed}

    def headers(self, origin: bytes) -> bytes:
        """The header lines that let a page of `origin` read the response; empty when it may not."""
        if self._all:
            return b"access-control-allow-origin: *\r\n"
        if origin in self._allowed:
            return b"access-control-allow-origin: " + origin + b"\r\nvary: origin\r\n"
        return b""


async def preflight(request: Request, peer: Peer) -> Answer:
    """What may be asked for; whether this origin may ask is in the headers that are added to each answer."""
    return head(204, *PREFLIGHT)
