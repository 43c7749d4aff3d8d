"""Trace contexts as W3C Trace Context writes them, and several of them in one header. No I/O."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from typing import NamedTuple

HEADER = b"traceparent"
EVENTS_HEADER = b"liveserver-traces"  # from backends to dispatchers: `EVENT=TRACEPARENT`, joined by commas
MAX_EVENTS = 32  # in it

# https://www.w3.org/TR/trace-context/#traceparent-header-field-values
_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_EVENT = re.compile(r"[A-Za-z0-9._:-]{1,128}")  # other ids are not passed on in the header
_SAMPLED = 1

outgoing: ContextVar[Mapping[str, str]] = ContextVar("outgoing", default={})  # noqa: B039  # never changed
"""Headers about traces for the request to a dispatcher that this task makes."""


class TraceContext(NamedTuple):
    """A trace and the span in it that is the parent of what follows."""

    trace_id: str  # 32 hexadecimal digits
    span_id: str  # 16
    is_sampled: bool = True

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{int(self.is_sampled):02x}"


def parse(header: bytes) -> TraceContext | None:
    """Parse a `traceparent`; return None if it is malformed, and is therefore ignored."""
    found = _TRACEPARENT.fullmatch(header.strip(b" \t"))
    if found is None:
        return None
    version, trace_id, span_id, flags, rest = found.groups()
    if (
        version == b"ff"
        or (version == b"00" and rest is not None)
        or not (int(trace_id, 16) and int(span_id, 16))
    ):
        return None
    return TraceContext(trace_id.decode(), span_id.decode(), bool(int(flags, 16) & _SAMPLED))


def new_trace_id() -> str:
    """Return a random id, not all zeros."""
    return f"{random.getrandbits(128) or 1:032x}"


def new_span_id() -> str:
    """Return a random id, not all zeros."""
    return f"{random.getrandbits(64) or 1:016x}"


def render_events(events: Iterable[tuple[str, TraceContext]]) -> str:
    """Render the value of `EVENTS_HEADER`, of the first `MAX_EVENTS` whose ids can be in a header."""
    parts = [f"{event}={context}" for event, context in events if _EVENT.fullmatch(event)]
    return ",".join(parts[:MAX_EVENTS])


def parse_events(header: bytes) -> list[tuple[str, TraceContext]]:
    """Parse the value of `EVENTS_HEADER`; malformed entries are left out."""
    found = []
    for part in header.split(b",", MAX_EVENTS)[:MAX_EVENTS]:
        event, _, text = part.strip().partition(b"=")
        name = event.decode("latin-1")
        context = parse(text)
        if context is not None and context.is_sampled and _EVENT.fullmatch(name):
            found.append((name, context))
    return found
