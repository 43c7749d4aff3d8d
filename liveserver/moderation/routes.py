"""Routes for settings, bans and pins, in the web application behind the edge."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Protocol, TypeVar

import msgspec
from msgspec import Meta
from quart import Blueprint, Response, request

from liveserver.auth.authorizer import Headers
from liveserver.auth.grant import HOST, MODERATE, WATCH, Grant
from liveserver.edge.query import parse_limit
from liveserver.edge.request import check_encoding, checked_key, checked_video
from liveserver.errors import BadRequest, Forbidden, TooLarge, WrongType
from liveserver.event import USERS, is_user
from liveserver.malformed import explain_decode_error
from liveserver.moderation import acts
from liveserver.moderation.acts import MAX_REASON, Act
from liveserver.moderation.arguments import arguments, check_arguments
from liveserver.moderation.rules import SITE, Ban, Pinned, Rules, VideoSettings
from liveserver.web.auth_headers import auth_headers

MAX_BODY = 4 * 1024  # bytes
MAX_USER = 128  # characters
MAX_PAGE = 1_000  # bans in one answer
MAX_TEXT = 500  # characters of a pinned or announced text

T = TypeVar("T")
Authorize = Callable[[Headers], Awaitable[Grant]]


class Moderator(Protocol):
    """The interface that the routes use: a video's rules, and publishing acts."""

    async def refresh(self, video: str) -> Rules: ...

    async def act(self, *acts: Act) -> list[Act]: ...

    async def comment(self, video: str, name: str) -> Pinned:
        """Return a comment to be pinned. Raises `NotFound`, `Unavailable`."""
        ...

    async def clear(self, video: str, by: str, user: str) -> None:
        """Retract all comments of a user."""
        ...


class SettingsBody(msgspec.Struct, forbid_unknown_fields=True):
    """The settings to change; omitted ones are kept."""

    comments: str | msgspec.UnsetType = msgspec.UNSET
    slow: int | msgspec.UnsetType = msgspec.UNSET
    likes: str | msgspec.UnsetType = msgspec.UNSET
    review: bool | msgspec.UnsetType = msgspec.UNSET


class BanBody(msgspec.Struct, forbid_unknown_fields=True):
    """A ban: `until` is its end in milliseconds since the epoch; null: until it is lifted."""

    until: Annotated[int, Meta(ge=0, lt=2**53)] | None = None
    reason: Annotated[str, Meta(max_length=MAX_REASON)] = ""


class PinBody(msgspec.Struct, forbid_unknown_fields=True):
    """Either a comment's id or a text."""

    comment: str | None = None
    text: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)] | None = None


class AnnouncementBody(msgspec.Struct, forbid_unknown_fields=True):
    """A text for all viewers."""

    text: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]


class BanShown(msgspec.Struct, frozen=True):
    """A ban in a page of them."""

    user: str
    until: int | None
    reason: str


def actor(grant: Grant) -> str:
    """Return the moderator's name for `by`."""
    return grant.user or grant.name or "anybody"


