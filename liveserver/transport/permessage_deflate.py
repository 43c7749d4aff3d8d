"""Compression of WebSocket messages (RFC 7692), each on its own in both directions.

Without context takeover a message refers to no other, so the server's are compressed once for all viewers,
and no connection holds a window between two messages of its client.
"""

from __future__ import annotations

import zlib
from typing import Final

from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits

from liveserver.transport.compression import FLUSH_END, MESSAGE_WINDOW_BITS

NAME = "permessage-deflate"
_MIN_BITS, _MAX_BITS = 8, 15
_MAX_OFFERS = 16  # that are looked at
_COMPRESSED, _PLAIN = RsvBits(True, False, False), RsvBits(False, False, False)


def accepted_offer(header: bytes) -> bytes:
    """Return the extension to answer an opening handshake with; empty if the client offers none that fits.

    `header` is the value of `sec-websocket-extensions`. Offers are in the client's order of preference; one
    with an unknown, repeated or malformed parameter is declined (§7.1).
    """
    for offer in header.decode("latin-1").split(",")[:_MAX_OFFERS]:
        name, *parameters = [part.strip() for part in offer.split(";")]
        if name.lower() == NAME and (limits := _limits(parameters)) is not None:
            accepted = f"{NAME}; server_no_context_takeover; client_no_context_takeover"
            if "server_max_window_bits" in limits:
                accepted += f"; server_max_window_bits={MESSAGE_WINDOW_BITS}"
            return accepted.encode()
    return b""


def _limits(parameters: list[str]) -> dict[str, int] | None:
    """Return the parameters of an offer; None if it cannot be accepted."""
    found: dict[str, int] = {}
    for parameter in parameters:
        name, equals, value = (part.strip() for part in parameter.partition("="))
        value = value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
        if name in found:
            return None
        if name in ("server_no_context_takeover", "client_no_context_takeover"):
            if equals:
                return None
            found[name] = 0
        elif name == "client_max_window_bits" and not equals:
            found[name] = _MAX_BITS
        elif name in ("server_max_window_bits", "client_max_window_bits"):
            if not (value.isascii() and value.isdigit() and value[0] != "0" and len(value) <= 2):
                return None
            if not _MIN_BITS <= int(value) <= _MAX_BITS:
                return None
            found[name] = int(value)
        else:
            return None
    return found if found.get("server_max_window_bits", _MAX_BITS) >= MESSAGE_WINDOW_BITS else None


class Inflater(Extension):
    """Decompresses a client's messages; for wsproto. A message of more than `max_size` bytes ends the
    connection before it is decompressed further."""

    name = NAME

    def __init__(self, max_size: int) -> None:
        self._max_size: Final = max_size
        self._left = max_size
        self._zlib: zlib._Decompress | None = None  # of the message that is being received, if compressed
        self._is_control = False

    def offer(self) -> bool:
        return True

    def enabled(self) -> bool:
        return True

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        self._is_control = opcode.iscontrol()
        if not rsv.rsv1:
            return _PLAIN
        if self._is_control or opcode is Opcode.CONTINUATION:
            return CloseReason.PROTOCOL_ERROR
        self._zlib, self._left = zlib.decompressobj(-zlib.MAX_WBITS), self._max_size
        return _COMPRESSED

    def frame_inbound_payload_data(
        self, proto: FrameDecoder | FrameProtocol, data: bytes
    ) -> bytes | CloseReason:
        return data if self._zlib is None or self._is_control else self._inflate(bytes(data))

    def frame_inbound_complete(
        self, proto: FrameDecoder | FrameProtocol, fin: bool
    ) -> bytes | CloseReason | None:
        if not fin or self._zlib is None or self._is_control:
            return None
        rest = self._inflate(FLUSH_END)
        self._zlib = None
        return rest

    def _inflate(self, data: bytes) -> bytes | CloseReason:
        assert self._zlib is not None
        try:
            found = self._zlib.decompress(data, self._left + 1)
        except zlib.error:
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        self._left -= len(found)
        return found if self._left >= 0 else CloseReason.MESSAGE_TOO_BIG
