"""`GET /openapi.json`, in OpenAPI 3.1, and `GET /openapi-3.0.json`, the same in 3.0.3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from quart import Blueprint, Response

from liveserver.web.openapi.downgrade import to_3_0


def openapi_blueprint(document: Mapping[str, Any]) -> Blueprint:
    """Return routes for the document, rendered once, to be mounted into an application."""
    routes = Blueprint("openapi", __name__)
    newest = msgspec.json.encode(document)
    former = msgspec.json.encode(to_3_0(dict(document))) if document else newest

    @routes.get("/openapi.json")
    async def openapi() -> Response:
        return _response(newest)

    @routes.get("/openapi-3.0.json")
    async def openapi_3_0() -> Response:
        return _response(former)

    return routes


def _response(body: bytes) -> Response:
    return Response(body, headers={"content-type": "application/json", "cache-control": "no-cache"})
