"""Compression of chunks that many viewers share: each is compressed once, for all viewers and times.

Rules:

1. A compressed chunk is a series of DEFLATE blocks (RFC 1951) that refers to nothing before it and ends on a
   byte (zlib's `Z_FULL_FLUSH`). So the same bytes continue any stream at any point: a gzip stream is its
   header, then chunks; a message of `permessage-deflate` is a chunk.
2. Chunks of less than `min_size` bytes, and those whose compression would delay all viewers, are stored: a
   block with the bytes as they are. They end as flushed ones do, with an empty block: Go's decoder, and so
   Caddy and Traefik, passes nothing on before it.
3. A gzip stream has no trailer: the checksum would be another one for each viewer. Streams end with their
   connection, and decoders deliver what came before.
"""

from __future__ import annotations

import zlib
from typing import Protocol

GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # RFC 1952 §2.3: no name, no time, system unknown
FLUSH_END = b"\x00\x00\xff\xff"  # what a flush ends with: an empty stored block
LEVEL = 6
MESSAGE_WINDOW_BITS = 12  # of WebSocket messages: the library `websockets` asks for as little
MAX_SIZE = 128 * 1024  # bytes; to compress more takes longer than a flush of a segment may
MAX_STORED = 0xFFFF  # bytes in one stored block


class Compressor(Protocol):
    """Makes chunks that continue a DEFLATE stream at any point."""

    def chunk(self, data: bytes) -> bytes: ...


class Stored:
    """Makes chunks with the data as it is: for bytes that only one viewer is sent."""

    def chunk(self, data: bytes) -> bytes:
        blocks = [_stored(data[start : start + MAX_STORED]) for start in range(0, len(data), MAX_STORED)]
        return b"".join([*blocks, b"\0", FLUSH_END])


class Deflater(Stored):
    """Compresses chunks of at least `min_size` bytes.

    `window_bits`: how far back within a chunk it refers, as a power of two.
    """

    def __init__(self, min_size: int, window_bits: int = zlib.MAX_WBITS) -> None:
        self._min_size = min_size
        self._zlib = zlib.compressobj(LEVEL, zlib.DEFLATED, -window_bits)

    def is_compressed(self, data: bytes) -> bool:
        """Return whether `chunk` compresses data of this size."""
        return self._min_size <= len(data) <= MAX_SIZE

    def chunk(self, data: bytes) -> bytes:
        return self.deflate(data) if self.is_compressed(data) else super().chunk(data)

    def deflate(self, data: bytes) -> bytes:
        """Return the data, which is not empty, as a chunk, compressed; it ends with `FLUSH_END`."""
        return self._zlib.compress(data) + self._zlib.flush(zlib.Z_FULL_FLUSH)


STORED = Stored()


def gzip_document(data: bytes) -> bytes:
    """Return a complete gzip document."""
    return zlib.compress(data, LEVEL, 16 + zlib.MAX_WBITS)


def _stored(data: bytes) -> bytes:
    """Return one block with at most `MAX_STORED` bytes as they are (RFC 1951 §3.2.4); it ends on a byte."""
    size = len(data)
    return b"\x00%b%b%b" % (size.to_bytes(2, "little"), (size ^ 0xFFFF).to_bytes(2, "little"), data)
