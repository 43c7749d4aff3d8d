"""Long-polls' answers, compressed once for all clients that are sent the same one."""

from __future__ import annotations

from liveserver.edge.response import HEAD_END, with_headers
from liveserver.lru import LRU
from liveserver.transport.compression import MAX_SIZE, gzip_document
from liveserver.transport.form import VARY

MAX_ANSWERS = 32  # of at most `MAX_SIZE`, each with its compressed form
VARY_LINE = VARY + b"\r\n"


class CompressedAnswers:
    """Complete responses with their gzip forms; small and very large responses are not compressed."""

    def __init__(self, min_size: int) -> None:
        self._min_size = min_size
        self._known: LRU[bytes, bytes] = LRU(MAX_ANSWERS)

    def compress(self, response: bytes) -> bytes:
        """Return the response for a client that accepts gzip."""
        if len(response) > MAX_SIZE:
            return with_headers(response, VARY_LINE)
        found = self._known.get(response)
        if found is None:
            found = self._compressed(response)
            self._known.put(response, found)
        return found

    def _compressed(self, response: bytes) -> bytes:
        head, _, body = response.partition(HEAD_END)
        if len(body) < self._min_size:
            return with_headers(response, VARY_LINE)
        zipped = gzip_document(body)
        lines = [line for line in head.split(b"\r\n") if not line.startswith(b"content-length:")]
        lines += [b"content-length: %d" % len(zipped), b"content-encoding: gzip", VARY]
        return b"\r\n".join(lines) + HEAD_END + zipped
