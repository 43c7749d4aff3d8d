"""Adds the edge's CORS headers to the application's responses, and refuses what other pages may not do."""

from __future__ import annotations

from collections.abc import Callable

from quart import Response, request
from quart_trio import QuartTrio

from liveserver.errors import Forbidden

_ALLOW = b"access-control-allow-origin"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

Headers = Callable[[bytes | None], bytes]
Preflight = Callable[[bytes | None], tuple[bytes, ...]]


def install(app: QuartTrio, headers_for: Headers, preflight: Preflight) -> None:
    """Add to each answer of `app` the header lines for its request's origin; to OPTIONS, `preflight` too."""

    @app.before_request
    async def refuse_other_pages() -> None:
        """Refuse an act without credentials or JSON by a page that may not read the answer.

        Browsers ask before all other acts; these they make, from any page that the user of a node without
        authentication visits.
        """
        origin, headers = request.headers.get("origin"), request.headers
        if origin is None or request.method in _SAFE or "authorization" in headers or request.is_json:
            return
        host = headers.get("host", "")
        if origin not in (f"http://{host}", f"https://{host}") and _ALLOW not in headers_for(
            origin.encode("latin-1", "replace")
        ):
            raise Forbidden("pages of this origin may not do this; add it to edge.allow_origins")

    @app.after_request
    async def add(response: Response) -> Response:
        origin = request.headers.get("origin")
        lines = headers_for(None if origin is None else origin.encode("latin-1", "replace")).split(b"\r\n")
        if origin is not None and request.method == "OPTIONS":
            wanted = request.headers.get("access-control-request-headers")
            lines += preflight(None if wanted is None else wanted.encode("latin-1", "replace"))
        for line in filter(None, lines):
            name, _, value = line.decode("latin-1").partition(": ")
            response.headers[name] = value
        return response
