"""The items that watching yields: the video's events, and changes of the connection.

async for item in events:
    match item:
        case Event(): …
        case Gap(): …        # reload what you show; some events are missing
        case _: …            # needs no action
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar

import msgspec

from .errors import ProtocolError

# The event names that a server uses itself; a published type is never one of them.
CONTROL_WORDS = frozenset(
    {"ready", "gap", "bye", "state", "viewers", "events", "error", "ping", "pong", "subscribe", "unsubscribe"}
    | {"omitted"}
    | {"open", "close", "message", "abort", "refused", "connection", "disconnected", "lost", "constructor"}
)


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event of the video. `at` is when it happened, in milliseconds since the epoch; `accepted` is when a
    dispatcher accepted it, if that was over a second earlier or later.

    `data` is any JSON value; `msgspec.UNSET` if the event has none (null is a value); its text, a
    `msgspec.Raw`, if Python cannot represent it (a number out of range, nested too deeply).
    `cursor` is where to resume to get everything after this event. It is None for all but the last event of a
    long-poll's answer or a WebSocket message.

    `key` and `version` make it part of the video's state; its `data` is None if it clears the key.
    `position` is media time in milliseconds; `role` is the user's, host or moderator; `by` is the moderator
    who caused the event.
    """

    id: str
    video: str
    type: str
    user: str | None = None
    at: int = 0
    data: Any = msgspec.UNSET
    cursor: str | None = None
    key: str | None = None
    version: int | None = None
    position: int | None = None
    role: str | None = None
    by: str | None = None
    accepted: int | None = None


class Ready(msgspec.Struct, frozen=True):
    """The connection is established; events follow as they happen. `node` is None for a long-poll.

    `resumed`: everything after the requested cursor follows. `gap`: it does not; a `Gap` is next.
    `skipped`: events of this kind (`ephemeral`: likes) are no longer retained; all others follow.
    `cursor` is as an event's; None if a long-poll's first answer already had events.
    """

    cursor: str | None
    node: str | None = None
    resumed: bool = False
    gap: bool = False
    skipped: str | None = None


class Gap(msgspec.Struct, frozen=True):
    """Events between the previous and the next item are missing: too old, or malformed.

    `cursor` is as an event's; None if a long-poll's answer had events besides the gap.
    """

    cursor: str | None


class State(msgspec.Struct, frozen=True):
    """The newest event of each key, oldest first: after a `Ready` that did not resume, and after a `Gap`.

    `cursor` is as an event's; None if a long-poll's answer had events besides the state.
    """

    cursor: str | None
    events: list[Event]


class Viewers(msgspec.Struct, frozen=True):
    """The number of viewers: at this node, in its datacenter, in all datacenters."""

    here: int = 0
    datacenter: int = 0
    total: int = 0


class Omitted(msgspec.Struct, frozen=True):
    """So many comments since the previous `Omitted` were left out, as `rate` asks for. `cursor` is as an
    event's; None if a long-poll's answer had events as well."""

    omitted: int
    cursor: str | None = None


class Bye(msgspec.Struct, frozen=True):
    """The server ends the connection. The client reconnects if `reconnect`; otherwise watching ends."""

    reason: str = ""
    reconnect: bool = True


class Disconnected(msgspec.Struct, frozen=True):
    """The connection was lost or could not be made; the next attempt, at `url`, is in `wait` seconds."""

    reason: str
    url: str
    wait: float


E = TypeVar("E", Event, Gap, Event | Gap)

Item: TypeAlias = Event | Ready | Gap | State | Viewers | Omitted | Bye | Disconnected

_event = msgspec.json.Decoder(Event)
_ready = msgspec.json.Decoder(Ready)
_viewers = msgspec.json.Decoder(Viewers)
_bye = msgspec.json.Decoder(Bye)
_omitted = msgspec.json.Decoder(Omitted)


class Page(msgspec.Struct, frozen=True):
    """A long-poll's answer, or a WebSocket message with events."""

    cursor: str
    events: list[Event | Gap]
    gap: bool = False
    state: list[Event] = []
    skipped: str | None = None
    omitted: int = 0


class _PlainPage(msgspec.Struct):
    cursor: str
    events: list[Event]
    gap: bool = False
    state: list[msgspec.Raw] = []
    skipped: str | None = None
    omitted: int = 0


class _RawPage(msgspec.Struct):
    cursor: str
    events: list[msgspec.Raw]
    gap: bool = False
    state: list[msgspec.Raw] = []
    skipped: str | None = None
    omitted: int = 0


