"""The history of a video: pages of its recording, and of its log behind that.

Rules:

1. The events are those of the recording, in its order, then those of the log that it does not have yet;
   without a recording, those of the log. A retracted event has no content.
2. A page's cursor is an event's position in this order: `recorded-NUMBER`, or `EPOCH-OFFSET` without a
   recording. New events move none of them.
3. A page reads at most `SCAN` segments: it may have fewer events than requested, even none, and a cursor.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import inf
from typing import NamedTuple, Protocol

import msgspec
import trio

from liveserver.bus.following import unseen
from liveserver.bus.interface import Slice
from liveserver.cursor import Cursor
from liveserver.errors import BadRequest, BusError, Unavailable
from liveserver.event import Batch
from liveserver.recorder import segments
from liveserver.recorder.recording import Recording, recorded_event, unreadable
from liveserver.recorder.segments import DamagedRecording, Index

READ_EVENTS = 5_000  # in one round trip
SCAN = 200  # segments in one page
PAGE_BYTES = 4 * 1024**2
CONCURRENT = 2  # pages that are made at once
RECORDED = "recorded"

_CURSOR = re.compile(r"([a-z0-9]{1,12})-([0-9]{1,15})")


class LogReader(Protocol):
    """The part of a bus that reads logs. All raise `BusError`."""

    async def read_several(self, after: Mapping[str, int], limit: int) -> dict[str, Slice]: ...


class Query(NamedTuple):
    """The requested events: those with `first` <= `at` < `last` (ms), of these types, `limit` of them."""

    first: float = 0
    last: float = inf
    types: frozenset[str] | None = None
    limit: int = 100
    is_newest_first: bool = True
    cursor: str | None = None


class Page(NamedTuple):
    """Events, and where to read on, if there is more. `complete`: none of the video's is missing."""

    events: list[bytes]
    next: str | None
    complete: bool


class _Facts(msgspec.Struct):
    type: str = ""
    at: int = -1


class _Stretch(NamedTuple):
    """Events, by the positions of the first and the last; read when needed. `low`, `high`: of their `at`."""

    begin: int
    end: int
    low: float
    high: float
    read: Callable[[], list[tuple[int, bytes]]]


class _Tail(NamedTuple):
    """The events of a log that are not recorded, with their positions, and what they retract and clear.

    `has_loss`: some are missing.
    """

    lines: list[tuple[int, bytes]]
    prefixes: tuple[bytes, ...]
    cleared: dict[str, int]
    kind: str
    has_loss: bool


class History:
    """Makes pages. `recording` returns a video's recording, which may be empty; None: there are none."""

    def __init__(self, reader: LogReader, recording: Callable[[str], Recording] | None) -> None:
        self._reader = reader
        self._recording = recording
        self._limiter = trio.CapacityLimiter(CONCURRENT)

    async def page(self, video: str, query: Query) -> Page:
        """Return a page. Raises `BadRequest`, `Unavailable`."""
        recording = self._recording(video) if self._recording is not None else None
        async with self._limiter:
            try:
                index = Index(video)
                if recording is not None:
                    index = await trio.to_thread.run_sync(recording.index)
                batches, head_epoch, has_begin = await self._read_log(video, index)
                tail = _tail(index, batches, head_epoch, has_begin=has_begin)
                return await trio.to_thread.run_sync(_page, recording, index, tail, query)
            except BusError:
                raise Unavailable("the log cannot be read; try again", retry_after=1) from None
            except (OSError, DamagedRecording) as error:
                raise unreadable(error) from None

    async def _read_log(self, video: str, index: Index) -> tuple[list[Batch], str, bool]:
        """Return what the log has behind the recording, its epoch, and whether it has all of that.

        Raises `BusError`.
        """
        batches: list[Batch] = []
        epoch, after, has_begin = index.epoch, index.offset, True
        while True:
            part = (await self._reader.read_several({video: after}, READ_EVENTS))[video]
            if part.head.epoch != epoch:
                epoch, batches, is_again = part.head.epoch, [], after > 0
                after = 0
                if is_again:
                    continue
            has_begin = has_begin and part.oldest <= after + 1
            batches += part.batches
            after = part.end
            if after >= part.head.offset:
                return batches, epoch, has_begin


