"""An incremental parser of chunked bodies (RFC 9112 §7.1). No I/O.

The end of the body is determined exactly, so the bytes after it belong to the next request. Extensions and
trailers are ignored, and bounded. The grammar is applied strictly, without the white space that some parsers
allow: a body that two parsers would end differently is refused.
"""

from __future__ import annotations

import re
from enum import Enum, auto

from liveserver.errors import BadRequest, TooLarge

MAX_LINE = 256  # bytes of a chunk's size with its extensions, and of a trailer
MAX_TRAILERS = 32
FREE_CHUNKS = 1_000  # chunks of any size; after them the average size must be at least …
MIN_AVERAGE = 16  # bytes: smaller chunks cost more to parse than to send

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;%b(?:=(?:%b|%b))?)*" % (_TOKEN, _TOKEN, _QUOTED))
_TRAILER = re.compile(rb"(%b):[\t \x21-\x7e\x80-\xff]*" % _TOKEN)
# For framing and routing (RFC 9110 §6.5.1): some parsers would merge them with the headers.
_NO_TRAILERS = frozenset({b"content-length", b"transfer-encoding", b"host", b"connection", b"upgrade"})


class Part(Enum):
    """The expected part of the body."""

    SIZE = auto()
    DATA = auto()
    DATA_END = auto()
    TRAILERS = auto()
    NOTHING = auto()


class ChunkedBody:
    """Parses the bytes it is fed. `rest` are those not parsed yet; once complete, those after the body."""

    __slots__ = ("_chunks", "_data", "_limit", "_missing", "_part", "_trailers", "rest")

    def __init__(self, limit: int) -> None:
        self.rest = b""
        self._limit = limit
        self._data = bytearray()
        self._part = Part.SIZE
        self._missing = 0
        self._trailers = self._chunks = 0

    def feed(self, piece: bytes) -> bytes | None:
        """Parse more bytes; return the body once it is complete. Raises `BadRequest`, `TooLarge`."""
        buffer = self.rest + piece
        at = 0
        while self._part is not Part.NOTHING:
            if self._part is Part.DATA:
                taken = buffer[at : at + self._missing]
                self._data += taken
                at += len(taken)
                self._missing -= len(taken)
                if self._missing:
                    break
                self._part = Part.DATA_END
            end = buffer.find(b"\r\n", at, at + MAX_LINE + 2)
            if end < 0:
                if len(buffer) - at > MAX_LINE:
                    raise BadRequest(f"a line of the chunked body has at most {MAX_LINE} bytes")
                break
            self._parse_line(buffer[at:end])
            at = end + 2
        self.rest = buffer[at:]
        return bytes(self._data) if self._part is Part.NOTHING else None

    def _parse_line(self, line: bytes) -> None:
        """Parse one line, without its end."""
        if self._part is Part.SIZE:
            match = _SIZE.fullmatch(line)
            if match is None:
                raise BadRequest("a chunk begins with its size in hexadecimal digits, and CRLF")
            self._missing = int(match[1], 16)
            self._chunks += 1
            if self._chunks > FREE_CHUNKS and len(self._data) < (self._chunks - FREE_CHUNKS) * MIN_AVERAGE:
                raise BadRequest("the body is in too many tiny chunks; send larger ones")
            if len(self._data) + self._missing > self._limit:
                raise TooLarge(f"the body has at most {self._limit} bytes")
            self._part = Part.DATA if self._missing else Part.TRAILERS
        elif self._part is Part.DATA_END:
            if line:
                raise BadRequest("a chunk is longer than its size says")
            self._part = Part.SIZE
        elif line:
            self._trailers += 1
            match = _TRAILER.fullmatch(line)
            if match is None or self._trailers > MAX_TRAILERS:
                raise BadRequest(f"a chunked body ends with at most {MAX_TRAILERS} trailers, each with CRLF")
            if match[1].lower() in _NO_TRAILERS:
                raise BadRequest("this header cannot be a trailer")
        else:
            self._part = Part.NOTHING
