"""The likes backend's routes: ordinary web, behind the edge's hand-over."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta
from quart import Blueprint, Response, request

from liveserver.auth.gate import Gate
from liveserver.auth.grant import COMMENT, LIKE, MODERATE, WATCH
from liveserver.auth.rates import Rates
from liveserver.backend.backend import Backend
from liveserver.backend.wishes import Comment, Like, Retraction
from liveserver.config import BackendSettings
from liveserver.errors import BadRequest, TooLarge, WrongType
from liveserver.event import VIDEO
from liveserver.web.asking import asked_by

MAX_KEY = 255  # characters of an Idempotency-Key

T = TypeVar("T")

User = Annotated[str, Meta(max_length=128)]
Reaction = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,31}\Z")]


class LikeBody(msgspec.Struct, forbid_unknown_fields=True):
    """What is sent to like."""

    user: User | None = None
    reaction: Reaction = "heart"


class CommentBody(msgspec.Struct, forbid_unknown_fields=True):
    """What is sent to comment."""

    text: str
    user: User | None = None


def backend_routes(backend: Backend, settings: BackendSettings, gate: Gate) -> Blueprint:
    """Likes, comments and the summary, to be mounted into the public application."""
    routes = Blueprint("backend", __name__)

    async def ask(scope: str, video: str, rates: Rates, user: str | None) -> str | None:
        """Whose deed it is. Raises `Unauthorized`, `Forbidden`, `TooMany`, `Unavailable`."""
        headers = asked_by(request.headers)
        grant = await gate.liker(headers)
        grant.require(scope, video)
        user = grant.speaks_for(user)
        if rates.is_any:
            rates.spend(gate.address(request.remote_addr or "", headers), user, video)
        return user

    @routes.post("/v1/videos/<video>/likes")
    async def like(video: str) -> Response:
        body = await _read(LikeBody, settings)
        user = await ask(LIKE, _video(video), gate.likes, _plain(body.user, "user"))
        wish = Like(video, user, body.reaction, _key())
        return _json(201, await backend.write(wish))

    @routes.post("/v1/videos/<video>/comments")
    async def comment(video: str) -> Response:
        body = await _read(CommentBody, settings)
        if not body.text.strip():
            raise BadRequest("a comment has a text")
        if len(body.text) > settings.max_text:
            raise BadRequest(f"a comment has at most {settings.max_text} characters")
        text = _plain(body.text, "comment") or ""
        user = await ask(COMMENT, _video(video), gate.comments, _plain(body.user, "user"))
        wish = Comment(video, user, text, _key())
        return _json(201, await backend.write(wish))

    @routes.delete("/v1/videos/<video>/comments/<comment>")
    async def retract(video: str, comment: str) -> Response:
        grant = await gate.liker(asked_by(request.headers))
        grant.require(MODERATE, _video(video))
        await backend.write(Retraction(video, _plain(comment, "comment's id") or ""))
        return Response(status=204, headers={"cache-control": "no-store"})

    @routes.get("/v1/videos/<video>/summary")
    async def summary(video: str) -> Response:
        grant = await gate.liker(asked_by(request.headers))
        if not grant.name:  # a site with a key may know what came of it
            grant.require(WATCH, _video(video))
        return _json(200, await backend.summary(_video(video)))

    return routes


async def _read(kind: type[T], settings: BackendSettings) -> T:
    """The body. Raises `WrongType`, `TooLarge`, `BadRequest`."""
    if request.mimetype != "application/json":
        raise WrongType("send the body as application/json, with that content-type")
    if (request.content_length or 0) > settings.max_request or len(
        data := await request.get_data()
    ) > settings.max_request:
        raise TooLarge(f"a body has at most {settings.max_request} bytes here")
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BadRequest(f"the body is not what is sent here: {error}") from None


def _video(name: str) -> str:
    if not VIDEO.fullmatch(name):
        raise BadRequest(
            "a video is named with 1 to 128 of A-Z a-z 0-9 . _ -, beginning with a letter or digit"
        )
    return name


def _plain(text: str | None, what: str) -> str | None:
    """Text is taken as it is, but PostgreSQL has no place for a NUL."""
    if text is not None and "\0" in text:
        raise BadRequest(f"a {what} has no NUL character")
    return text


def _key() -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= MAX_KEY and key.isprintable()):
        raise BadRequest(f"an Idempotency-Key has 1 to {MAX_KEY} printable characters")
    return key


def _json(status: int, answer: msgspec.Struct) -> Response:
    return Response(
        msgspec.json.encode(answer),
        status,
        {"content-type": "application/json", "cache-control": "no-store"},
    )
