"""The ops listener's application: health, readiness, metrics and status, on a port of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import trio
from quart import Response, request
from quart_trio import QuartTrio

from liveserver.config.writing import without_password
from liveserver.errors import ConfigError, Conflict, Forbidden, NotFound
from liveserver.frontend.frontend import Frontend
from liveserver.ops.arguments import argument, checked_video, json
from liveserver.ops.cluster import Cluster
from liveserver.ops.cluster_routes import Acts, cluster_blueprint
from liveserver.ops.dashboard import dashboard_blueprint
from liveserver.ops.health import readiness
from liveserver.ops.metrics import Parts, registry, render
from liveserver.ops.publishing import EventPublisher
from liveserver.ops.usage import usage
from liveserver.role import Check
from liveserver.web import paths, problems
from liveserver.web.auth_headers import auth_headers
from liveserver.web.openapi import ops_document
from liveserver.web.openapi.route import openapi_blueprint

_NOT_HERE = (
    "this event is not in this node's log: the video has no viewers here, or the event is older than "
    "history.max_events and history.max_age allow, or it was never accepted; try the other frontends, and "
    "check the publisher's response"
)
OPEN_PATHS = frozenset({"/healthz", "/readyz"})
_NO_FRONTEND = "this node has no viewers; use the ops port of a frontend"


def ops_app(
    identity: Mapping[str, Any],
    parts: Parts,
    checks: Callable[[], Mapping[str, Check]],
    frontend: Frontend | None = None,
    *,
    trust_request_ids: bool = False,
    guard: Callable[[Mapping[bytes, bytes]], None] = lambda headers: None,
    reload: Callable[[], Any] | None = None,
    cluster: Cluster | None = None,
    publisher: EventPublisher | None = None,
    acts: Callable[[], Acts | None] = lambda: None,
    started: float | None = None,
) -> QuartTrio:
    """Return the ops application. `identity` are the fields of `/v1/status` besides the parts' statistics.

    `guard` raises `Unauthorized` for the headers of a request without access; `/healthz` and `/readyz` are
    open. `reload` reloads the configuration, and may raise `ConfigError`. `started` is when the node was, in
    Trio's time.
    """
    app = QuartTrio("liveserver.ops")
    paths.install(app)
    problems.install(app, trust_request_ids=trust_request_ids)
    app.register_blueprint(dashboard_blueprint())
    app.register_blueprint(cluster_blueprint(cluster, publisher, acts))
    app.register_blueprint(openapi_blueprint(ops_document()))
    metrics = registry(parts, identity)
    since = trio.current_time() if started is None else started

    @app.before_request
    async def ask_who() -> None:
        if request.path not in OPEN_PATHS:
            guard(auth_headers(request.headers))

    @app.get("/healthz")
    async def healthz() -> Response:
        return json({"ok": True})

    @app.get("/readyz")
    async def readyz() -> Response:
        result = await readiness(checks())
        return json(result, 200 if result.ready else 503)

    @app.get("/metrics")
    async def prometheus() -> Response:
        text, content_type = render(metrics, request.headers.get("accept", ""))
        return Response(text, content_type=content_type)

    @app.get("/v1/status")
    async def status() -> Response:
        video = argument("video")
        statistics = {part: read() for part, read in parts.items()}
        watching = statistics.get("frontend")
        return json(
            {
                **identity,
                "uptime": round(trio.current_time() - since, 3),
                "process": usage(),
                "videos": [],
                **(_videos(frontend, video) if frontend is not None else {}),
                "viewers": getattr(watching, "viewers", 0),
                "lag": getattr(watching, "lag", 0),
                "peers": getattr(statistics.get("relay"), "peers", []),
                **statistics,
            }
        )

    @app.post("/v1/reload")
    async def reload_settings() -> Response:
        argument("")
        if "origin" in request.headers:
            raise Forbidden("browser pages may not reload a node")
        if reload is None:
            raise Conflict("this node has no configuration to reload")
        try:
            return json(reload())
        except ConfigError as error:
            raise Conflict(f"nothing was changed: {without_password(str(error))}") from None

    @app.get("/v1/videos/<video>/events/<path:event>/trace")
    async def trace(video: str, event: str) -> Response:
        argument("")
        found = frontend.trace(checked_video(video), event) if frontend is not None else None
        if found is None:
            raise NotFound(_NOT_HERE if frontend is not None else _NO_FRONTEND)
        return json(found)

    return app


def _videos(frontend: Frontend, video: str | None) -> dict[str, Any]:
    """Return the status of the requested video, or of the most watched ones."""
    if video is None:
        return msgspec.structs.asdict(frontend.overview())
    found = frontend.video_status(checked_video(video))
    if found is None:
        raise NotFound("this video has no viewers at this node; try the other nodes")
    return {"videos": [found]}
