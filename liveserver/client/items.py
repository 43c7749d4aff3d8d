"""What watching yields: the video's events, and what a viewer has to know besides.

async for item in events:
    match item:
        case Event(): …
        case Gap(): …        # load what you show anew; some events will not come
        case _: …            # nothing to be done: the client does it
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
    | {"open", "close", "message", "abort", "refused", "connection", "disconnected", "lost", "constructor"}
)


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event of the video. `at` is when it was done, in milliseconds since the epoch; `accepted` when a
    dispatcher took it, where that was over a second before or after.

    `data` is any JSON value; `msgspec.UNSET` when the event has none, for null is one; its text, a
    `msgspec.Raw`, when Python cannot hold it (a number out of range, too deep).
    `cursor` is where to resume to get everything after it. None: inside of what one long-poll or one
    message brought; the last of those has it.

    `key` and `version` make it a part of the video's state; its `data` is None when it clears the key.
    `position` is media time in milliseconds; `role` its user's, host or moderator; `by` the moderator that
    did it.
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
    """Connected: from here on events come as they happen. `node` is unknown (None) to a long-poll.

    `resumed`: everything after the cursor asked for follows. `gap`: it does not, a `Gap` comes next.
    `skipped`: events of this kind (`ephemeral`: likes) were too many to be kept since, all others follow.
    `cursor` as an event's; None where a long-poll's first answer already brought events.
    """

    cursor: str | None
    node: str | None = None
    resumed: bool = False
    gap: bool = False
    skipped: str | None = None


class Gap(msgspec.Struct, frozen=True):
    """Events between the item before this one and the next one are gone: too long ago, or not readable.

    `cursor` as an event's; None where a long-poll brought events along with the gap.
    """

    cursor: str | None


class State(msgspec.Struct, frozen=True):
    """The newest event of each key, oldest first: behind a `Ready` that did not resume, and behind a `Gap`.

    `cursor` as an event's; None where a long-poll brought events along with the state.
    """

    cursor: str | None
    events: list[Event]


class Viewers(msgspec.Struct, frozen=True):
    """How many are watching: at this node, in its datacenter, everywhere."""

    here: int = 0
    datacenter: int = 0
    total: int = 0


class Bye(msgspec.Struct, frozen=True):
    """The server ends the connection. `reconnect` False ends the watching, True is followed by a new one."""

    reason: str = ""
    reconnect: bool = True


class Disconnected(msgspec.Struct, frozen=True):
    """The connection is gone, or could not be had; the next attempt, at `url`, is `wait` seconds away."""

    reason: str
    url: str
    wait: float


E = TypeVar("E", Event, Gap, Event | Gap)

Item: TypeAlias = Event | Ready | Gap | State | Viewers | Bye | Disconnected

_event = msgspec.json.Decoder(Event)
_ready = msgspec.json.Decoder(Ready)
_viewers = msgspec.json.Decoder(Viewers)
_bye = msgspec.json.Decoder(Bye)


class Page(msgspec.Struct, frozen=True):
    """The answer to a long-poll, or a WebSocket's message with events."""

    cursor: str
    events: list[Event | Gap]
    gap: bool = False
    state: list[Event] = []
    skipped: str | None = None


class _PlainPage(msgspec.Struct):
    cursor: str
    events: list[Event]
    gap: bool = False
    state: list[msgspec.Raw] = []
    skipped: str | None = None


class _RawPage(msgspec.Struct):
    cursor: str
    events: list[msgspec.Raw]
    gap: bool = False
    state: list[msgspec.Raw] = []
    skipped: str | None = None


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
    """What `state` says; over a WebSocket with its cursor."""

    events: list[msgspec.Raw]
    cursor: str | None = None


_state = msgspec.json.Decoder(StateMessage)


def from_stream(kind: str, data: str, cursor: str) -> list[Item]:
    """The items in one event of an event stream, usually one. Raises `ProtocolError`."""
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
        if kind in CONTROL_WORDS:
            return []  # of a later version
        return [with_cursor(_event_of(data), cursor)]
    except _UNREADABLE as error:
        raise ProtocolError(f"an event {kind!r} that is not one of liveserver's: {error}") from error


def _event_of(text: str | bytes) -> Event:
    """One event, its `data` as it came when Python cannot hold it. Raises one of `_UNREADABLE`."""
    try:
        return _event.decode(text)
    except _UNREADABLE:
        raw = _raw_event.decode(text)
        data = raw.data if bytes(raw.data) else msgspec.UNSET
        where = raw.key, raw.version, raw.position, raw.role, raw.by, raw.accepted
        return Event(raw.id, raw.video, raw.type, raw.user, raw.at, data, None, *where)


def state_events(raw: Sequence[msgspec.Raw]) -> list[Event]:
    """Return the events of a state, without what is none."""
    events = []
    for each in raw:
        with suppress(*_UNREADABLE):
            events.append(_event_of(bytes(each)))
    return events


def from_page(body: bytes | msgspec.Raw) -> Page:
    """The answer to a long-poll; its last event has the page's cursor.

    In the place of an event that is not one, or of all of them, stands a `Gap`. Raises `ProtocolError`.
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
        # Too deep to be looked through, say: what is behind it can still be had.
        if found := _PAGE_CURSOR.match(bytes(body)):
            return Page(found[1].decode(), [Gap(found[1].decode())])
        raise ProtocolError(f"an answer that is not liveserver's: {error}") from error
    if events:
        events[-1] = with_cursor(events[-1], page.cursor)
    return Page(page.cursor, events, page.gap, state_events(page.state), page.skipped)


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
        case Ready() | Gap():
            return msgspec.json.encode(
                {"cursor": item.cursor, "event": type(item).__name__.lower(), "data": item}
            )
        case _:
            return msgspec.json.encode({"cursor": None, "event": type(item).__name__.lower(), "data": item})
