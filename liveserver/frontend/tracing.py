"""A frontend's part of a trace: one span for the delivery of an event, whatever its viewers.

The span is reconstructed from the flush records that are kept anyway, `SETTLE` seconds after the frontend has
learnt of the trace. It begins with the event's arrival here, and ends with the last flush that wrote it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import trio

from liveserver.frontend.channels.channel import Channel
from liveserver.frontend.trace import find
from liveserver.tracing.announcing import read_marks
from liveserver.tracing.context import TraceContext, new_span_id, parse
from liveserver.tracing.span import Span
from liveserver.tracing.tracer import Tracer

SETTLE = 1.0  # seconds within which viewers that keep reading have been sent the event
WAITING = 1_000  # marks
TICK = 0.25  # seconds


class _Waiting(NamedTuple):
    due: float  # Trio's time
    video: str
    event: str
    parent: TraceContext


class DeliveryTracer:
    """Traces the delivery of marked events at the node `node`. `run` must be running."""

    def __init__(self, tracer: Tracer, node: str, channel: Callable[[str], Channel | None]) -> None:
        self._tracer = tracer
        self._node = node
        self._channel = channel
        self._waiting: deque[_Waiting] = deque()

    async def on_marks(self, event: bytes) -> None:
        """Note the marks of events whose videos are watched here."""
        due = trio.current_time() + SETTLE
        for mark in read_marks(event):
            parent = parse(mark.trace.encode())
            if parent is None or self._channel(mark.video) is None:
                continue
            if len(self._waiting) >= WAITING:
                self._tracer.drop_mark()
                continue
            self._waiting.append(_Waiting(due, mark.video, mark.event, parent))

    async def run(self) -> None:
        """Make spans until cancelled."""
        while True:
            await trio.sleep(TICK)
            now = trio.current_time()
            while self._waiting and self._waiting[0].due <= now:
                self._trace(self._waiting.popleft())
                await trio.lowlevel.checkpoint()

    def _trace(self, mark: _Waiting) -> None:
        channel = self._channel(mark.video)
        position = find(channel, mark.event) if channel is not None else None
        if channel is None or position is None:
            return
        log, history = channel.log, channel.audience.flush_history
        flushes = list(history.of(position))
        arrived = log.arrived_at(position)
        if arrived is None:  # read from the log after an interruption: only the writes have times
            if not flushes:
                return
            arrived = flushes[0].time
        to_wall = time.time() - trio.current_time()
        ended = flushes[-1].time if flushes else arrived
        attributes: dict[str, str | int | float | bool] = {
            "video": mark.video,
            "event": mark.event,
            "node": self._node,
            "flushes": len(flushes),
            "viewers": sum(flush.viewers for flush in flushes),
        }
        for note in history.notes:
            if note.start <= position < note.end:
                attributes[f"viewers.{note.what.replace(' ', '_')}"] = note.viewers
        context = TraceContext(mark.parent.trace_id, new_span_id())
        begun_ns, ended_ns = (round((when + to_wall) * 1e9) for when in (arrived, ended))
        self._tracer.exporter.put(
            Span("deliver", "consumer", context, mark.parent.span_id, begun_ns, ended_ns, attributes)
        )
        for flush in flushes:
            started = log.arrived_at(flush.start)
            if started is not None:  # what was observed for this flush, see FlushHistory.measure
                history.delays.note_trace(
                    flush.time - started,
                    log.item_at(flush.start).data,
                    flush.time + to_wall,
                    mark.parent.trace_id,
                )
                break
