"""Cross-origin requests: which pages may read responses (Fetch standard, CORS protocol).

`authorization`, JSON bodies and headers that libraries add (`cache-control`, `x-requested-with`) need a
preflight; so does a `Last-Event-ID` that is long or has unusual characters. An allowed origin may send any
header, as none has a security-relevant meaning here.
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
_MAX_NAMES = 32


ALLOW = b"access-control-allow-origin: "
_EXPOSE = b"access-control-expose-headers: retry-after, www-authenticate, x-request-id\r\n"
_CREDENTIALS = b"access-control-allow-credentials: true\r\n"
_VARY = b"vary: origin\r\n"


class Origins:
    """The allowed origins: `*` for all, or origins such as `https://example.org`.

    With `credentials`, browsers may send this server's cookies.
    """

    def __init__(self, allowed: Sequence[str], *, credentials: bool = False) -> None:
        self._all = "*" in allowed
        self._allowed = {origin.encode() for origin in allowed}
        self.without_origin = self.headers(None)
        self._lines = _EXPOSE + (_CREDENTIALS if credentials else b"") + _VARY

    def headers(self, origin: bytes | None) -> bytes:
        """Return the header lines for a response to `origin` (None: no page), with `ALLOW` if it is allowed.

        If that depends on the origin, they include `Vary` for caches.
        """
        if self._all:
            return ALLOW + b"*\r\n" + _EXPOSE if origin is not None else b""
        if origin is not None and origin in self._allowed:
            return ALLOW + origin + b"\r\n" + self._lines
        return _VARY if self._allowed else b""


def preflight_headers(requested: bytes | None) -> tuple[bytes, ...]:
    """Return the header lines of a preflight response; `requested` is `access-control-request-headers`."""
    names = dict.fromkeys(_USUAL)
    for text in (requested or b"").lower().split(b",")[:_MAX_NAMES]:
        if _NAME.fullmatch(name := text.strip(b" \t")):
            names[name] = None
    return (b"access-control-allow-headers: " + b", ".join(names), *PREFLIGHT)


async def preflight(request: Request, peer: Peer) -> Answer:
    """Answer a preflight. Whether the origin is allowed is in the headers added to every answer."""
    return head(204, *preflight_headers(request.headers.get(b"access-control-request-headers")))
