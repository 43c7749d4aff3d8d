"""Carries trace contexts at a likes backend, from the request that stored an event to its publication.

Contexts are in memory only, and bounded: after a restart the outbox sends events without them.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Protocol

from liveserver.errors import LiveserverError
from liveserver.lru import LRU
from liveserver.tracing.context import EVENTS_HEADER, MAX_EVENTS, TraceContext, outgoing, render_events
from liveserver.tracing.span import OpenSpan, TracedRequest, current
from liveserver.tracing.tracer import Tracer

CARRIED = 256  # events that were stored, and are not accepted by a dispatcher yet


class PublishTarget(Protocol):
    """A dispatcher; raises as `backend.outbox.PublishTarget` does."""

    async def publish(self, body: bytes, *, retractions: bool) -> int: ...


class _Carried(NamedTuple):
    video: str
    context: TraceContext


class Carrier:
    """A `PublishTarget` with spans around what it publishes of traced events, at `target`."""

    def __init__(self, tracer: Tracer, target: PublishTarget) -> None:
        self._tracer = tracer
        self._target = target
        self._carried: LRU[str, _Carried] = LRU(CARRIED)

    def carry(self, video: str, event: str, context: TraceContext) -> None:
        """Remember the trace of an event that was stored, and will be published before long."""
        self._carried.put(event, _Carried(video, context))

    async def publish(self, body: bytes, *, retractions: bool) -> int:
        if not self._carried:
            return await self._target.publish(body, retractions=retractions)
        found = self._find(body)
        if not found:
            return await self._target.publish(body, retractions=retractions)
        spans = [
            (published, OpenSpan(self._tracer.exporter, carried.context.trace_id, carried.context.span_id))
            for _, published, carried in found
        ]
        header = render_events((event, span.context) for event, span in spans)
        tokens = (
            outgoing.set({EVENTS_HEADER.decode(): header}) if header else outgoing.set({}),
            current.set(TracedRequest(None, spans)),
        )
        error = "cancelled"
        try:
            accepted = await self._target.publish(body, retractions=retractions)
            error = ""
        except LiveserverError as fault:
            error = type(fault).__name__
            raise
        finally:
            outgoing.reset(tokens[0])
            current.reset(tokens[1])
            for event, span in spans:
                span.attributes["event"] = event
                span.end("outbox publish", "producer", error)
        for stored, _, _ in found:
            self._carried.remove(stored)
        return accepted

    def _find(self, body: bytes) -> list[tuple[str, str, _Carried]]:
        """Return the carried events of a body: the stored id, that of the published event, and the trace.

        A like that is not an event of its own is in its video's sums.
        """
        found = []
        for event, carried in list(self._carried.items()):
            published = event if b'"id":"%b"' % event.encode() in body else _sums_of(carried.video, body)
            if published is not None:
                found.append((event, published, carried))
                if len(found) >= MAX_EVENTS:
                    break
        return found


def _sums_of(video: str, body: bytes) -> str | None:
    """Return the id of the event with a video's sums, if the body has it."""
    match = re.search(rb'"id":"([^"\\]+)","video":"%b","type":"likes"' % re.escape(video.encode()), body)
    return match[1].decode() if match is not None else None
