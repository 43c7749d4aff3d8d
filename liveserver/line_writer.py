"""Lines to a file descriptor, without ever waiting for it: a pipe that is full, a disk that is full.

1. `write` puts a line into a bounded queue and returns; a thread does the writing.
2. What finds the queue full, or cannot be written, is dropped and counted. Once writing works again, one line
   says how many are missing.
3. The descriptor's own flags stay as they are: others share them, such as the shell that started us.
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

MOST_LINES = 10_000
MOST_BYTES = 64 * 1024  # of one line
CHUNK = 64 * 1024  # bytes of one `write`
RETRY = 0.5  # seconds before the next attempt, after a failed one
FLUSH = 1.0  # seconds for the last lines, at the end of the process


class LineWriterStatistics(msgspec.Struct, frozen=True):
    """Counts since the start."""

    written: Annotated[int, total("Log lines written.")]
    dropped: Annotated[
        int, total("Log lines dropped: their reader is too slow, or the disk is full. The log says so, too.")
    ]


class LineWriter:
    """Writes lines to `descriptor` from a thread. Thread-safe; nothing here raises.

    `notice` gives the line that says how many were dropped.
    """

    def __init__(
        self,
        descriptor: int,
        notice: Callable[[int], str] = "{} lines dropped".format,
        most_lines: int = MOST_LINES,
    ) -> None:
        self.descriptor = descriptor
        self._notice = notice
        self._most_lines = most_lines
        self._lines: deque[bytes] = deque()
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._written = self._dropped = 0
        self._unreported = 0
        self._in_flight = 0
        self._is_torn = False  # the last line written has no end

    def write(self, line: str) -> None:
        """Queue a line, which is given without its end."""
        data = line.encode("utf-8", "backslashreplace")[:MOST_BYTES] + b"\n"
        with self._lock:
            if len(self._lines) >= self._most_lines:
                self._dropped += 1
                self._unreported += 1
                return
            self._lines.append(data)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="line-writer", daemon=True)
                self._thread.start()
        self._wake.set()

    def flush(self, seconds: float = FLUSH) -> None:
        """Wait until everything is written, at most so many seconds."""
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
        """Remove the next lines: a chunk of them, or one that is longer."""
        lines: list[bytes] = []
        size = 0
        while self._lines and size < CHUNK:
            lines.append(self._lines.popleft())
            size += len(lines[-1])
        return lines

    def _write_all(self, data: bytes) -> bool:
        """Write it, however long that takes; False when it cannot be written."""
        rest = memoryview(b"\n" + data if self._is_torn else data)
        self._is_torn = False
        while rest:
            try:
                rest = rest[os.write(self.descriptor, rest) :]
                self._is_torn = bool(rest)
            except BlockingIOError:
                # Others have made the description that we share non-blocking.
                with suppress(OSError, ValueError):
                    select.select([], [self.descriptor], [], RETRY)
            except OSError:
                time.sleep(RETRY)  # whatever it was, it may pass: the disk has room again
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
