"""What a wire form has to say, whichever it is; and the one table of reasons to say goodbye.

A form turns events into *frames*, once per event and node. What goes out in one
write is several frames joined: in an HTTP/1.1 chunk, in a WebSocket message, or as they are when the
client speaks HTTP/1.0 and the end of the connection is the end of the response.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import Enum

import msgspec

EPHEMERAL = "ephemeral"  # what `ready` says was skipped


class Reason(Enum):
    """Why a viewer is let go: what `bye` says, whether to come back, and the WebSocket's close code.

    Codes: RFC 6455 §7.4.1, and 4008 of those that are private.
    """

    DRAIN = ("drain", True, 1001)  # this node is being restarted
    SLOW = ("slow", True, 4008)  # nothing was taken for `frontend.slow_timeout`
    OVERLOAD = ("overload", True, 1013)  # this node is full
    UNAVAILABLE = ("unavailable", True, 1013)  # this node cannot subscribe to the video at the moment
    EXPIRED = ("expired", True, 1008)  # the permission has run out; come back with a new one
    REVOKED = ("revoked", False, 1008)  # the token is not good any more
    DISCONNECTED = ("disconnected", False, 1008)  # the site has ended the user's connections

    REMOVED = ("removed", False, 1008)  # a moderator has banned the user

    def __init__(self, word: str, reconnect: bool, code: int) -> None:
        self.word = word
        self.reconnect = reconnect
        self.code = code


class Ready(msgspec.Struct, frozen=True, omit_defaults=True):
    """The first thing a viewer receives: where it stands.

    `skipped`: events of this kind that lie between the cursor and what follows are not held any more. `at` is
    this node's clock, `heartbeat` how often a quiet connection is written to; both in milliseconds. `behind`:
    how many seconds behind live, if at all.
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
    """Events before this point are gone; what follows is what is left."""

    video: str
    cursor: str


class ViewersPayload(msgspec.Struct, frozen=True):
    """How many are watching: at this node, in its datacenter, everywhere."""

    video: str
    here: int
    datacenter: int
    total: int


class Bye(msgspec.Struct, frozen=True):
    """The stream ends here, on purpose."""

    reason: str
    reconnect: bool


def encode(data: Ready | Gap | ViewersPayload | Bye) -> bytes:
    """A control frame's data, as JSON on one line."""
    return msgspec.json.encode(data)


class Form(ABC):
    """One wire form of a stream."""

    word: str  # what the form is called where viewers are counted
    is_internal = False  # for moderators: with the events that others are not sent
    heartbeat: bytes  # a frame that means nothing but that the line is alive; empty: there are other means

    @abstractmethod
    def frame(self, cursor: bytes, event: bytes, data: bytes) -> bytes:
        """One event; `data` is JSON without a line break. An empty cursor is none."""

    @abstractmethod
    def control(self, cursor: bytes, word: bytes, data: bytes) -> bytes:
        """Return the frame of what is no event: `ready`, `gap`, `viewers`, … An event is never one of these,
        whatever its type."""

    def state_data(self, video: str, cursor: bytes, events: bytes) -> bytes:
        """Return the data of `state`; `events` are JSON objects, joined by commas."""
        return b'{"events":[%b]}' % events

    @abstractmethod
    def joined(self, video: str, cursor: bytes, frames: Sequence[bytes]) -> bytes:
        """Events' frames as they go on the wire in one write; `cursor` is the one after the last."""

    @abstractmethod
    def envelope(self, frame: bytes) -> bytes:
        """The frame of what is no event (`ready`, `gap`…), as it goes on the wire in one write."""

    @abstractmethod
    def opening(self, cursor: bytes, ready: Ready, retry: int) -> bytes:
        """The first words. `retry`: milliseconds to wait before coming back, here and below."""

    @abstractmethod
    def disconnect_frame(self, cursor: bytes, reason: Reason, retry: int) -> bytes:
        """The last words, and the end."""


class HttpForm(Form):
    """A form that is a response's body, for clients of HTTP/1.1 (`chunked`) or HTTP/1.0."""

    content_type: bytes

    def __init__(self, *, chunked: bool, is_internal: bool = False) -> None:
        self.chunked = chunked
        self.is_internal = is_internal
        self.end = b"0\r\n\r\n" if chunked else b""
        self.headers = (
            b"content-type: " + self.content_type,
            b"cache-control: no-store, no-transform",
            b"x-accel-buffering: no",
            b"transfer-encoding: chunked" if chunked else b"connection: close",
        )

    @abstractmethod
    def retry(self, milliseconds: int) -> bytes:
        """How long to wait before coming back; empty when the form has no word for it."""

    def control(self, cursor: bytes, word: bytes, data: bytes) -> bytes:
        return self.frame(cursor, word, data)

    def joined(self, video: str, cursor: bytes, frames: Sequence[bytes]) -> bytes:
        return self.envelope(b"".join(frames))

    def envelope(self, frame: bytes) -> bytes:
        if self.chunked:
            return b"%x\r\n%b\r\n" % (len(frame), frame)
        return frame

    def opening(self, cursor: bytes, ready: Ready, retry: int) -> bytes:
        return self.envelope(self.retry(retry) + self.control(cursor, b"ready", encode(ready)))

    def disconnect_frame(self, cursor: bytes, reason: Reason, retry: int) -> bytes:
        bye = self.control(cursor, b"bye", encode(Bye(reason.word, reason.reconnect)))
        return self.envelope(self.retry(retry) + bye) + self.end
