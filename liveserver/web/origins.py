"""Pages of other origins and the ordinary web: the edge decides who may, this adds what it says."""

from __future__ import annotations

from collections.abc import Callable

from quart import Response, request
from quart_trio import QuartTrio

Headers = Callable[[bytes | None], bytes]


def install(app: QuartTrio, headers_for: Headers, preflight: tuple[bytes, ...]) -> None:
    """Add to each answer of `app` the header lines for its request's origin; to OPTIONS, `preflight` too."""

    @app.after_request
    async def add(response: Response) -> Response:
        origin = request.headers.get("origin")
        lines = headers_for(None if origin is None else origin.encode("latin-1", "replace")).split(b"\r\n")
        if origin is not None and request.method == "OPTIONS":
            lines += preflight
        for line in filter(None, lines):
            name, _, value = line.decode("latin-1").partition(": ")
            response.headers[name] = value
        return response
