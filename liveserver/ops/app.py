"""The ops listener's application: health, readiness, metrics and status, on a port of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import trio
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from quart import Response, request
from quart_trio import QuartTrio

from liveserver.errors import BadRequest, NotFound
from liveserver.event import VIDEO
from liveserver.frontend.frontend import Frontend
from liveserver.ops.health import Check, readiness
from liveserver.ops.metrics import Parts, registry
from liveserver.ops.usage import usage
from liveserver.web import problems


def ops_app(
    identity: Mapping[str, Any],
    parts: Parts,
    checks: Callable[[], Mapping[str, Check]],
    frontend: Frontend | None = None,
) -> QuartTrio:
    """`identity` is what `/v1/status` says of the node besides the parts' statistics."""
    app = QuartTrio("liveserver.ops")
    problems.install(app)
    metrics = registry(parts, identity)
    started = trio.current_time()

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
        video = _argument("video")
        result = {
            **identity,
            "uptime": round(trio.current_time() - started, 3),
            "process": usage(),
            **(_videos(frontend, video) if frontend is not None else {}),
            **{part: statistics() for part, statistics in parts.items()},
        }
        return _json(result)

    return app


def _videos(frontend: Frontend, video: str | None) -> dict[str, Any]:
    """What is said of the videos: of the one asked for, else of the most watched ones."""
    if video is None:
        return msgspec.structs.asdict(frontend.overview())
    if not VIDEO.fullmatch(video):
        raise BadRequest(
            "a video is named with 1 to 128 of A-Z a-z 0-9 . _ -, beginning with a letter or digit"
        )
    found = frontend.video_status(video)
    if found is None:
        raise NotFound("nobody watches this video at this node; ask the others, or watch it here")
    return {"videos": [found]}


def _argument(name: str) -> str | None:
    """The only query parameter there may be. Raises `BadRequest`."""
    if set(request.args) - {name} or len(request.args.getlist(name)) > 1:
        raise BadRequest(f"the only query parameter here is {name}, given once")
    return request.args.get(name)


def _json(value: Any, status: int = 200) -> Response:
    return Response(
        msgspec.json.encode(value),
        status,
        {"content-type": "application/json", "cache-control": "no-store"},
    )
