"""A viewer's actions at a likes backend: like, comment, retract a comment, read the totals."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from .errors import MALFORMED_JSON, ProtocolError, Unreachable
from .requests import GIVE_UP_AFTER, Answer, open_client, request
from .tokens import Token, Tokens

T = TypeVar("T")


class Liked(msgspec.Struct, frozen=True):
    """A stored like. `total`: the likes of the video in that backend's database, this one included."""

    id: str
    total: int


class Commented(msgspec.Struct, frozen=True):
    """A stored comment."""

    id: str


class Summary(msgspec.Struct, frozen=True):
    """The totals of a video, and its newest comments, newest first."""

    likes: int
    reactions: dict[str, int]
    comments: list[dict[str, Any]] = []


async def like(
    urls: str | Sequence[str],
    video: str,
    *,
    user: str | None = None,
    reaction: str = "heart",
    token: Token | None = None,
    idempotency_key: str | None = None,
    client: httpx.AsyncClient | None = None,
    give_up_after: float = GIVE_UP_AFTER,
) -> Liked:
    """Like `video` at one of the likes backends `urls`; return when the like is stored.

    With a `token`, the user is the token's. The request is repeated with one `idempotency_key` until it is
    answered, so the like is stored once, if all `urls` share a database.

    Error handling: raises `Refused`, `Unreachable`, `ProtocolError`.
    """
    body = {"reaction": reaction} | ({"user": user} if user is not None else {})
    path = f"/v1/videos/{quote(video, safe='')}/likes"
    return _decode(await _post(urls, path, body, token, idempotency_key, client, give_up_after), Liked)


async def comment(
    urls: str | Sequence[str],
    video: str,
    text: str,
    *,
    user: str | None = None,
    token: Token | None = None,
    idempotency_key: str | None = None,
    client: httpx.AsyncClient | None = None,
    give_up_after: float = GIVE_UP_AFTER,
) -> Commented:
    """Comment on `video`; otherwise as `like`."""
    body = {"text": text} | ({"user": user} if user is not None else {})
    path = f"/v1/videos/{quote(video, safe='')}/comments"
    return _decode(await _post(urls, path, body, token, idempotency_key, client, give_up_after), Commented)


async def retract(
    urls: str | Sequence[str],
    video: str,
    comment_id: str,
    *,
    token: Token | None = None,
    client: httpx.AsyncClient | None = None,
    give_up_after: float = GIVE_UP_AFTER,
) -> None:
    """Retract a comment. Idempotent. Raises as `like`."""
    path = f"/v1/videos/{quote(video, safe='')}/comments/{quote(comment_id, safe='')}"
    headers = await Tokens(token).headers()
    async with open_client(client) as own:
        await request(own, "DELETE", urls, path, headers=headers, give_up_after=give_up_after)


async def summary(
    urls: str | Sequence[str],
    video: str,
    *,
    token: Token | None = None,
    client: httpx.AsyncClient | None = None,
    give_up_after: float = GIVE_UP_AFTER,
) -> Summary:
    """Return the totals of `video` from a likes backend or a frontend. Raises as `like`."""
    headers = await Tokens(token).headers()
    path = f"/v1/videos/{quote(video, safe='')}/summary"
    async with open_client(client) as own:
        answer = await request(own, "GET", urls, path, headers=headers, give_up_after=give_up_after)
    return _decode(answer, Summary)


async def _post(
    urls: str | Sequence[str],
    path: str,
    body: Mapping[str, str],
    token: Token | None,
    idempotency_key: str | None,
    client: httpx.AsyncClient | None,
    give_up_after: float,
) -> Answer:
    headers = await Tokens(token).headers()
    headers["idempotency-key"] = key = idempotency_key or uuid.uuid4().hex
    content = msgspec.json.encode(body)
    async with open_client(client) as own:
        try:
            return await request(
                own, "POST", urls, path, body=content, headers=headers, give_up_after=give_up_after
            )
        except Unreachable as error:
            error.idempotency_key = key
            raise


def _decode(answer: Answer, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.content, type=kind)
    except MALFORMED_JSON as error:
        raise ProtocolError(f"{answer.url}: an answer that is not a likes backend's: {error}") from error
