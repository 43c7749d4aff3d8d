"""`GET /openapi.json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from quart import Blueprint, Response


def openapi_blueprint(document: Mapping[str, Any]) -> Blueprint:
    """The document, rendered once; to be mounted into an application."""
    routes = Blueprint("openapi", __name__)
    body = msgspec.json.encode(document)

    @routes.get("/openapi.json")
    async def openapi() -> Response:
        return Response(body, headers={"content-type": "application/json", "cache-control": "no-cache"})

    return routes
