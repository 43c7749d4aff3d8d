"""How the log is written: for people, or a JSON object a line for programs.

What comes from outside cannot forge a line: JSON escapes by itself, for people control characters are
escaped here, and the lines of a traceback begin with a bar.
"""

from __future__ import annotations

from typing import Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

LogFormat = Literal["console", "json"]

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)}


def configure(log_format: LogFormat, node: str) -> None:
    """For the whole process. In JSON each line also says which `node` it is of."""

    def name(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        event["node"] = node
        return event

    rendering: list[Processor]
    if log_format == "json":
        rendering = [
            name,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.EventRenamer("message"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ]
    else:
        rendering = [
            structlog.processors.format_exc_info,
            escape_controls,
            structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False),
            # Plain: the other way shows the variables of each frame, and with them keys and tokens.
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ]
    structlog.configure(processors=[structlog.processors.add_log_level, *rendering])


def escape_controls(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Nothing in a line but the line itself ends it, or colours the terminal."""
    for key, value in event.items():
        if key == "exception":
            lines = str(value).split("\n")
            event[key] = "\n".join(f"  | {line.translate(_CONTROLS)}" for line in lines)
        elif isinstance(value, str):
            event[key] = value.translate(_CONTROLS)
    return event
