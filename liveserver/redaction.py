"""Redacts retracted events: their content is removed."""

from __future__ import annotations

import msgspec

from liveserver.event import RETRACT, Event


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
    return msgspec.json.encode({"id": target})[:-1] + b","


def redacted(data: bytes) -> bytes | None:
    """Return an event's JSON as a retraction of itself; None when it is not an event's."""
    try:
        event = msgspec.json.decode(data, type=Event)
    except msgspec.DecodeError:
        return None
    target = msgspec.Raw(msgspec.json.encode({"id": event.id}))
    return msgspec.json.encode(Event(event.id, event.video, RETRACT, at=event.at, data=target))
