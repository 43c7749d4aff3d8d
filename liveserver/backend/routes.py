"""The likes backend's other routes: ordinary web, behind the edge's hand-over."""

from __future__ import annotations

import msgspec
from quart import Blueprint, Response, request

from liveserver.auth.authorizer import Authorizer
from liveserver.auth.grant import MODERATE, WATCH
from liveserver.backend.backend import Backend
from liveserver.backend.commands import Retraction, reject_nul
from liveserver.edge.request import checked_video
from liveserver.web.auth_headers import asked_by


def backend_routes(backend: Backend, gate: Authorizer) -> Blueprint:
    """Return the summary and the retraction of comments, to be mounted into the public application."""
    routes = Blueprint("backend", __name__)

    @routes.delete("/v1/videos/<video>/comments/<comment>")
    async def retract(video: str, comment: str) -> Response:
        grant = await gate.liker(asked_by(request.headers))
        grant.require(MODERATE, checked_video(video))
        await backend.write(Retraction(video, reject_nul(comment, "comment's id")))
        return Response(status=204, headers={"cache-control": "no-store"})

    @routes.get("/v1/videos/<video>/summary")
    async def summary(video: str) -> Response:
        grant = await gate.liker(asked_by(request.headers))
        if grant.name:  # a site with a key may read what came of its own videos, whatever else it may
            grant.require_video(checked_video(video))
        else:
            grant.require(WATCH, checked_video(video))
        answer = msgspec.json.encode(await backend.summary(checked_video(video)))
        return Response(answer, 200, {"content-type": "application/json", "cache-control": "no-store"})

    return routes
