"""Documents that the edge serves itself: from memory, compressed once, over keep-alive connections.

The web application needs 200,000 instructions for each, on the core of the fan-out.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from functools import cached_property

from liveserver.edge.accept import accepts_gzip
from liveserver.edge.answer import Answer, Peer
from liveserver.edge.cors import ALLOW
from liveserver.edge.request import Request
from liveserver.edge.response import date_line

GZIP_MIN_SIZE = 512  # bytes; smaller documents fit into a packet uncompressed
GZIP_LEVEL = 9
_OK, _NOT_MODIFIED = b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 304 Not Modified\r\n"


class Page:
    """One document; a handler of GET. `headers` have lower-case names, `content-type` among them.

    `is_open`: pages of all origins may read it. `headers_for` gives the header lines that depend on the
    query, each with its line end.
    """

    def __init__(
        self,
        content: bytes,
        etag: str,
        headers: Mapping[str, str],
        *,
        is_open: bool = False,
        headers_for: Callable[[str], bytes] | None = None,
    ) -> None:
        self._content = content
        self._etag = etag.encode()
        self._headers = b"".join(f"{name}: {value}\r\n".encode() for name, value in headers.items())
        self._is_open = is_open
        self._headers_for = headers_for

    async def answer(self, request: Request, peer: Peer) -> Answer:
        """Return the document, or a 304 (RFC 9110 §13.1.2)."""
        if self._is_open and ALLOW not in request.cors:
            request.cors += ALLOW + b"*\r\n"
        own = self._headers_for(request.query) if self._headers_for is not None else b""
        is_zipped = self._zipped is not None and accepts_gzip(request.headers.get(b"accept-encoding", b""))
        headers, body = self._variants[is_zipped]
        if (known := request.headers.get(b"if-none-match")) is not None and self._is_known(known):
            return b"".join((_NOT_MODIFIED, date_line(), own, headers, b"\r\n"))
        return b"".join((_OK, date_line(), own, headers, body))

    def _is_known(self, known: bytes) -> bool:
        tags = [tag.strip().removeprefix(b"W/") for tag in known.split(b",")]
        own = b'"%b"' % self._etag
        return own in tags or own[:-1] + b'-gzip"' in tags or tags == [b"*"]

    @cached_property
    def _zipped(self) -> bytes | None:
        if len(self._content) < GZIP_MIN_SIZE:
            return None
        zipped = gzip.compress(self._content, GZIP_LEVEL, mtime=0)
        return zipped if len(zipped) < len(self._content) else None

    @cached_property
    def _variants(self) -> tuple[tuple[bytes, bytes], tuple[bytes, bytes]]:
        """Return, plain and compressed, the common header lines, and the rest of a full response."""
        vary = b"vary: accept-encoding\r\n" if self._zipped is not None else b""
        headers = b'%b%betag: "%b' % (self._headers, vary, self._etag)
        plain, zipped = self._content, self._zipped or b""
        return (
            (headers + b'"\r\n', b"content-length: %d\r\n\r\n%b" % (len(plain), plain)),
            (
                headers + b'-gzip"\r\n',
                b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n%b" % (len(zipped), zipped),
            ),
        )
