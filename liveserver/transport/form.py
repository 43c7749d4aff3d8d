"""The interface of wire forms, their control frames, and the table of reasons to disconnect.

A form renders events to *frames*, once per event and node. A write consists of several frames, joined in an
HTTP/1.1 chunk or in a WebSocket message, or unframed for an HTTP/1.0 client, whose response ends with the
connection.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import copy
from enum import Enum
from typing import Self
from weakref import WeakValueDictionary

import msgspec

from liveserver.transport.compression import GZIP_HEADER, STORED, Compressor, gzip_document
from liveserver.transport.filter import Filter

# Types that are sent to viewers whatever their filter: gaps and retractions.
UNFILTERED = frozenset({b"gap", b"skip", b"retract", b"clear"})
OMITTED = b"omitted"
VARY = b"vary: accept-encoding"
EPHEMERAL = "ephemeral"  # the value of `skipped` in `ready`


class Reason(Enum):
    """Why a viewer is disconnected: the word in `bye`, whether to reconnect, and the WebSocket's close code.

    Codes: RFC 6455 §7.4.1; 4008 is a private one.
    """

    DRAIN = ("drain", True, 1001)  # this node is being restarted
    SLOW = ("slow", True, 4008)  # the viewer accepted nothing for `frontend.slow_timeout`
    OVERLOAD = ("overload", True, 1013)  # this node is full
    UNAVAILABLE = ("unavailable", True, 1013)  # this node cannot subscribe to the video at the moment
    EXPIRED = ("expired", True, 1008)  # the token has expired; reconnect with a new one
    REVOKED = ("revoked", False, 1008)  # the token was revoked
    DISCONNECTED = ("disconnected", False, 1008)  # the site has ended the user's connections

    REMOVED = ("removed", False, 1008)  # a moderator has banned the user

    def __init__(self, word: str, reconnect: bool, code: int) -> None:
        self.word = word
        self.reconnect = reconnect
        self.code = code


class Ready(msgspec.Struct, frozen=True, omit_defaults=True):
    """The first frame of a stream: the position of the viewer.

    `skipped`: events of this kind between the cursor and the next frame are no longer held. `at` is this
    node's clock, `heartbeat` the interval of heartbeats on a quiet connection; both in milliseconds.
    `behind`: how many seconds behind live the stream is, if delayed.
    """

    video: str
    node: str
    cursor: str
    resumed: bool
    gap: bool
    skipped: str | msgspec.UnsetType = msgspec.UNSET
    at: int | msgspec.UnsetType = msgspec.UNSET
    heartbeat: int | msgspec.UnsetType = msgspec.UNSET
    behind: int | msgspec.UnsetType = msgspec.UNSET


class Gap(msgspec.Struct, frozen=True):
    """Events before this point are lost; the stream continues with the retained ones."""

    video: str
    cursor: str


class Omitted(msgspec.Struct, frozen=True):
    """So many comments before this point, and after the previous such frame, were left out by `rate`."""

    video: str
    cursor: str
    omitted: int


class ViewersPayload(msgspec.Struct, frozen=True):
    """The viewer counts: at this node, in its datacenter, in all datacenters."""

    video: str
    here: int
    datacenter: int
    total: int


class AudiencePayload(ViewersPayload, frozen=True):
    """The same for moderators: with the users who have watched in this datacenter, and the most viewers."""

    unique: int
    peak: int


class Bye(msgspec.Struct, frozen=True):
    """The server ends the stream."""

    reason: str
    reconnect: bool


def encode(data: Ready | Gap | Omitted | ViewersPayload | Bye) -> bytes:
    """Return a control frame's data, as JSON on one line."""
    return msgspec.json.encode(data)