def moderation_routes(moderator: Moderator, authorize: Authorize) -> Blueprint:
    """Return the routes, to be mounted into the public application."""
    routes = Blueprint("moderation", __name__)
    check_arguments(routes, list_bans=("limit", "after"))

    async def moderated(video: str) -> tuple[str, Grant]:
        """Return the video whose log has the acts (`SITE` for `*`), and the moderator's grant."""
        grant = await authorize(auth_headers(request.headers))
        if video == "*":
            return require_all(grant), grant
        grant.require(MODERATE, checked_video(video))
        return video, grant

    @routes.get("/v1/videos/<video>/settings")
    async def read_settings(video: str) -> Response:
        grant = await authorize(auth_headers(request.headers))
        checked_video(video)
        if grant.name or grant.may(MODERATE, video):
            grant.require_video(video)
        else:
            grant.require(WATCH, video)
        return json((await moderator.refresh(video)).settings)

    @routes.put("/v1/videos/<video>/settings")
    async def change_settings(video: str) -> Response:
        checked_video(video)
        video, grant = await moderated(video)
        body = await read(SettingsBody)
        present = msgspec.to_builtins((await moderator.refresh(video)).settings)
        try:
            changed = msgspec.convert(present | msgspec.to_builtins(body), VideoSettings)
        except msgspec.ValidationError as error:
            raise BadRequest(f"malformed settings: {explain_decode_error(error, VideoSettings)}") from None
        await moderator.act(acts.change_settings(video, actor(grant), changed))
        return json(changed)

    @routes.get("/v1/videos/<video>/bans")
    async def list_bans(video: str) -> Response:
        video, _ = await moderated(video)
        asked = arguments("limit", "after")
        limit, after = page_limit(asked), asked.get("after", "")
        bans = (await moderator.refresh(video)).bans
        names = sorted(user for user in bans if user > after)
        page = [BanShown(user, bans[user].until, bans[user].reason) for user in names[:limit]]
        return json({"bans": page, "next": names[limit - 1] if len(names) > limit else None})

    @routes.put("/v1/videos/<video>/bans/<path:user>")
    async def ban(video: str, user: str) -> Response:
        video, grant = await moderated(video)
        body = await read(BanBody)
        await moderator.act(acts.ban(video, actor(grant), Ban(checked_user(user), body.until, body.reason)))
        return nothing()

    @routes.delete("/v1/videos/<video>/bans/<path:user>")
    async def lift_ban(video: str, user: str) -> Response:
        video, grant = await moderated(video)
        await moderator.act(acts.lift_ban(video, actor(grant), checked_user(user)))
        return nothing()

    @routes.delete("/v1/videos/<video>/users/<path:user>/comments")
    async def clear(video: str, user: str) -> Response:
        checked_video(video)
        video, grant = await moderated(video)
        await moderator.clear(video, actor(grant), checked_user(user))
        return nothing()

    async def hosted(video: str) -> Grant:
        """Return the grant of a moderator or a host."""
        grant = await authorize(auth_headers(request.headers))
        if not grant.may(HOST, checked_video(video)):
            grant.require(MODERATE, video)
        return grant

    @routes.put("/v1/videos/<video>/pin")
    async def pin(video: str) -> Response:
        grant = await hosted(video)
        body = await read(PinBody)
        if (body.comment is None) == (body.text is None):
            raise BadRequest("the body has either a comment's id or a text to pin")
        if body.comment is not None:
            pinned = await moderator.comment(video, body.comment)
        else:
            pinned = Pinned(body.text or "")
        await moderator.act(acts.pin(video, actor(grant), grant.role(video), pinned))
        return nothing()

    @routes.delete("/v1/videos/<video>/pin")
    async def unpin(video: str) -> Response:
        grant = await hosted(video)
        await moderator.act(acts.pin(video, actor(grant), grant.role(video), None))
        return nothing()

    @routes.post("/v1/videos/<video>/announcements")
    async def announce(video: str) -> Response:
        grant = await hosted(video)
        body = await read(AnnouncementBody)
        key = checked_key(request.headers.get("idempotency-key"))
        (act,) = await moderator.act(acts.announce(video, actor(grant), grant.role(video), body.text, key))
        return json({"id": act.id}, 201)

    return routes


def require_all(grant: Grant) -> str:
    """Return `SITE`, the log for all videos. Raises `Forbidden` unless the grant is for all videos."""
    grant.require(MODERATE, "*" if "*" in grant.videos else SITE)
    if "*" not in grant.videos:
        raise Forbidden("this applies to all videos; it needs a token or key for all videos")
    return SITE


def page_limit(asked: Mapping[str, str]) -> int:
    """Return `limit` of a query's parameters. Raises `BadRequest`."""
    return parse_limit(asked.get("limit", "100"), MAX_PAGE)


def checked_user(user: str) -> str:
    """Return the user. Raises `BadRequest`."""
    if not 0 < len(user) <= MAX_USER:
        raise BadRequest(f"a user has 1 to {MAX_USER} characters")
    if not is_user(user):
        raise BadRequest(USERS)
    return user


async def read(kind: type[T]) -> T:
    """Return the request's body. Raises `WrongType`, `TooLarge`, `BadRequest`."""
    body = await request.get_data(cache=False, as_text=False)
    if len(body) > MAX_BODY:
        raise TooLarge(f"a body has at most {MAX_BODY} bytes here")
    if request.mimetype != "application/json":
        raise WrongType("send the body as application/json, with that content-type")
    check_encoding(request.headers.get("content-encoding", "").encode("latin-1", "replace"))
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BadRequest(f"malformed body: {explain_decode_error(error, kind)}") from None


def json(answer: Any, status: int = 200) -> Response:
    """Return a response with this JSON."""
    return Response(
        msgspec.json.encode(answer), status, {"content-type": "application/json", "cache-control": "no-store"}
    )


def nothing() -> Response:
    """Return a response without content."""
    return Response(b"", 204, headers={"cache-control": "no-store"})
