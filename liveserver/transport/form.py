"""What a wire form has to say, whichever it is; and the one table of reasons to say goodbye.

A form turns events into *frames*, once per event and node, whoever reads them. What goes out in one
write is several frames joined and enveloped: in an HTTP/1.1 chunk, or as they are when the client
speaks HTTP/1.0 and the end of the connection is the end of the response.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import Enum

import msgspec


class Reason(Enum):
    """Why a viewer is let go: what `bye` says, and whether to come back."""

    DRAIN = ("drain", True)  # this node is being restarted
    SLOW = ("slow", True)  # nothing was taken for `frontend.slow_timeout`
    OVERLOAD = ("overload", True)  # this node is full
    UNAVAILABLE = ("unavailable", True)  # the video cannot be followed from here just now
    EXPIRED = ("expired", True)  # the permission has run out; come back with a new one

    def __init__(self, word: str, reconnect: bool) -> None:
        self.word = word
        self.reconnect = reconnect


class Ready(msgspec.Struct, frozen=True):
    """The first thing a viewer is told: where it stands."""

    video: str
    node: str
    cursor: str
    resumed: bool
    gap: bool


class Gap(msgspec.Struct, frozen=True):
    """Events before this point are gone; what follows is what is left."""

    video: str
    cursor: str


class Viewers(msgspec.Struct, frozen=True):
    """How many are watching: at this node, in its datacenter, everywhere."""

    video: str
    here: int
    datacenter: int
    total: int


class Bye(msgspec.Struct, frozen=True):
    """The stream ends here, on purpose."""

    reason: str
    reconnect: bool


def encode(data: Ready | Gap | Viewers | Bye) -> bytes:
    """A control frame's data, as JSON on one line."""
    return msgspec.json.encode(data)


class Form(ABC):
    """One wire form of a stream, for clients of HTTP/1.1 (`chunked`) or HTTP/1.0."""

    word: str  # what the form is called where viewers are counted
    content_type: bytes
    heartbeat: bytes  # a frame that means nothing but that the line is alive

    def __init__(self, *, chunked: bool) -> None:
        self.chunked = chunked
        self.end = b"0\r\n\r\n" if chunked else b""
        self.headers = (
            b"content-type: " + self.content_type,
            b"cache-control: no-store, no-transform",
            b"x-accel-buffering: no",
            b"transfer-encoding: chunked" if chunked else b"connection: close",
        )

    @abstractmethod
    def frame(self, cursor: bytes, event: bytes, data: bytes) -> bytes:
        """One event; `data` is JSON without a line break. An empty cursor is none."""

    @abstractmethod
    def retry(self, milliseconds: int) -> bytes:
        """How long to wait before coming back; empty when the form has no word for it."""

    def envelope(self, payload: bytes) -> bytes:
        """Frames as they go on the wire in one write."""
        if self.chunked:
            return b"%x\r\n%b\r\n" % (len(payload), payload)
        return payload
