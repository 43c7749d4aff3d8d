"""The likes backend's other routes, served by Quart."""

from __future__ import annotations

from typing import Literal

from quart import Blueprint, Response, request

from liveserver.auth.authorizer import Authorizer
from liveserver.auth.grant import COMMENT, MODERATE
from liveserver.backend.backend import Backend
from liveserver.backend.commands import reject_nul
from liveserver.edge.request import checked_video
from liveserver.errors import Forbidden
from liveserver.moderation.arguments import arguments, check_arguments
from liveserver.moderation.routes import actor, json, page_limit, require_all
from liveserver.web.auth_headers import auth_headers


def backend_routes(backend: Backend, authorizer: Authorizer) -> Blueprint:
    """Return the blueprint with the retraction of comments, for the public application."""
    routes = Blueprint("backend", __name__)
    check_arguments(routes, retract=("user",), audit=("limit", "before"))

    @routes.delete("/v1/videos/<video>/comments/<path:comment>")
    async def retract(video: str, comment: str) -> Response:
        grant = await authorizer.liker(auth_headers(request.headers))
        name = reject_nul(comment, "comment's id")
        if grant.may(MODERATE, checked_video(video)):
            await backend.retract(video, name, actor(grant), None)
        else:
            grant.require(COMMENT, video)
            user = grant.resolve_user(arguments("user").get("user"))
            if user is None:
                raise Forbidden("only moderators may retract the comments of others")
            await backend.retract(video, name, None, user)
        return Response(b"", 204, headers={"cache-control": "no-store"})

    @routes.post("/v1/videos/<video>/comments/<path:comment>/approve")
    async def approve(video: str, comment: str) -> Response:
        return await review(video, comment, "approved")

    @routes.post("/v1/videos/<video>/comments/<path:comment>/reject")
    async def reject(video: str, comment: str) -> Response:
        return await review(video, comment, "rejected")

    async def review(video: str, comment: str, decision: Literal["approved", "rejected"]) -> Response:
        grant = await authorizer.liker(auth_headers(request.headers))
        grant.require(MODERATE, checked_video(video))
        await backend.waiting_comments.review(video, actor(grant), comment, decision)
        return Response(b"", 204, headers={"cache-control": "no-store"})

    @routes.get("/v1/videos/<video>/audit")
    async def audit(video: str) -> Response:
        grant = await authorizer.liker(auth_headers(request.headers))
        if video == "*":
            video = require_all(grant)
        else:
            grant.require(MODERATE, checked_video(video))
        asked = arguments("limit", "before")
        acts, following = await backend.audit(video, asked.get("before"), page_limit(asked))
        return json({"acts": acts, "next": following})

    return routes
