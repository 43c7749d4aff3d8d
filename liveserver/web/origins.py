"""Adds the edge's CORS headers to the application's responses."""

from __future__ import annotations

from collections.abc import Callable

from quart import Response, request
from quart_trio import QuartTrio

Headers = Callable[[bytes | None], bytes]
Preflight = Callable[[bytes | None], tuple[bytes, ...]]


def install(app: QuartTrio, headers_for: Headers, preflight: Preflight) -> None:
    """Add to each answer of `app` the header lines for its request's origin; to OPTIONS, `preflight` too."""

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
