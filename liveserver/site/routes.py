"""Routes for a site's servers: revoke tokens, disconnect and list users."""

from __future__ import annotations

import time
from typing import Annotated

import msgspec
from msgspec import Meta
from quart import Blueprint, Response, request

from liveserver.auth.authorizer import Authorizer
from liveserver.auth.grant import MODERATE
from liveserver.auth.revocations import TOKEN, USER, Revocation, key_part
from liveserver.auth.tokens import MAX_JTI
from liveserver.edge.query import parse_limit
from liveserver.edge.request import check_encoding, checked_video
from liveserver.errors import BadRequest, Unavailable
from liveserver.malformed import explain_decode_error
from liveserver.moderation.arguments import arguments, check_arguments
from liveserver.site.desk import SiteDesk
from liveserver.site.presence import Presence
from liveserver.web.auth_headers import auth_headers

MAX_USER = 128  # characters
MAX_PAGE = 200  # users in one answer
USERS_ARGUMENTS = ("limit", "after", "token")
MAX_BODY = 1_000  # bytes
AHEAD = 5_000  # ms that `before` may be later than now: clocks differ

Time = Annotated[int, Meta(ge=0, le=2**53 - 1)]


class RevocationBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`before`: a user's tokens issued earlier; by default now. `until`: the end of the revocation."""

    before: Time | None = None
    until: Time | None = None


def site_routes(desk: SiteDesk, authorizer: Authorizer, ttl: float, presence: Presence | None) -> Blueprint:
    """Return the routes, to be mounted into the public application.

    `ttl` is the longest revocation in seconds; `presence` is None without a bus.
    """
    routes = Blueprint("site", __name__)
    check_arguments(routes, users=USERS_ARGUMENTS)

    def administrator() -> str:
        return authorizer.administrator(auth_headers(request.headers))

    @routes.put("/v1/revocations/tokens/<path:jti>")
    async def revoke_token(jti: str) -> Response:
        by = administrator()
        body = await _body()
        if body.before is not None:
            raise BadRequest("before is only for revoking a user's tokens, not a single token")
        revocation = Revocation(_until(body, ttl), token=_name(jti, "token's jti", MAX_JTI))
        await desk.revoke(revocation, by)
        return _json(revocation)

    @routes.put("/v1/revocations/users/<path:user>")
    async def revoke_user(user: str) -> Response:
        by = administrator()
        body, now = await _body(), _now()
        before = now if body.before is None else body.before
        if before > now + AHEAD:
            raise BadRequest("before is in milliseconds since the epoch, and not in the future")
        revocation = Revocation(_until(body, ttl), user=_name(user, "user", MAX_USER), before=before)
        await desk.revoke(revocation, by)
        return _json(revocation)

    @routes.delete("/v1/revocations/tokens/<path:jti>")
    async def lift_token(jti: str) -> Response:
        return await lift(TOKEN + key_part(_name(jti, "token's jti", MAX_JTI)))

    @routes.delete("/v1/revocations/users/<path:user>")
    async def lift_user(user: str) -> Response:
        return await lift(USER + key_part(_name(user, "user", MAX_USER)))

    async def lift(key: str) -> Response:
        await desk.lift(key, administrator())
        return Response(b"", 204, headers={"cache-control": "no-store"})

    @routes.get("/v1/revocations")
    async def revocations() -> Response:
        administrator()
        return _json({"revocations": list(authorizer.revocations)})

    @routes.post("/v1/users/<path:user>/disconnect")
    async def disconnect(user: str) -> Response:
        by = administrator()
        name = _name(user, "user", MAX_USER)
        await desk.disconnect(name, by)
        return _json({"user": name}, 202)

    @routes.post("/v1/videos/<video>/users/<path:user>/unsubscribe")
    async def unsubscribe(video: str, user: str) -> Response:
        grant = await authorizer.liker(auth_headers(request.headers))
        grant.require(MODERATE, checked_video(video))
        name = _name(user, "user", MAX_USER)
        await desk.unsubscribe(video, name, grant.user or grant.name or "anybody")
        return _json({"video": video, "user": name}, 202)

    @routes.get("/v1/videos/<video>/users")
    async def users(video: str) -> Response:
        grant = await authorizer.liker(auth_headers(request.headers))
        grant.require(MODERATE, checked_video(video))
        asked = arguments(*USERS_ARGUMENTS)
        limit, after = parse_limit(asked.get("limit", "100"), MAX_PAGE), asked.get("after", "")
        if len(after) > MAX_USER:
            raise BadRequest(f"after is a user, with at most {MAX_USER} characters")
        if presence is None:
            raise Unavailable("this node has no bus to query the frontends; ask a dispatcher", 1)
        return _json(await presence.list_users(video, after, limit))

    return routes


async def _body() -> RevocationBody:
    """Return the body, which may be empty. Raises `BadRequest`."""
    content = await request.get_data(cache=False, as_text=False)
    if not content:
        return RevocationBody()
    if isinstance(content, str) or len(content) > MAX_BODY:
        raise BadRequest(f"a body has at most {MAX_BODY} bytes here")
    check_encoding(request.headers.get("content-encoding", "").encode("latin-1", "replace"))
    try:
        return msgspec.json.decode(content, type=RevocationBody)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BadRequest(f"malformed body: {explain_decode_error(error, RevocationBody)}") from None


def _until(body: RevocationBody, ttl: float) -> int:
    """Return the end of the revocation in milliseconds since the epoch. Raises `BadRequest`."""
    now = _now()
    most = now + int(ttl * 1000)
    if body.until is None:
        return most
    if not now < body.until <= most + AHEAD:
        raise BadRequest(
            f"until is in milliseconds since the epoch, and within {ttl:g} s (auth.revocation_ttl)"
        )
    return body.until


def _name(text: str, what: str, most: int) -> str:
    if not (0 < len(text) <= most) or "\0" in text:
        raise BadRequest(f"a {what} has 1 to {most} characters, without NUL")
    return text


def _now() -> int:
    return int(time.time() * 1000)


def _json(content: object, status: int = 200) -> Response:
    headers = {"content-type": "application/json", "cache-control": "no-store"}
    return Response(msgspec.json.encode(content), status, headers)
