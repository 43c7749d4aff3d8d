"""The likes backend's commands and their results."""

from __future__ import annotations

from typing import Any

import msgspec

from liveserver.backend.received import ReceivedEvents
from liveserver.errors import BadRequest, Problem
from liveserver.event import USERS, is_user


class Like(msgspec.Struct, frozen=True):
    """A reaction to a video. `key` is the request's Idempotency-Key, which is per user; `position` is media
    time, in milliseconds.
    """

    video: str
    user: str | None
    reaction: str
    key: str | None = None
    position: int | None = None
    role: str | None = None

    route = "likes"


class Comment(msgspec.Struct, frozen=True):
    """A comment on a video: plain text, never markup."""

    video: str
    user: str | None
    text: str
    key: str | None = None
    position: int | None = None
    role: str | None = None

    route = "comments"


class Retraction(msgspec.Struct, frozen=True):
    """The retraction of a comment. Idempotent.

    `user`: only if it is this user's own. `event` is the id of its event, `by` the moderator.
    """

    video: str
    id: str
    event: str | None = None
    by: str | None = None
    user: str | None = None


Command = Like | Comment | Retraction | ReceivedEvents


class Stored(msgspec.Struct, frozen=True, omit_defaults=True):
    """The result of a command: its event's id and, for a like, the video's total after it."""

    id: str
    total: int | msgspec.UnsetType = msgspec.UNSET


class OutboxRow(msgspec.Struct, frozen=True):
    """An event to be sent to a dispatcher.

    `sender` names one run of one backend process; `number` counts its rows from 1. `body` is the event in
    the form of `POST /v1/events`.
    """

    sender: str
    number: int
    is_retraction: bool
    body: bytes

    @property
    def position(self) -> tuple[str, int]:
        return self.sender, self.number


Totals = dict[tuple[str, str], int]  # by video and reaction


class Acknowledged(msgspec.Struct):
    """What a dispatcher has accepted: outbox rows to remove, and totals to record as announced."""

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
    """A page of a video's comments, newest first; `next` is the `before` of the next page, if there is one.

    `complete`: the video's log has been read here without a gap.
    """

    comments: list[dict[str, Any]]
    next: str | None
    complete: bool


Outcome = Stored | Problem


def reject_nul(text: str, what: str) -> str:
    """Return the text. Raises `BadRequest` for a NUL character, which PostgreSQL cannot store."""
    if "\0" in text:
        raise BadRequest(f"a {what} may not have a NUL character")
    return text


def check_user(user: str) -> str:
    """Return the user. Raises `BadRequest` for one that requests cannot name."""
    if not is_user(user):
        raise BadRequest(USERS)
    return user
