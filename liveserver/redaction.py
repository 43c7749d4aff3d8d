"""Redacts retracted events: their content is removed. A pin repeats a comment's, and is redacted with it."""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from liveserver.event import RETRACT, Event

PIN = b"pin"


class PinnedComment(NamedTuple):
    """The comment that a pin shows: how its JSON begins, its user, and when it was pinned."""

    prefix: bytes
    user: str | None
    at: int


class _Pinned(msgspec.Struct):
    comment: str
    user: str | None = None


class _Pin(msgspec.Struct):
    type: Literal["pin"]
    data: _Pinned
    at: int = 0


class _Target(msgspec.Struct):
    """The data of a retraction: the event that it takes back."""

    id: str


class _Retraction(msgspec.Struct):
    data: _Target


def target_prefix(retraction: bytes) -> bytes | None:
    """Return how the JSON of the retracted event begins; None when the retraction names none."""
    try:
        target = msgspec.json.decode(retraction, type=_Retraction).data.id
    except msgspec.DecodeError:
        return None
    return _prefix(target)


def _prefix(name: str) -> bytes:
    return msgspec.json.encode({"id": name})[:-1] + b","


def pinned_comment(pin: bytes) -> PinnedComment | None:
    """Return the comment of a pin's JSON; None if it has only a text, or is another event's."""
    try:
        event = msgspec.json.decode(pin, type=_Pin)
    except msgspec.DecodeError:
        return None
    return PinnedComment(_prefix(event.data.comment), event.data.user, event.at)


def emptied(data: bytes) -> bytes | None:
    """Return a keyed event's JSON as one that clears its key; None when it is not an event's."""
    try:
        event = msgspec.json.decode(data, type=Event)
    except msgspec.DecodeError:
        return None
    return msgspec.json.encode(msgspec.structs.replace(event, data=msgspec.Raw(b"null")))


def redacted(data: bytes) -> bytes | None:
    """Return an event's JSON as a retraction of itself; None when it is not an event's."""
    try:
        event = msgspec.json.decode(data, type=Event)
    except msgspec.DecodeError:
        return None
    target = msgspec.Raw(msgspec.json.encode({"id": event.id}))
    return msgspec.json.encode(Event(event.id, event.video, RETRACT, at=event.at, data=target))
