"""Likes and comments: the likes backend's hot routes, on connections that last."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from liveserver.auth.authorizer import Authorizer
from liveserver.auth.client_addresses import peer_address
from liveserver.auth.grant import COMMENT, LIKE
from liveserver.auth.rate_limits import CompositeRateLimiter
from liveserver.backend.backend import Backend
from liveserver.backend.commands import Comment, Like, Wish, plain
from liveserver.config import BackendSettings
from liveserver.edge.answer import Answer, Peer
from liveserver.edge.request import Request
from liveserver.edge.response import json_response
from liveserver.edge.router import Router
from liveserver.errors import BadRequest, TooLarge

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


class LikeRoutes:
    """What is asked often; the other routes of the likes backend are ordinary web."""

    def __init__(self, backend: Backend, settings: BackendSettings, gate: Authorizer) -> None:
        self._backend = backend
        self._settings = settings
        self._gate = gate

    def add_to(self, router: Router) -> None:
        router.add("POST", "/v1/videos/{video}/likes", self.like)
        router.add("POST", "/v1/videos/{video}/comments", self.comment)

    async def like(self, request: Request, peer: Peer) -> Answer:
        """Answered once it is stored."""
        video = request.checked_video()
        body = self._read(request, LikeBody)
        user = await self._ask(request, peer, LIKE, self._gate.likes, body.user)
        return await self._write(Like(video, user, body.reaction, _key(request)))

    async def comment(self, request: Request, peer: Peer) -> Answer:
        """Answered once it is stored."""
        video, most = request.checked_video(), self._settings.max_text
        body = self._read(request, CommentBody)
        if not body.text.strip():
            raise BadRequest("a comment has a text")
        if len(body.text) > most:
            raise BadRequest(f"a comment has at most {most} characters")
        text = plain(body.text, "comment")
        user = await self._ask(request, peer, COMMENT, self._gate.comments, body.user)
        return await self._write(Comment(video, user, text, _key(request)))

    def _read(self, request: Request, kind: type[T]) -> T:
        """The body. Raises `WrongType`, `TooLarge`, `BadRequest`."""
        request.require_type("application/json")
        request.arguments(())
        if len(request.body) > self._settings.max_request:
            raise TooLarge(f"a body has at most {self._settings.max_request} bytes here")
        try:
            return msgspec.json.decode(request.body, type=kind)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise BadRequest(f"the body is not what is sent here: {error}") from None

    async def _ask(
        self, request: Request, peer: Peer, scope: str, rates: CompositeRateLimiter, user: str | None
    ) -> str | None:
        """Whose deed it is. Raises `Unauthorized`, `Forbidden`, `TooMany`, `Unavailable`."""
        user = None if user is None else plain(user, "user")
        grant = await self._gate.liker(request.headers)
        grant.require(scope, request.video)
        user = grant.speaks_for(user)
        if rates.is_any:
            address = self._gate.address(peer_address(peer.sock), request.headers)
            rates.spend(address, user, request.video)
        return user

    async def _write(self, wish: Wish) -> bytes:
        return json_response(201, msgspec.json.encode(await self._backend.write(wish)))


def _key(request: Request) -> str | None:
    header = request.headers.get(b"idempotency-key")
    if header is None:
        return None
    key = header.decode("latin-1")
    if not (0 < len(key) <= MAX_KEY and key.isprintable()):
        raise BadRequest(f"an Idempotency-Key has 1 to {MAX_KEY} printable characters")
    return key
