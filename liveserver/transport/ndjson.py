"""Newline-delimited JSON: one object per line, for programs without an SSE parser."""

from __future__ import annotations

from liveserver.transport.form import HttpForm


class JsonLines(HttpForm):
    """`application/x-ndjson`; an empty line is the heartbeat."""

    word = "ndjson"
    content_type = b"application/x-ndjson"
    heartbeat = b"\n"

    def frame(self, cursor: bytes, event: bytes, data: bytes) -> bytes:
        if not cursor:
            return b'{"cursor":null,"event":"%b","data":%b}\n' % (event, data)
        # Cursors and types need no escaping: their alphabets have no quotes and no backslashes.
        return b'{"cursor":"%b","event":"%b","data":%b}\n' % (cursor, event, data)

    def cursor_frame(self, video: str, cursor: bytes) -> bytes:
        return b'{"cursor":"%b"}\n' % cursor

    def retry(self, milliseconds: int) -> bytes:
        return b""


NDJSON = JsonLines(chunked=True)
NDJSON_HTTP10 = JsonLines(chunked=False)
NDJSON_INTERNAL = JsonLines(chunked=True, is_internal=True)
NDJSON_INTERNAL_HTTP10 = JsonLines(chunked=False, is_internal=True)
