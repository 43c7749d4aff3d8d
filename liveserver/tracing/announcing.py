"""Publishes the marks of traced events in the site's log, a few requests a second at most."""

from __future__ import annotations

import secrets

import msgspec
import structlog
import trio

from liveserver.errors import LiveserverError
from liveserver.event import SITE
from liveserver.tracing.carrying import PublishTarget
from liveserver.tracing.tracer import Mark, Tracer

MARKS = b"site.traces"  # a type of events
GATHER = 0.1  # seconds in which marks are gathered
BATCH_SIZE = 32  # marks in one event, so that it has at most 16 KiB

log = structlog.get_logger(__name__)


class _Marks(msgspec.Struct):
    marks: list[Mark]


class _MarksEvent(msgspec.Struct):
    data: _Marks


_decode = msgspec.json.Decoder(_MarksEvent).decode


def read_marks(event: bytes) -> list[Mark]:
    """Return the marks of an event of type `MARKS`; none if it is malformed."""
    try:
        return _decode(event).data.marks
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []


async def announce(tracer: Tracer, target: PublishTarget) -> None:
    """Publish a tracer's marks until cancelled; those that cannot be published are dropped."""
    while True:
        await tracer.marked.wait()
        while tracer.marks:
            await trio.sleep(GATHER)
            marks = [tracer.marks.popleft() for _ in range(min(BATCH_SIZE, len(tracer.marks)))]
            event = {
                "id": f"t-{secrets.token_hex(8)}",
                "video": SITE,
                "type": MARKS.decode(),
                "data": _Marks(marks),
            }
            try:
                await target.publish(msgspec.json.encode([event]), retractions=False)
            except LiveserverError as error:
                tracer.drop_mark(len(marks))
                log.warning("traces_not_announced", marks=len(marks), reason=str(error))
