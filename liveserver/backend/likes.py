"""Likes and comments: the likes backend's hot routes, on persistent connections."""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec
from msgspec import Meta

from liveserver.auth.authorizer import Authorizer
from liveserver.auth.client_addresses import peer_address
from liveserver.auth.grant import COMMENT, LIKE, MODERATE, WATCH, Grant
from liveserver.auth.rate_limits import CompositeRateLimiter
from liveserver.backend.backend import Backend
from liveserver.backend.commands import Command, Comment, Like, check_user, reject_nul
from liveserver.config import BackendSettings
from liveserver.edge.answer import Answer, Handler, Peer
from liveserver.edge.query import parse_limit
from liveserver.edge.request import Request, checked_key
from liveserver.edge.response import json_response
from liveserver.edge.router import Router
from liveserver.errors import BadRequest, Forbidden, TooLarge
from liveserver.malformed import explain_decode_error
from liveserver.moderation.rules import Waiting
from liveserver.state import MAX_VERSION

if TYPE_CHECKING:
    from liveserver.tracing.tracer import Tracer

MAX_PAGE = 200  # comments in one answer

T = TypeVar("T")

User = Annotated[str, Meta(max_length=128)]
Position = Annotated[int, Meta(ge=0, le=MAX_VERSION)]  # of the video, in milliseconds


class LikeBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a like."""

    user: User | None = None
    reaction: str | None = None  # the first of `backend.reactions`
    position: Position | None = None


class CommentBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a comment."""

    text: str
    user: User | None = None
    position: Position | None = None


