"""What viewers ask of the likes backend, and what becomes of it."""

from __future__ import annotations

from typing import Any

import msgspec

from liveserver.backend.heard import Heard
from liveserver.errors import BadRequest, Problem


class Like(msgspec.Struct, frozen=True):
    """A reaction to a video. `key` is the request's Idempotency-Key, which is the user's own; `position` is
    media time, in milliseconds."""

    video: str
    user: str | None
    reaction: str
    key: str | None = None
    position: int | None = None

    route = "likes"


class Comment(msgspec.Struct, frozen=True):
    """A text under a video, never markup."""

    video: str
    user: str | None
    text: str
    key: str | None = None
    position: int | None = None

    route = "comments"


class Retraction(msgspec.Struct, frozen=True):
    """A comment is to disappear. Doing it twice is the same as once."""

    video: str
    id: str


Command = Like | Comment | Retraction | Heard


class Stored(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to a command: its event's id and, for a like, the video's likes with it."""

    id: str
    total: int | msgspec.UnsetType = msgspec.UNSET


class OutboxRow(msgspec.Struct, frozen=True):
    """An event on its way to a dispatcher.

    `sender` names one life of one backend; `number` counts its rows from 1. `body` is the event as
    `POST /v1/events` takes it.
    """

    sender: str
    number: int
    is_retraction: bool
    body: bytes

    @property
    def position(self) -> tuple[str, int]:
        return self.sender, self.number


Totals = dict[tuple[str, str], int]  # by video and reaction


class Accepted(msgspec.Struct):
    """What a dispatcher has accepted: outbox rows to remove, and totals that are announced with it."""

    rows: list[OutboxRow] = []
    totals: Totals = {}

    def __bool__(self) -> bool:
        return bool(self.rows or self.totals)


class Summary(msgspec.Struct, frozen=True):
    """A video's totals and its newest comments, newest first."""

    likes: int
    reactions: dict[str, int]
    comments: list[dict[str, Any]]


class Comments(msgspec.Struct, frozen=True):
    """A page of a video's comments, newest first; `next` is the id to read on before, if there is more.

    `complete` says that all that was ever published was heard here.
    """

    comments: list[dict[str, Any]]
    next: str | None
    complete: bool


Outcome = Stored | Problem


def reject_nul(text: str, what: str) -> str:
    """Return the text. Raises `BadRequest` for a NUL character, which PostgreSQL cannot store."""
    if "\0" in text:
        raise BadRequest(f"a {what} has no NUL character")
    return text
