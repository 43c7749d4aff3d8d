"""Writes lines to a file descriptor without blocking the caller, even if a pipe or disk is full.

1. `write` adds a line to a bounded queue and returns; a thread writes the lines.
2. Lines that do not fit into the queue, or cannot be written, are dropped and counted. When writing works
again,
   one line reports how many are missing.
3. The descriptor's flags are not changed: it may be shared, with the shell that started the process for
example.
"""

from __future__ import annotations

import io
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated

import msgspec

from liveserver.instruments import total

MAX_LINES = 10_000
MAX_BYTES = 64 * 1024  # of one line
CHUNK = 64 * 1024  # bytes of one `write`
RETRY = 0.5  # seconds before the next attempt, after a failed one
FLUSH = 1.0  # seconds for the last lines, at the end of the process


class LineWriterStatistics(msgspec.Struct, frozen=True):
    """Counts since the start."""

    written: Annotated[int, total("Log lines written.")]
    dropped: Annotated[
        int, total("Log lines dropped, as their reader is too slow or the disk is full; also in the log.")
    ]


class LineWriter:
    """Writes lines to `descriptor` from a thread. Thread-safe; no method raises.

    `notice` returns the line that reports how many were dropped.
    """

    def __init__(
        self,
        descriptor: int,
        notice: Callable[[int], str] = "{} lines dropped".format,
        max_lines: int = MAX_LINES,
    ) -> None:
        self.descriptor = descriptor
        self._notice = notice
        self._max_lines = max_lines
        self._lines: deque[bytes] = deque()
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._written = self._dropped = 0
        self._unreported = 0
        self._in_flight = 0
        self._is_torn = False  # the last line was written in part

    def write(self, line: str) -> None:
        """Queue a line, without its line end."""
        data = line.encode("utf-8", "backslashreplace")[:MAX_BYTES] + b"\n"
        with self._lock:
            if len(self._lines) >= self._max_lines:
                self._dropped += 1
                self._unreported += 1
                return
            self._lines.append(data)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="line-writer", daemon=True)
                self._thread.start()
        self._wake.set()

    def flush(self, seconds: float = FLUSH) -> None:
        """Wait until all lines are written, for at most `seconds`."""
        deadline = time.monotonic() + seconds
        while (self._lines or self._in_flight) and time.monotonic() < deadline:
            time.sleep(0.005)

    def statistics(self) -> LineWriterStatistics:
        return LineWriterStatistics(written=self._written, dropped=self._dropped)

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            while self._lines:
                with self._lock:
                    lines, reported = self._take(), self._unreported
                    self._in_flight = len(lines)
                head = (
                    [self._notice(reported).encode("utf-8", "backslashreplace") + b"\n"] if reported else []
                )
                is_written = self._write_all(b"".join([*head, *lines]))
                with self._lock:
                    self._in_flight = 0
                    if is_written:
                        self._written += len(lines)
                        self._unreported -= reported
                    else:
                        self._dropped += len(lines)
                        self._unreported += len(lines)

    def _take(self) -> list[bytes]:
        """Remove and return the next lines: a chunk of them, or one longer line."""
        lines: list[bytes] = []
        size = 0
        while self._lines and size < CHUNK:
            lines.append(self._lines.popleft())
            size += len(lines[-1])
        return lines

    def _write_all(self, data: bytes) -> bool:
        """Write all of the data, however long that takes; return False if it cannot be written."""
        rest = memoryview(b"\n" + data if self._is_torn else data)
        self._is_torn = False
        while rest:
            try:
                rest = rest[os.write(self.descriptor, rest) :]
                self._is_torn = bool(rest)
            except BlockingIOError:
                # Another process has made the shared descriptor non-blocking.
                with suppress(OSError, ValueError):
                    select.select([], [self.descriptor], [], RETRY)
            except OSError:
                time.sleep(RETRY)  # it may pass, when the disk has room again
                return False
        return True


class LineWriterFile(io.TextIOBase):
    """A text file over a `LineWriter`, for libraries that print to one."""

    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self._writer = writer
        self._rest = ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._writer.write(line)
        return len(text)

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return os.isatty(self._writer.descriptor)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"
