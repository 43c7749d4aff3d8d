"""What viewers want of the likes backend, and what becomes of it."""

from __future__ import annotations

from typing import Any

import msgspec

from liveserver.errors import BadRequest, Problem


class Like(msgspec.Struct, frozen=True):
    """A reaction to a video. `key` is the request's Idempotency-Key."""

    video: str
    user: str | None
    reaction: str
    key: str | None = None

    route = "likes"


class Comment(msgspec.Struct, frozen=True):
    """A text under a video, never markup."""

    video: str
    user: str | None
    text: str
    key: str | None = None

    route = "comments"


class Retraction(msgspec.Struct, frozen=True):
    """A comment is to disappear. Doing it twice is the same as once."""

    video: str
    id: str


Wish = Like | Comment | Retraction


class Stored(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to a wish: its event's id and, for a like, the video's likes with it."""

    id: str
    total: int | msgspec.UnsetType = msgspec.UNSET


class OutboxRow(msgspec.Struct, frozen=True):
    """An event on its way to a dispatcher.

    `sender` names one life of one backend, later lives sort behind earlier ones; `number` counts its
    rows from 1. `body` is the event as `POST /v1/events` takes it.
    """

    sender: str
    number: int
    is_retraction: bool
    body: bytes

    @property
    def position(self) -> tuple[str, int]:
        return self.sender, self.number


class Summary(msgspec.Struct, frozen=True):
    """A video's totals and its newest comments, newest first."""

    likes: int
    reactions: dict[str, int]
    comments: list[dict[str, Any]]


Outcome = Stored | Problem


def plain(text: str, what: str) -> str:
    """Text is taken as it is, but PostgreSQL has no place for a NUL. Raises `BadRequest`."""
    if "\0" in text:
        raise BadRequest(f"a {what} has no NUL character")
    return text
