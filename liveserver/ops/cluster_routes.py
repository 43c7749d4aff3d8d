"""The dashboard's requests for the whole cluster, and its test events."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec
from quart import Blueprint, Response, request

from liveserver.errors import Conflict, Forbidden, NotFound, WrongType
from liveserver.ops.arguments import argument, checked_video, json
from liveserver.ops.cluster import MAX_ACTS, Cluster
from liveserver.ops.publishing import EventPublisher

KEY_HEADER = "liveserver-key"  # the publisher's key: `authorization` has the operator's

Acts = Callable[[int], Awaitable[list[msgspec.Raw]]]  # the newest of moderators' acts, newest first


def cluster_blueprint(
    cluster: Cluster | None, publisher: EventPublisher | None, acts: Callable[[], Acts | None]
) -> Blueprint:
    """Return the routes; those of a part that is None answer 409, or 404 without a backend's `acts`."""
    routes = Blueprint("cluster", __name__)

    def known() -> Cluster:
        if cluster is None:
            raise Conflict("this node is not part of a cluster")
        return cluster

    def credentials() -> dict[str, str]:
        return {name: request.headers[name] for name in ("authorization",) if name in request.headers}

    @routes.get("/v1/cluster")
    async def nodes() -> Response:
        argument("")
        return json(await known().nodes(credentials()))

    @routes.get("/v1/cluster/videos/<video>/events/<path:event>/trace")
    async def trace(video: str, event: str) -> Response:
        argument("")
        return json(await known().trace(checked_video(video), event, credentials()))

    @routes.get("/v1/cluster/acts")
    async def cluster_acts() -> Response:
        argument("")
        return json(await known().acts(credentials()))

    @routes.get("/v1/acts")
    async def own_acts() -> Response:
        argument("")
        found = acts()
        if found is None:
            raise NotFound("this node has no likes backend, which keeps what moderators did")
        return json({"acts": await found(MAX_ACTS)})

    @routes.post("/v1/videos/<video>/events")
    async def publish(video: str) -> Response:
        argument("")
        require_same_origin()
        if request.mimetype != "application/json":
            raise WrongType("the content type is application/json")
        if publisher is None:
            raise Conflict("this node cannot publish")
        body = await request.get_data(as_text=False)
        assert isinstance(body, bytes)
        key = request.headers.get(KEY_HEADER)
        return json(await publisher.publish(checked_video(video), body, key), 202)

    return routes


def require_same_origin() -> None:
    """Refuse requests of pages from elsewhere. Raises `Forbidden`."""
    headers = request.headers
    origin: Any = headers.get("origin")
    is_own = origin is None or urlsplit(origin).netloc == headers.get("host")
    if not is_own or headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Forbidden("only this dashboard, and programs that are no browsers, may publish here")
