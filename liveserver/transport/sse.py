"""Server-Sent Events (WHATWG HTML §9.2), in the subset that all clients support.

LF line ends, no BOM, one `data:` line per event, an `id` on every event. The heartbeat is a comment line with
a single LF: with an empty line after it, some clients emit a phantom event.
"""

from __future__ import annotations

from liveserver.transport.form import HttpForm


class EventStream(HttpForm):
    """`text/event-stream`."""

    word = "sse"
    content_type = b"text/event-stream"
    heartbeat = b":\n"

    def frame(self, cursor: bytes, event: bytes, data: bytes) -> bytes:
        if not cursor:  # an empty id would reset the client's last id
            return b"event: %b\ndata: %b\n\n" % (event, data)
        return b"id: %b\nevent: %b\ndata: %b\n\n" % (cursor, event, data)

    def cursor_frame(self, video: str, cursor: bytes) -> bytes:
        # The empty line is needed: only there do browsers take over the id. Without data there is no event.
        return b"id: %b\n\n" % cursor

    def retry(self, milliseconds: int) -> bytes:
        # Without an empty line after it: some clients emit a phantom event for a block of only `retry`.
        return b"retry: %d\n" % milliseconds


SSE = EventStream(chunked=True)
SSE_HTTP10 = EventStream(chunked=False)
SSE_INTERNAL = EventStream(chunked=True, is_internal=True)
SSE_INTERNAL_HTTP10 = EventStream(chunked=False, is_internal=True)
