"""How the log is written: for people, or a JSON object a line for programs.

1. What comes from outside cannot forge a line: JSON escapes by itself, for people control characters are
   escaped here, and the lines of a traceback begin with a bar.
2. Logging never ends, blocks or slows what logs: lines are queued and written by a thread; those that find
   the queue full or cannot be written are dropped and counted (`line_writer.py`).
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

# C0, C1, line and paragraph separators, and what changes the direction of the text behind it.
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


def configure(
    log_format: LogFormat, node: str, writer: LineWriter | None = None, most_lines: int = 0
) -> None:
    """Set up the log of the whole process; in JSON each line also says which `node` it is of.

    Lines go to `writer`, by default to standard output; `most_lines` of them wait at most.
    """
    global _writer  # as structlog's own configuration: one for the process
    processors = _processors(log_format, node)
    if writer is None:
        queue = {"most_lines": most_lines} if most_lines else {}
        writer = LineWriter(STANDARD_OUTPUT, lambda count: _notice(processors, count), **queue)
        atexit.register(writer.flush)
    _writer = writer
    logger = _LineLogger(writer)
    structlog.configure(
        processors=[_drop_unimportant, structlog.processors.add_log_level, _Rendering(processors)],
        logger_factory=lambda *_: logger,
    )


def set_level(level: str) -> None:
    """Log only what is at least this important, from now on."""
    global _least  # as `_writer`
    _least = _LEVELS[level]


def _drop_unimportant(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    if _LEVELS.get(method, _LEVELS["error"]) < _least:
        raise structlog.DropEvent
    return event


def statistics() -> LineWriterStatistics:
    """Count the lines written and dropped; nothing before `configure`."""
    return _writer.statistics() if _writer is not None else LineWriterStatistics(written=0, dropped=0)


def capture_libraries() -> None:
    """Bring what libraries and the interpreter would write to standard error into the log."""
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
    """What structlog hands finished lines to."""

    def __init__(self, writer: LineWriter) -> None:
        self.msg = writer.write
        self.debug = self.info = self.warning = self.warn = self.error = self.msg
        self.exception = self.critical = self.fatal = self.failure = self.err = self.log = self.msg


class _Rendering:
    """The processors of a format, as one that does not fail: a field may hold anything."""

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
        # Plain: the other way shows the variables of each frame, and with them keys and tokens.
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]


def _render(processors: Sequence[Processor], logger: WrappedLogger, method: str, event: Any) -> str:
    for processor in processors:
        event = processor(logger, method, event)
    return str(event)


def _notice(processors: Sequence[Processor], count: int) -> str:
    """The line that says how many are missing."""
    try:
        event = {"event": "log_lines_dropped", "level": "warning", "count": count}
        return _render(processors, None, "warning", event)
    except Exception:
        return json.dumps({"message": "log_lines_dropped", "count": count})


def escape_controls(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Escape in all fields what would end the line, control the terminal or reverse the text."""
    for key, value in event.items():
        if key == "exception":
            lines = str(value).split("\n")
            event[key] = "\n".join(f"  | {line.translate(_CONTROLS)}" for line in lines)
        elif isinstance(value, str):
            event[key] = value.translate(_CONTROLS)
    return event
