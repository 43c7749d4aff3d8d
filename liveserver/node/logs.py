"""The log: lines for people, or one JSON object per line for programs.

1. External input cannot forge a line: JSON escapes control characters, in the other format they are escaped
   here, and the lines of a traceback begin with a bar.
2. Logging never blocks or fails: lines are queued and written by a thread; those that do not fit into the
   queue or cannot be written are dropped and counted (`line_writer.py`).
"""

from __future__ import annotations

import atexit
import json
import logging
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from liveserver.line_writer import LineWriter, LineWriterStatistics

LogFormat = Literal["console", "json"]

# C0, C1, line and paragraph separators, and bidirectional controls.
_CONTROLS = {
    code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    for code in (
        *range(0x20),
        *range(0x7F, 0xA0),
        0x061C,
        0x200E,
        0x200F,
        0x2028,
        0x2029,
        *range(0x202A, 0x202F),
        *range(0x2066, 0x206A),
    )
}
STANDARD_OUTPUT = 1

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}

_writer: LineWriter | None = None
_least = _LEVELS["info"]


def configure(log_format: LogFormat, node: str, writer: LineWriter | None = None, max_lines: int = 0) -> None:
    """Set up the log of the process; in JSON each line has the `node`.

    Lines are written to `writer`, by default standard output; at most `max_lines` of them are queued.
    """
    global _writer  # as structlog's own configuration: one for the process
    processors = _processors(log_format, node)
    if writer is None:
        queue = {"max_lines": max_lines} if max_lines else {}
        writer = LineWriter(STANDARD_OUTPUT, lambda count: _notice(processors, count), **queue)
        atexit.register(writer.flush)
    _writer = writer
    logger = _LineLogger(writer)
    structlog.configure(
        processors=[_drop_unimportant, structlog.processors.add_log_level, _Rendering(processors)],
        logger_factory=lambda *_: logger,
    )


def set_level(level: str) -> None:
    """Set the minimum level of log lines."""
    global _least  # as `_writer`
    _least = _LEVELS[level]


def _drop_unimportant(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    if _LEVELS.get(method, _LEVELS["error"]) < _least:
        raise structlog.DropEvent
    return event


def statistics() -> LineWriterStatistics:
    """Return the numbers of lines written and dropped; 0 before `configure`."""
    return _writer.statistics() if _writer is not None else LineWriterStatistics(written=0, dropped=0)


def capture_libraries() -> None:
    """Log what libraries and the interpreter would write to standard error."""
    logging.basicConfig(handlers=[_LibraryHandler()], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)
    log = structlog.get_logger(__name__)

    def on_thread(failure: threading.ExceptHookArgs) -> None:
        if failure.exc_value is not None:
            name = failure.thread.name if failure.thread else ""
            log.error("thread_failed", thread=name, exc_info=failure.exc_value)

    def on_unraisable(failure: Any) -> None:
        log.error("exception_ignored", where=repr(failure.object)[:200], exc_info=failure.exc_value)

    threading.excepthook = on_thread
    sys.unraisablehook = on_unraisable


class _LineLogger:
    """The logger to which structlog passes rendered lines."""

    def __init__(self, writer: LineWriter) -> None:
        self.msg = writer.write
        self.debug = self.info = self.warning = self.warn = self.error = self.msg
        self.exception = self.critical = self.fatal = self.failure = self.err = self.log = self.msg


class _Rendering:
    """The processors of a format, as one that never fails, whatever the fields contain."""

    def __init__(self, processors: Sequence[Processor]) -> None:
        self._processors = processors

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> str:
        try:
            return _render(self._processors, logger, method, dict(event))
        except Exception as error:
            return ascii(
                f"log_rendering_failed event={event.get('event')!s:.200} error={type(error).__name__}"
            )


class _LibraryHandler(logging.Handler):
    """A handler of Python's logging that writes into this log."""

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(Exception):
            log = structlog.get_logger(record.name)
            method = log.error if record.levelno >= logging.ERROR else log.warning
            method("library_message", library=record.name, text=record.getMessage(), exc_info=record.exc_info)


def _processors(log_format: LogFormat, node: str) -> list[Processor]:
    def name(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        event["node"] = node
        return event

    if log_format == "json":
        return [
            name,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.EventRenamer("message"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ]
    return [
        structlog.processors.format_exc_info,
        escape_controls,
        structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False),
        # Plain: the default shows the variables of each frame, which may be keys and tokens.
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]


def _render(processors: Sequence[Processor], logger: WrappedLogger, method: str, event: Any) -> str:
    for processor in processors:
        event = processor(logger, method, event)
    return str(event)


def _notice(processors: Sequence[Processor], count: int) -> str:
    """Return the line that reports dropped lines."""
    try:
        event = {"event": "log_lines_dropped", "level": "warning", "count": count}
        return _render(processors, None, "warning", event)
    except Exception:
        return json.dumps({"message": "log_lines_dropped", "count": count})


def escape_controls(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Escape characters in all fields that would end the line, control the terminal or reverse the text."""
    for key, value in event.items():
        if key == "exception":
            lines = str(value).split("\n")
            event[key] = "\n".join(f"  | {line.translate(_CONTROLS)}" for line in lines)
        elif isinstance(value, str):
            event[key] = value.translate(_CONTROLS)
    return event
