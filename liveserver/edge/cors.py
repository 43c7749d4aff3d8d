"""Pages of other origins: which of them may read what is answered here (Fetch standard, CORS protocol).

`Last-Event-ID` costs a preflight when it is long or has unusual characters, `authorization`, JSON bodies
and what libraries add (`cache-control`, `x-requested-with`) always do. An origin that may ask may ask with
any header: here none has a meaning that a page could not have given to its own server.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from liveserver.edge.answer import Answer, Peer
from liveserver.edge.request import Request
from liveserver.edge.response import head

PREFLIGHT = (
    b"access-control-allow-methods: GET, HEAD, POST, PUT, DELETE",
    b"access-control-max-age: 86400",
)
_USUAL = (b"authorization", b"cache-control", b"content-type", b"idempotency-key", b"last-event-id")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]{1,100}")
_MOST_NAMES = 32


ALLOW = b"access-control-allow-origin: "
_EXPOSE = b"access-control-expose-headers: retry-after, www-authenticate, x-request-id\r\n"
_CREDENTIALS = b"access-control-allow-credentials: true\r\n"
_VARY = b"vary: origin\r\n"


class Origins:
    """The origins that are allowed: `*` for all, or `https://example.org` and the like.

    With `credentials` the browser sends this server's cookies along.
    """

    def __init__(self, allowed: Sequence[str], *, credentials: bool = False) -> None:
        self._all = "*" in allowed
        self._allowed = {origin.encode() for origin in allowed}
        self.without_origin = self.headers(None)
        self._lines = _EXPOSE + (_CREDENTIALS if credentials else b"") + _VARY

    def headers(self, origin: bytes | None) -> bytes:
        """The header lines for an answer to a page of `origin` (None: to no page), with `ALLOW` if it may
        read it. Where that depends on the origin, `Vary` says so to caches."""
        if self._all:
            return ALLOW + b"*\r\n" + _EXPOSE if origin is not None else b""
        if origin is not None and origin in self._allowed:
            return ALLOW + origin + b"\r\n" + self._lines
        return _VARY if self._allowed else b""


def preflight_headers(requested: bytes | None) -> tuple[bytes, ...]:
    """Return the header lines that say what may be asked for; `requested` is
    `access-control-request-headers`."""
    names = dict.fromkeys(_USUAL)
    for text in (requested or b"").lower().split(b",")[:_MOST_NAMES]:
        if _NAME.fullmatch(name := text.strip(b" \t")):
            names[name] = None
    return (b"access-control-allow-headers: " + b", ".join(names), *PREFLIGHT)


async def preflight(request: Request, peer: Peer) -> Answer:
    """What may be asked for; whether this origin may ask is in the headers that are added to each answer."""
    return head(204, *preflight_headers(request.headers.get(b"access-control-request-headers")))