def _tail(index: Index, batches: Iterable[Batch], epoch: str, *, has_begin: bool) -> _Tail:
    is_recorded = bool(index.segments)
    new = unseen(Cursor.parse_trusted(index.cursor if is_recorded else ""), list(batches))
    position = sum(entry.events for entry in index.segments)
    lines: list[tuple[int, bytes]] = []
    prefixes = [prefix.encode() for prefix in index.retracted]
    cleared = dict(index.cleared)
    for batch in new.batches:
        for offset, line in enumerate(batch.lines, batch.first):
            event = recorded_event(line)
            if event is None:
                continue
            if event.retracts is not None:
                prefixes.append(event.retracts)
            segments.add_cleared(cleared, event.clears)
            if event.data:
                position += is_recorded
                lines.append((position if is_recorded else offset, event.data))
    kind = RECORDED if is_recorded else epoch
    return _Tail(lines, tuple(prefixes), cleared, kind, new.has_loss or not has_begin)


def _page(recording: Recording | None, index: Index, tail: _Tail, query: Query) -> Page:
    """Return a page. Raises `BadRequest`, `OSError`, `DamagedRecording`."""
    bound = _bound(query, tail.kind)
    stretches = [*_recorded(recording, index, tail)] if recording is not None else []
    if tail.lines:
        begin, end = tail.lines[0][0], tail.lines[-1][0]
        stretches.append(_Stretch(begin, end, -inf, inf, lambda: _clean(tail.lines, tail)))
    if query.is_newest_first:
        stretches.reverse()
    found: list[bytes] = []
    size = looked_at = 0
    last = bound
    is_more = False
    for stretch in stretches:
        if query.is_newest_first and stretch.begin >= bound:
            continue
        if not query.is_newest_first and stretch.end <= bound:
            continue
        if stretch.high < query.first or stretch.low >= query.last:
            continue
        if looked_at >= SCAN or len(found) >= query.limit or size >= PAGE_BYTES:
            is_more = True
            break
        looked_at += 1
        events = stretch.read()
        for position, event in reversed(events) if query.is_newest_first else events:
            if (position >= bound) if query.is_newest_first else (position <= bound):
                continue
            if len(found) >= query.limit or size >= PAGE_BYTES:
                is_more = True
                break
            last = position
            if _is_asked(event, query):
                found.append(event)
                size += len(event)
        if is_more:
            break
    complete = not tail.has_loss and not any(entry.gap for entry in index.segments)
    return Page(found, f"{tail.kind}-{int(last)}" if is_more else None, complete)


def _bound(query: Query, kind: str) -> float:
    """Return the position up to which, or from which on, events were seen. Raises `BadRequest`."""
    if query.cursor is None:
        return inf if query.is_newest_first else -1
    found = _CURSOR.fullmatch(query.cursor)
    if found is None:
        raise BadRequest("cursor is the `next` of the page before")
    if found[1] != kind:
        raise BadRequest("the log has begun anew since the page before; begin again, without cursor")
    return int(found[2])


def _recorded(recording: Recording, index: Index, tail: _Tail) -> Iterator[_Stretch]:
    position = 1
    for entry in index.segments:

        def read(entry: segments.SegmentEntry = entry, begin: int = position) -> list[tuple[int, bytes]]:
            return _clean(list(enumerate(recording.lines(entry), begin)), tail)

        yield _Stretch(position, position + entry.events - 1, entry.first_at, entry.last_at, read)
        position += entry.events


def _clean(lines: list[tuple[int, bytes]], tail: _Tail) -> list[tuple[int, bytes]]:
    """Return the lines without retracted content."""
    data: list[bytes] = [line for _, line in lines]
    if tail.prefixes:
        data = segments.without_content(data, tail.prefixes)
    if tail.cleared:
        data = segments.without_cleared(data, tail.cleared)
    return [(position, line) for (position, _), line in zip(lines, data, strict=True)]


def _is_asked(event: bytes, query: Query) -> bool:
    if query.types is None and query.first <= 0 and query.last == inf:
        return True
    try:
        facts = msgspec.json.decode(event, type=_Facts)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return query.first <= facts.at < query.last and (query.types is None or facts.type in query.types)