class LikeRoutes:
    """The hot routes; the other routes of the likes backend are served by Quart."""

    def __init__(
        self,
        backend: Backend,
        settings: BackendSettings,
        authorizer: Authorizer,
        tracer: Tracer | None = None,
    ) -> None:
        self._tracer = tracer
        self._backend = backend
        self._settings = settings
        self._authorizer = authorizer

    def add_to(self, router: Router) -> None:
        like: Handler = self.like
        comment: Handler = self.comment
        if self._tracer is not None:
            like, comment = self._tracer.handler("like", like), self._tracer.handler("comment", comment)
        router.add("POST", "/v1/videos/{video}/likes", like)
        router.add("POST", "/v1/videos/{video}/comments", comment)
        router.add("GET", "/v1/videos/{video}/comments", self.comments)
        router.add("GET", "/v1/videos/{video}/summary", self.summary)

    async def like(self, request: Request, peer: Peer) -> Answer:
        """Store a like; answer once it is committed."""
        video = request.checked_video()
        body = self._read(request, LikeBody)
        reactions = self._settings.reactions
        reaction = reactions[0] if body.reaction is None else body.reaction
        if reaction not in reactions:
            raise BadRequest(f"the permitted reactions are {', '.join(reactions)}")
        user, grant = await self._authorize(request, LIKE, body.user)
        await self._backend.enforcer.check_like(video, user, grant)
        self._charge(request, peer, grant, self._authorizer.likes, user)
        like = Like(video, user, reaction, _key(request), body.position, grant.role(video))
        return await self._write(like)

    async def comment(self, request: Request, peer: Peer) -> Answer:
        """Store a comment; answer once it is committed."""
        video, max_text = request.checked_video(), self._settings.max_text
        body = self._read(request, CommentBody)
        if not body.text.strip():
            raise BadRequest("a comment has a text")
        if len(body.text) > max_text:
            raise BadRequest(f"a comment has at most {max_text} characters")
        text = reject_nul(body.text, "comment")
        user, grant = await self._authorize(request, COMMENT, body.user)
        key = _key(request)
        address = self._authorizer.address(peer_address(peer.sock), request.headers)
        self._charge(request, peer, grant, self._authorizer.comments, user)
        if await self._backend.enforcer.check_comment(video, user, grant, address, key):
            at, role = int(time.time() * 1000), grant.role(video)
            waiting = Waiting(_waiting_id(video, user, key), text, at, user, role)
            decision = await self._backend.waiting_comments.decide(video, waiting)
            await self._backend.enforcer.check_decided(video, waiting)  # much may have changed meanwhile
            if decision == "reject":
                raise Forbidden("this comment is not shown here", "rejected")
            if decision == "hold":
                await self._backend.waiting_comments.hold(video, waiting)
                return json_response(202, msgspec.json.encode({"id": waiting.id, "waiting": True}))
        return await self._write(Comment(video, user, text, key, body.position, grant.role(video)))

    async def summary(self, request: Request, peer: Peer) -> Answer:
        """Return the totals and the newest comments."""
        video = request.checked_video()
        request.arguments(())
        await self._authorize_reading(request, video)
        return json_response(200, await self._backend.summary(video))

    async def comments(self, request: Request, peer: Peer) -> Answer:
        """Return a page of the comments, newest first."""
        video = request.checked_video()
        arguments = request.arguments(("before", "limit", "status"))
        limit = parse_limit(arguments.get("limit", "50"), MAX_PAGE)
        before = arguments.get("before")
        if before is not None:
            reject_nul(before, "comment's id")
        status = arguments.get("status", "shown")
        if status not in ("shown", "waiting"):
            raise BadRequest("status is shown or waiting")
        if status == "waiting":
            (await self._authorizer.liker(request.headers)).require(MODERATE, video)
            page = await self._backend.waiting_comments.page(video, before, limit)
        else:
            await self._authorize_reading(request, video)
            page = await self._backend.comments(video, before, limit)
        return json_response(200, msgspec.json.encode(page))

    async def _authorize_reading(self, request: Request, video: str) -> None:
        """Raise `Unauthorized`, `Forbidden` or `Unavailable` unless the client may read this video's
        comments.
        """
        grant = await self._authorizer.liker(request.headers)
        if grant.name:  # a publisher's key may read its own videos, whatever its scopes
            grant.require_video(video)
        else:
            grant.require(WATCH, video)

    def _read(self, request: Request, kind: type[T]) -> T:
        """Return the body. Raises `WrongType`, `TooLarge`, `BadRequest`."""
        request.require_type("application/json")
        request.arguments(())
        if len(request.body) > self._settings.max_request:
            raise TooLarge(f"a body has at most {self._settings.max_request} bytes here")
        try:
            return msgspec.json.decode(request.body, type=kind)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise BadRequest(f"malformed body: {explain_decode_error(error, kind)}") from None

    async def _authorize(self, request: Request, scope: str, user: str | None) -> tuple[str | None, Grant]:
        """Return the user to record, and the grant. Raises `Unauthorized`, `Forbidden`, `Unavailable`."""
        grant = await self._authorizer.liker(request.headers)
        grant.require(scope, request.video)
        found = grant.resolve_user(user)  # from the token, too
        return None if found is None else check_user(found), grant

    def _charge(
        self, request: Request, peer: Peer, grant: Grant, rates: CompositeRateLimiter, user: str | None
    ) -> None:
        """Charge the rate limits; moderators are exempt. Raises `TooMany`."""
        if rates.is_any and not grant.is_exempt(request.video):
            address = self._authorizer.address(peer_address(peer.sock), request.headers)
            rates.acquire(address, user, request.video)

    async def _write(self, command: Command) -> bytes:
        return json_response(201, msgspec.json.encode(await self._backend.write(command)))


def _waiting_id(video: str, user: str | None, key: str | None) -> str:
    """Return the id of a comment that waits: the same for a request that is repeated with its key."""
    if key is None:
        return f"w{secrets.token_hex(12)}"
    named = msgspec.json.encode([video, user, key])
    return f"w{hashlib.blake2s(named, digest_size=12).hexdigest()}"


def _key(request: Request) -> str | None:
    header = request.headers.get(b"idempotency-key")
    return None if header is None else checked_key(header.decode("latin-1"))
