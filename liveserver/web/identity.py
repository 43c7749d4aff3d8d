"""A viewer's user and scopes for a video, so that a page can hide what is not allowed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import msgspec
from quart import Blueprint, Response, request

from liveserver.auth.grant import Grant, matches
from liveserver.errors import BadRequest
from liveserver.event import VIDEO
from liveserver.web.auth_headers import auth_headers

Authorize = Callable[[Mapping[bytes, bytes]], Awaitable[Grant]]


class Me(msgspec.Struct, frozen=True, omit_defaults=True):
    """`signed_in`: tokens are required and one was sent; `user` is its user, recorded for all actions."""

    scopes: list[str]
    signed_in: bool
    user: str | None = None


def identity_blueprint(authorize: Authorize) -> Blueprint:
    """Return the route `GET /v1/videos/{video}/me`."""
    identity = Blueprint("identity", __name__)

    @identity.get("/v1/videos/<video>/me")
    async def me(video: str) -> Response:
        if not VIDEO.fullmatch(video):
            raise BadRequest("a video has 1 to 128 of A-Z a-z 0-9 . _ -, beginning with a letter or digit")
        grant = await authorize(auth_headers(request.headers))
        scopes = sorted(grant.scopes) if matches(grant.videos, video) else []
        answer = msgspec.json.encode(Me(scopes, grant.is_viewer, grant.user))
        return Response(answer, 200, {"content-type": "application/json", "cache-control": "no-store"})

    return identity