class Form(ABC):
    """One wire form of a stream."""

    word: str  # the form's name in statistics
    is_internal = False  # for moderators: with the events that others are not sent
    heartbeat: bytes  # keep-alive frame; empty if the transport has its own pings
    filter: Filter | None = None  # what is sent; None: everything
    types: frozenset[bytes] | None = None  # of the filter
    unfiltered: Form | None = None  # the same form without a filter
    uncompressed: Form | None = None  # the form whose frames this one compresses when they are written
    _for_one: Self | None = None

    @property
    def for_one(self) -> Self:
        """The same form for short frames, and for what only one viewer is sent: these are not compressed."""
        return self._for_one or self

    @abstractmethod
    def frame(self, cursor: bytes, event: bytes, data: bytes) -> bytes:
        """Render one event; `data` is JSON without a line break. An empty cursor is omitted."""

    @abstractmethod
    def control(self, cursor: bytes, word: bytes, data: bytes) -> bytes:
        """Render a control frame: `ready`, `gap`, `viewers`, …

        Events cannot be mistaken for control frames, whatever their type.
        """

    def filtered(self, chosen: Filter | None) -> Self:
        """Return this form with a filter; the same object for the same filter."""
        if chosen is None:
            return self
        known = _FILTERED.get((self, chosen))
        if known is None:
            known = copy(self)
            known.filter, known.types, known.unfiltered = chosen, chosen.types, self
            _FILTERED[self, chosen] = known
        assert isinstance(known, type(self))
        return known

    def omitted_frame(self, video: str, cursor: bytes, count: int) -> bytes:
        """Render, for one write, how many comments were left out."""
        return self.envelope(self.control(cursor, OMITTED, encode(Omitted(video, cursor.decode(), count))))

    @abstractmethod
    def cursor_frame(self, video: str, cursor: bytes) -> bytes:
        """Render a cursor alone, for viewers whose filter left out what came."""

    def state_data(self, video: str, cursor: bytes, events: bytes) -> bytes:
        """Return the data of `state`; `events` are JSON objects, joined by commas."""
        return b'{"events":[%b]}' % events

    @abstractmethod
    def joined(self, video: str, cursor: bytes, frames: Sequence[bytes]) -> bytes:
        """Join events' frames for one write; `cursor` is the one after the last."""

    @abstractmethod
    def envelope(self, frame: bytes) -> bytes:
        """Wrap a control frame (`ready`, `gap`…) for one write."""

    @abstractmethod
    def opening(self, cursor: bytes, ready: Ready, retry: int) -> bytes:
        """Render the beginning of a stream.

        `retry`: milliseconds to wait before reconnecting, here and below.
        """

    @abstractmethod
    def disconnect_frame(self, cursor: bytes, reason: Reason, retry: int) -> bytes:
        """Render the end of a stream."""


_FILTERED: WeakValueDictionary[tuple[Form, Filter], Form] = WeakValueDictionary()  # in use


class HttpForm(Form):
    """A form that is a response's body, for clients of HTTP/1.1 (`chunked`) or HTTP/1.0."""

    content_type: bytes

    def __init__(self, *, chunked: bool, is_internal: bool = False) -> None:
        self.chunked = chunked
        self.is_internal = is_internal
        self.compressor: Compressor | None = None
        self.end = b"0\r\n\r\n" if chunked else b""
        self.headers: tuple[bytes, ...] = (
            b"content-type: " + self.content_type,
            b"cache-control: no-store, no-transform",
            b"x-accel-buffering: no",
            b"transfer-encoding: chunked" if chunked else b"connection: close",
        )

    def gzipped(self, compressor: Compressor) -> Self:
        """Return this form as a gzip stream."""
        found = copy(self)
        found.compressor, found.uncompressed = compressor, self
        found.headers = (*self.headers, b"content-encoding: gzip", VARY)
        found._for_one = copy(found)
        found._for_one.compressor = STORED
        return found

    def varying(self) -> Self:
        """Return this form for a server that also has it as a gzip stream."""
        found = copy(self)
        found.headers = (*self.headers, VARY)
        return found

    @abstractmethod
    def retry(self, milliseconds: int) -> bytes:
        """Render how long to wait before reconnecting; empty if the form cannot express it."""

    def control(self, cursor: bytes, word: bytes, data: bytes) -> bytes:
        return self.frame(cursor, word, data)

    def joined(self, video: str, cursor: bytes, frames: Sequence[bytes]) -> bytes:
        return self.envelope(b"".join(frames))

    def envelope(self, frame: bytes) -> bytes:
        return self._framed(frame if self.compressor is None else self.compressor.chunk(frame))

    def _framed(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self.chunked else data

    def opening(self, cursor: bytes, ready: Ready, retry: int) -> bytes:
        head = self.retry(retry) + self.control(cursor, b"ready", encode(ready))
        if self.compressor is None:
            return self._framed(head)
        return self._framed(GZIP_HEADER + STORED.chunk(head))

    def disconnect_frame(self, cursor: bytes, reason: Reason, retry: int) -> bytes:
        return self.for_one.envelope(self._bye(cursor, reason, retry)) + self.end

    def refusal(self, reason: Reason, retry: int) -> bytes:
        """Render a stream that is only its end."""
        bye = self._bye(b"", reason, retry)
        return self._framed(bye if self.compressor is None else gzip_document(bye)) + self.end

    def _bye(self, cursor: bytes, reason: Reason, retry: int) -> bytes:
        return self.retry(retry) + self.control(cursor, b"bye", encode(Bye(reason.word, reason.reconnect)))
