"""A parser of event streams (WHATWG HTML §9.2.6), without I/O.

1. The events do not depend on how the bytes are cut; each is returned once its empty line has arrived.
2. An event that is incomplete when the stream ends is discarded.
3. A line ends with LF, CR or CRLF. A CR ends it at once; the LF that may follow is then skipped.
"""

from __future__ import annotations

from typing import NamedTuple

_BOM = b"\xef\xbb\xbf"
_LONGEST_RETRY = 15  # digits; longer values are ignored


class SSEEvent(NamedTuple):
    """One event. `id` is the stream's last id: this event's or an earlier one's."""

    type: str
    data: str
    id: str


class SSEError(ValueError):
    """The bytes are not an event stream."""


class SSEParser:
    """An incremental parser: `feed` takes bytes and returns events.

    `retry` is the last reconnection time of the server in milliseconds, or None.
    `limit` bounds the bytes of one event; beyond it `feed` raises `SSEError`.
    """

    def __init__(self, limit: int = 1024 * 1024) -> None:
        self.retry: int | None = None
        self.last_id = ""
        self._limit = limit
        # The stream:
        self._first_line = True
        self._after_cr = False
        # The incomplete line:
        self._pieces: list[bytes] = []
        self._line_size = 0
        # The incomplete event:
        self._type = ""
        self._data: list[str] = []
        self._event_size = 0
        self._id = ""

    def feed(self, chunk: bytes) -> list[SSEEvent]:
        """Return the events that `chunk` completes. Raises `SSEError`."""
        if not chunk:
            return []
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        self._after_cr = chunk.endswith(b"\r")
        events: list[SSEEvent] = []
        for piece in chunk.splitlines(keepends=True):  # of bytes: at LF, CR and CRLF, and nowhere else
            content = piece.rstrip(b"\r\n")
            self._pieces.append(content)
            self._line_size += len(content)
            if self._line_size + self._event_size > self._limit:
                raise SSEError(f"an event of more than {self._limit} bytes")
            if len(content) == len(piece):  # the line goes on in the next chunk
                continue
            line = b"".join(self._pieces)
            self._pieces.clear()
            self._line_size = 0
            if self._first_line:
                self._first_line = False
                line = line.removeprefix(_BOM)
            if line:
                self._take(line)
            elif (event := self._dispatch()) is not None:
                events.append(event)
        return events

    def _take(self, line: bytes) -> None:
        """Process a line that is not empty. A comment's name is empty, and ignored like unknown names."""
        name, _, rest = line.partition(b":")
        value = rest.removeprefix(b" ").decode("utf-8", "replace")
        if name == b"data":
            self._data.append(value)
            self._event_size += len(line)
        elif name == b"event":
            self._type = value
        elif name == b"id":
            if "\0" not in value:
                self._id = value
        elif name == b"retry" and value.isascii() and value.isdigit() and len(value) <= _LONGEST_RETRY:
            self.retry = int(value)

    def _dispatch(self) -> SSEEvent | None:
        self.last_id = self._id
        kind, data = self._type, self._data
        self._type, self._data, self._event_size = "", [], 0
        if not data:
            return None
        return SSEEvent(kind or "message", "\n".join(data), self.last_id)