class _RawEvent(msgspec.Struct):
    id: str
    video: str
    type: str
    user: str | None = None
    at: int = 0
    data: msgspec.Raw = msgspec.Raw(b"")
    key: str | None = None
    version: int | None = None
    position: int | None = None
    role: str | None = None
    by: str | None = None
    accepted: int | None = None


_page = msgspec.json.Decoder(_PlainPage)
_raw_page = msgspec.json.Decoder(_RawPage)
_raw_event = msgspec.json.Decoder(_RawEvent)
_PAGE_CURSOR = re.compile(rb'\s*\{"(?:video":"[^"]*",")?cursor":"([!-~]{1,128}?)",')
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class StateMessage(msgspec.Struct):
    """The data of `state`; over a WebSocket with its cursor."""

    events: list[msgspec.Raw]
    cursor: str | None = None


_state = msgspec.json.Decoder(StateMessage)


def from_stream(kind: str, data: str, cursor: str) -> list[Item]:
    """Return the items of one event of an event stream, usually one. Raises `ProtocolError`."""
    try:
        if kind == "ready":
            ready = _ready.decode(data)
            return [ready, Gap(ready.cursor)] if ready.gap else [ready]
        if kind == "gap":
            return [Gap(cursor)]
        if kind == "state":
            return [State(cursor, state_events(_state.decode(data).events))]
        if kind == "viewers":
            return [_viewers.decode(data)]
        if kind == "bye":
            return [_bye.decode(data)]
        if kind == "omitted":
            return [_omitted.decode(data)]
        if kind in CONTROL_WORDS:
            return []  # of a later version
        return [with_cursor(_event_of(data), cursor)]
    except _UNREADABLE as error:
        raise ProtocolError(f"an event {kind!r} that is not one of liveserver's: {error}") from error


def _event_of(text: str | bytes) -> Event:
    """Return one event; its `data` is raw if Python cannot represent it. Raises one of `_UNREADABLE`."""
    try:
        return _event.decode(text)
    except _UNREADABLE:
        raw = _raw_event.decode(text)
        data = raw.data if bytes(raw.data) else msgspec.UNSET
        where = raw.key, raw.version, raw.position, raw.role, raw.by, raw.accepted
        return Event(raw.id, raw.video, raw.type, raw.user, raw.at, data, None, *where)


def state_events(raw: Sequence[msgspec.Raw]) -> list[Event]:
    """Return the events of a state, without malformed ones."""
    events = []
    for each in raw:
        with suppress(*_UNREADABLE):
            events.append(_event_of(bytes(each)))
    return events


def from_page(body: bytes | msgspec.Raw) -> Page:
    """Return the items of a long-poll's answer; the last event has the page's cursor.

    A malformed event is replaced by a `Gap`; so are all if none can be read. Raises `ProtocolError`.
    """
    events: list[Event | Gap] = []
    try:
        try:
            page: _PlainPage | _RawPage = _page.decode(body)
            events += page.events  # type: ignore[arg-type]
        except _UNREADABLE:
            page = _raw_page.decode(body)
            for each in page.events:
                try:
                    events.append(_event_of(bytes(each)))
                except _UNREADABLE:
                    events.append(Gap(None))
    except _UNREADABLE as error:
        # Nested too deeply, for example: continue behind it.
        if found := _PAGE_CURSOR.match(bytes(body)):
            return Page(found[1].decode(), [Gap(found[1].decode())])
        raise ProtocolError(f"an answer that is not liveserver's: {error}") from error
    if events:
        events[-1] = with_cursor(events[-1], page.cursor)
    return Page(page.cursor, events, page.gap, state_events(page.state), page.skipped, page.omitted)


def with_cursor(plain: E, cursor: str) -> E:
    """Return the same event or gap with its cursor."""
    return msgspec.structs.replace(plain, cursor=cursor)


def to_json(item: Item) -> bytes | None:
    """Return the NDJSON line, `{"cursor":…,"event":…,"data":{…}}`; None for a `Disconnected`."""
    match item:
        case Event():
            plain = msgspec.structs.replace(item, cursor=None)  # and so left out
            return msgspec.json.encode({"cursor": item.cursor, "event": item.type, "data": plain})
        case Disconnected():
            return None
        case State():
            data = {"events": item.events}
            return msgspec.json.encode({"cursor": item.cursor, "event": "state", "data": data})
        case Ready() | Gap() | Omitted():
            return msgspec.json.encode(
                {"cursor": item.cursor, "event": type(item).__name__.lower(), "data": item}
            )
        case _:
            return msgspec.json.encode({"cursor": None, "event": type(item).__name__.lower(), "data": item})
