"""WebSocket messages (RFC 6455): the server's, as frames shared by all viewers, and the clients'.

A server's frames are not masked, so they are rendered once for all viewers. The events of one write are one
message, `{"events":{"video":…,"cursor":…,"events":[…]}}`, in which an event is its JSON. A write has either
events or one message of another kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Self

import msgspec

from liveserver.errors import BadRequest, Problem
from liveserver.malformed import explain_decode_error
from liveserver.transport.compression import FLUSH_END, Deflater
from liveserver.transport.form import Form, Ready, Reason, encode

PING = b"\x89\x00"
_TEXT, _CLOSE, _PONG = 0x81, 0x88, 0x8A
_COMPRESSED = 0x40  # RSV1 (RFC 7692 §6)
_MAX_REASON = 123  # bytes that fit into a close frame beside the code


class Subscribe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Watch a video from a cursor, or beginning with the last `replay` events; `behind` seconds behind
    live. `types`: of events; without, all. `rate`: comments a second, at most. None is as if absent.
    """

    video: str
    cursor: str | None = None
    replay: int | None = None
    behind: float | None = None
    types: list[str] | None = None
    rate: int | None = None


class Unsubscribe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Stop watching a video."""

    video: str


class Behind(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Change how many seconds behind live a watched video is."""

    video: str
    seconds: float


class Ping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Answered by `pong`: scripts in browsers cannot send the protocol's own pings."""


class _Message(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    subscribe: Subscribe | None = None
    unsubscribe: Unsubscribe | None = None
    behind: Behind | None = None
    ping: Ping | None = None


_DECODER = msgspec.json.Decoder(_Message)


def parse_message(text: str | bytes) -> Subscribe | Unsubscribe | Behind | Ping:
    """Parse a client's message. Raises `BadRequest`."""
    try:
        message = _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise BadRequest(f"malformed message: {explain_decode_error(error, _Message)}") from None
    every = (message.subscribe, message.unsubscribe, message.behind, message.ping)
    present = [each for each in every if each is not None]
    if len(present) != 1:
        raise BadRequest(
            'a message is one of {"subscribe":{…}}, {"unsubscribe":{…}}, {"behind":{…}}, {"ping":{}}'
        )
    return present[0]


class SocketForm(Form):
    """Messages of a WebSocket. Pings are sent per connection, not per video: no heartbeat here."""

    word = "ws"
    heartbeat = b""

    def frame(self, cursor: bytes, event: bytes, data: bytes) -> bytes:
        return data

    def control(self, cursor: bytes, word: bytes, data: bytes) -> bytes:
        return self._message(b'{"%b":%b}' % (word, data))

    def __init__(self, *, is_internal: bool = False) -> None:
        self.is_internal = is_internal
        self.deflater: Deflater | None = None

    def deflated(self, deflater: Deflater) -> Self:
        """Return this form for clients that have agreed to `permessage-deflate`."""
        found = copy(self)
        found.deflater, found.uncompressed, found._for_one = deflater, self, self
        return found

    def _message(self, payload: bytes) -> bytes:
        if self.deflater is None or not self.deflater.is_compressed(payload):
            return _frame(_TEXT, payload)
        return _frame(_TEXT | _COMPRESSED, self.deflater.deflate(payload).removesuffix(FLUSH_END))

    def cursor_frame(self, video: str, cursor: bytes) -> bytes:
        return self.joined(video, cursor, ())

    def state_data(self, video: str, cursor: bytes, events: bytes) -> bytes:
        return b'{"video":"%b","cursor":"%b","events":[%b]}' % (video.encode(), cursor, events)

    def joined(self, video: str, cursor: bytes, frames: Sequence[bytes]) -> bytes:
        # A video's name and a cursor need no escaping: their alphabets have no quotes and no backslashes.
        return self._message(
            b'{"events":{"video":"%b","cursor":"%b","events":[%b]}}'
            % (video.encode(), cursor, b",".join(frames))
        )

    def envelope(self, frame: bytes) -> bytes:
        return frame

    def opening(self, cursor: bytes, ready: Ready, retry: int) -> bytes:
        return self.for_one.control(cursor, b"ready", encode(ready))

    def disconnect_frame(self, cursor: bytes, reason: Reason, retry: int) -> bytes:
        bye = {"reason": reason.word, "reconnect": reason.reconnect, "retry": retry}
        return self.for_one.control(b"", b"bye", msgspec.json.encode(bye)) + close(reason.code, reason.word)


def error(problem: Problem, video: str | None) -> bytes:
    """Return the message that reports an error, with its video if it is about one."""
    document = msgspec.json.decode(problem.body())
    return SOCKET.control(
        b"", b"error", msgspec.json.encode(document | ({"video": video} if video is not None else {}))
    )


def pong(payload: bytes) -> bytes:
    """Return the answer to a ping with this payload, of at most 125 bytes."""
    return _frame(_PONG, payload)


def close(code: int, reason: str) -> bytes:
    """Return the last frame; a reason that is too long is cut."""
    text = reason.encode()[:_MAX_REASON].decode(errors="ignore").encode()
    return _frame(_CLOSE, code.to_bytes(2, "big") + text)


def _frame(opcode: int, payload: bytes) -> bytes:
    """Return one whole, unmasked frame (§5.2)."""
    size = len(payload)
    if size < 126:
        return b"%c%c%b" % (opcode, size, payload)
    if size < 1 << 16:
        return b"%c\x7e%b%b" % (opcode, size.to_bytes(2, "big"), payload)
    return b"%c\x7f%b%b" % (opcode, size.to_bytes(8, "big"), payload)


SOCKET = SocketForm()
SOCKET_INTERNAL = SocketForm(is_internal=True)
PONG_MESSAGE = SOCKET.control(b"", b"pong", b"{}")
