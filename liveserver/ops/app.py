"""The ops listener's application: health, readiness, metrics and status, on a port of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from quart import Response
from quart_trio import QuartTrio

from liveserver.ops.health import Check, readiness
from liveserver.ops.metrics import Parts, registry
from liveserver.web import problems


def ops_app(
    identity: Mapping[str, Any], parts: Parts, checks: Callable[[], Mapping[str, Check]]
) -> QuartTrio:
    """`identity` is what `/v1/status` says of the node besides the parts' statistics."""
    app = QuartTrio("liveserver.ops")
    problems.install(app)
    metrics = registry(parts)

    @app.get("/healthz")
    async def healthz() -> Response:
        return _json({"ok": True})

    @app.get("/readyz")
    async def readyz() -> Response:
        result = await readiness(checks())
        return _json(result, 200 if result.ready else 503)

    @app.get("/metrics")
    async def prometheus() -> Response:
        return Response(generate_latest(metrics), content_type=CONTENT_TYPE_LATEST)

    @app.get("/v1/status")
    async def status() -> Response:
        return _json({**identity, **{part: statistics() for part, statistics in parts.items()}})

    return app


def _json(value: Any, status: int = 200) -> Response:
    return Response(
        msgspec.json.encode(value),
        status,
        {"content-type": "application/json", "cache-control": "no-store"},
    )
