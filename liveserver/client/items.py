"""What watching yields: the video's events, and what a viewer has to know besides.

async for item in events:
    match item:
        case Event(): …
        case Gap(): …        # load what you show anew; some events will not come
        case _: …            # nothing to be done: the client does it
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from liveserver.client.errors import ProtocolError
from liveserver.event import CONTROL_WORDS


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event of the video. `at` is when it was accepted, in milliseconds since the epoch.

    `data` is any JSON value; `msgspec.UNSET` when the event has none, for null is one.
    `cursor` is where to resume to get everything after it. None: inside of what one long-poll or one
    message brought; the last of those has it.
    """

    id: str
    video: str
    type: str
    user: str | None = None
    at: int = 0
    data: Any = msgspec.UNSET
    cursor: str | None = None


class Ready(msgspec.Struct, frozen=True):
    """Connected: from here on events come as they happen. `node` is unknown (None) to a long-poll.

    `resumed`: everything after the cursor asked for follows. `gap`: it does not, a `Gap` comes next.
    `cursor` as an event's; None where a long-poll's first answer already brought events.
    """

    cursor: str | None
    node: str | None = None
    resumed: bool = False
    gap: bool = False


class Gap(msgspec.Struct, frozen=True):
    """Events between the item before this one and the next one are gone: they were too long ago.

    `cursor` as an event's; None where a long-poll brought events along with the gap.
    """

    cursor: str | None


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


Item: TypeAlias = Event | Ready | Gap | Viewers | Bye | Disconnected

_event = msgspec.json.Decoder(Event)
_ready = msgspec.json.Decoder(Ready)
_viewers = msgspec.json.Decoder(Viewers)
_bye = msgspec.json.Decoder(Bye)


class Page(msgspec.Struct, frozen=True):
    """The answer to a long-poll, or a WebSocket's message with events."""

    cursor: str
    events: list[Event]
    gap: bool = False


_page = msgspec.json.Decoder(Page)


def from_stream(kind: str, data: str, cursor: str) -> list[Item]:
    """The items in one event of an event stream, usually one. Raises `ProtocolError`."""
    try:
        if kind == "ready":
            ready = _ready.decode(data)
            return [ready, Gap(ready.cursor)] if ready.gap else [ready]
        if kind == "gap":
            return [Gap(cursor)]
        if kind == "viewers":
            return [_viewers.decode(data)]
        if kind == "bye":
            return [_bye.decode(data)]
        if kind in CONTROL_WORDS:
            return []  # of a later version
        return [with_cursor(_event.decode(data), cursor)]
    except (msgspec.DecodeError, RecursionError) as error:
        raise ProtocolError(f"an event {kind!r} that is not one of liveserver's: {error}") from error


def from_page(body: bytes) -> Page:
    """The answer to a long-poll; its last event has the page's cursor. Raises `ProtocolError`."""
    try:
        page = _page.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"an answer that is not liveserver's: {error}") from error
    return placed(page)


def placed(page: Page) -> Page:
    """The page, its last event knowing where it stands: behind the page."""
    if page.events:
        page.events[-1] = with_cursor(page.events[-1], page.cursor)
    return page


def with_cursor(plain: Event, cursor: str) -> Event:
    """The same event, knowing where it stands."""
    return msgspec.structs.replace(plain, cursor=cursor)


def to_json(item: Item) -> bytes | None:
    """Return the NDJSON line, `{"cursor":…,"event":…,"data":{…}}`; None for a `Disconnected`."""
    match item:
        case Event():
            plain = msgspec.structs.replace(item, cursor=None)  # and so left out
            return msgspec.json.encode({"cursor": item.cursor, "event": item.type, "data": plain})
        case Disconnected():
            return None
        case Ready() | Gap():
            return msgspec.json.encode(
                {"cursor": item.cursor, "event": type(item).__name__.lower(), "data": item}
            )
        case _:
            return msgspec.json.encode({"cursor": None, "event": type(item).__name__.lower(), "data": item})
