"""What was taken back keeps its place in the log, and loses its content.

Whoever passes the place later is told just there that the event is retracted. So numbers stay dense,
and each event's id is told once.
"""

from __future__ import annotations

import msgspec

from liveserver.event import RETRACT, Event

RETRACT_TYPE = RETRACT.encode()


class _Target(msgspec.Struct):
    """The data of a retraction: which event it takes back."""

    id: str


class _Retraction(msgspec.Struct):
    data: _Target


def beginning_of_target(retraction: bytes) -> bytes | None:
    """How the JSON of the event begins that this retraction's JSON takes back; None when it names none."""
    try:
        target = msgspec.json.decode(retraction, type=_Retraction).data.id
    except msgspec.DecodeError:
        return None
    return msgspec.json.encode({"id": target})[:-1] + b","


def emptied(data: bytes) -> bytes | None:
    """An event's JSON as a retraction of itself; None when it is no event's."""
    try:
        event = msgspec.json.decode(data, type=Event)
    except msgspec.DecodeError:
        return None
    target = msgspec.Raw(msgspec.json.encode({"id": event.id}))
    return msgspec.json.encode(Event(event.id, event.video, RETRACT, at=event.at, data=target))
