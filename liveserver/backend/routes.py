"""The likes backend's other routes, served by Quart."""

from __future__ import annotations

from quart import Blueprint, Response, request

from liveserver.auth.authorizer import Authorizer
from liveserver.auth.grant import MODERATE
from liveserver.backend.backend import Backend
from liveserver.backend.commands import Retraction, reject_nul
from liveserver.edge.request import checked_video
from liveserver.web.auth_headers import asked_by


def backend_routes(backend: Backend, authorizer: Authorizer) -> Blueprint:
    """Return the blueprint with the retraction of comments, for the public application."""
    routes = Blueprint("backend", __name__)

    @routes.delete("/v1/videos/<video>/comments/<comment>")
    async def retract(video: str, comment: str) -> Response:
        grant = await authorizer.liker(asked_by(request.headers))
        grant.require(MODERATE, checked_video(video))
        await backend.write(Retraction(video, reject_nul(comment, "comment's id")))
        return Response(status=204, headers={"cache-control": "no-store"})

    return routes
