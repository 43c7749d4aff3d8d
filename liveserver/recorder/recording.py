"""One video's recording: appends, retracts, erases and reads events. Synchronous, for a thread.

Each change is made from the index as it stands, and written only if that has not changed: under the
recording's lock in a directory, by a conditional write in an object store; a change that is refused is made
again. So recorders that run twice and an `erase` beside them do not undo each other's work. Files that the
index does not name, left by a crash, are deleted when the recording is opened, and with each change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from typing import NamedTuple, TypeVar

import msgspec
import structlog

from liveserver.bus.following import unseen
from liveserver.bus.interface import Slice
from liveserver.cursor import Cursor
from liveserver.errors import Unavailable
from liveserver.event import RETRACT, VIDEO
from liveserver.moderation.rules import CLEAR, Rules
from liveserver.recorder import segments
from liveserver.recorder.segments import DamagedRecording, Index, SegmentEntry
from liveserver.recorder.store import Conflict, ObjectStore
from liveserver.redaction import target_prefix
from liveserver.state import MARK, MalformedKeyed, read

INDEX = "index.json"
MAX_RETRACTED = 1_000  # remembered: the retracted event may come after its retraction
MAX_CLEARED = 1_000  # users
ATTEMPTS = 3  # at a segment that is rewritten while it is read
CHANGES = 10  # attempts at a change that others have made meanwhile

T = TypeVar("T")

log = structlog.get_logger(__name__)

_index = msgspec.json.Decoder(Index)


class Event(NamedTuple):
    """A line as it is recorded, or empty when it is not.

    `retracts` is how the event begins that a retraction names; `clears` is a user, and until when their
    comments are gone.
    """

    data: bytes
    retracts: bytes | None = None
    clears: tuple[str, int] | None = None


class Recording:
    """The recording of `video` in a store. `stretch` is how long a segment is, in seconds."""

    def __init__(self, store: ObjectStore, video: str, stretch: float) -> None:
        if not VIDEO.fullmatch(video):
            raise ValueError(f"{video!r} is not a video's name")
        self.video = video
        self._store = store
        self._stretch = max(1, round(stretch * 1000))
        self._former: bytes | None = None  # the index from which a change is made
        self._written: set[str] = set()  # files, by that change

    def index(self) -> Index:
        """Return the index; an empty one when there is no recording. Raises `OSError`, `DamagedRecording`."""
        return self._parse(self._store.read(f"{self.video}/{INDEX}"))

    def _parse(self, content: bytes | None) -> Index:
        if content is None:
            return Index(self.video)
        try:
            return _index.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DamagedRecording(f"{self.video}/{INDEX} is damaged: {error}") from None

    @contextmanager
    def _changing(self) -> Iterator[Index]:
        """Yield the index, to be changed and written."""
        with self._store.locked(self.video):
            self._former = self._store.read(f"{self.video}/{INDEX}")
            self._written.clear()
            yield self._parse(self._former)

    def _changed(self, change: Callable[[], T]) -> T:
        """Return the result of `change`; repeat it if another process has changed the index meanwhile."""
        for _ in range(CHANGES - 1):
            try:
                return change()
            except Conflict:
                continue
            except DamagedRecording:
                if self._store.read(f"{self.video}/{INDEX}") == self._former:
                    raise  # otherwise what is missing was rewritten meanwhile
        return change()

    def open(self) -> Index:
        """Return the index, after deleting files that a crash left.

        Raises `OSError`, `DamagedRecording`.
        """
        if not self.index().segments:
            return self.index()
        with self._changing() as index:
            self._clean(index)
            return index

    def append(self, part: Slice) -> Index:
        """Append events read from the log; return the new index.

        What is recorded already is skipped, so the same part may be appended again. Raises `OSError`,
        `DamagedRecording`.
        """
        is_empty = not any(map(recorded_event, (line for batch in part.batches for line in batch.lines)))
        if is_empty and not (index := self.index()).segments:
            return index  # nothing to record yet, as of a node's canary
        return self._changed(lambda: self._append(part))

    def _append(self, part: Slice) -> Index:
        with self._changing() as index:
            is_anew = part.head.epoch != index.epoch
            last = part.batches[-1].last if part.batches else part.end
            if not is_anew and last <= index.offset:
                self._clean(index)
                return index
            is_cut = part.oldest > (1 if is_anew else index.offset + 1) and bool(index.epoch)
            new = unseen(Cursor.parse_trusted(index.cursor), part.batches)
            events = [*filter(None, (recorded_event(line) for batch in new.batches for line in batch.lines))]
            index.epoch, index.offset, index.cursor = part.head.epoch, last, str(new.cursor)
            if events or index.segments:
                self._add(index, events, is_cut=is_cut or new.has_jump)
                self._write_index(index)
            return index

    def _add(self, index: Index, events: Sequence[Event], *, is_cut: bool) -> None:
        """Write the segments that these events change or begin, and change the index in memory."""
        new = [event.retracts for event in events if event.retracts is not None]
        if new:
            self._change(index, lambda lines: segments.without_content(lines, tuple(new)))
        cleared: dict[str, int] = {}
        for event in events:
            segments.add_cleared(cleared, event.clears)
        if cleared:
            self._change(index, lambda lines: segments.without_cleared(lines, cleared))
            for clears in cleared.items():
                segments.add_cleared(index.cleared, clears)
            for user in list(index.cleared)[:-MAX_CLEARED]:
                del index.cleared[user]
        retracted = dict.fromkeys([*(prefix.encode() for prefix in index.retracted), *new])
        index.retracted = [prefix.decode() for prefix in retracted][-MAX_RETRACTED:]
        held = index.segments[-1].events if index.segments and not is_cut else 0
        # By the lines as they came: where segments begin must not depend on when an event is retracted.
        index.clock, parts = segments.split(
            index.clock, held, [event.data for event in events if event.data], self._stretch
        )
        if retracted:
            parts = [segments.without_content(part, tuple(retracted)) for part in parts]
        if index.cleared:
            parts = [segments.without_cleared(part, index.cleared) for part in parts]
        if held and parts[0]:
            last = index.segments.pop()
            self._put(index, self.lines(last) + parts.pop(0), gap=last.gap)
        for part in filter(None, parts):
            self._put(index, part, gap=is_cut)
            is_cut = False

    def _put(self, index: Index, lines: Sequence[bytes], *, gap: bool) -> None:
        entry, content = segments.encode(lines, gap=gap)
        self._store.write_once(f"{self.video}/{entry.file}", content)
        self._written.add(entry.file)
        index.segments.append(entry)

    def _change(self, index: Index, change: Callable[[list[bytes]], list[bytes]]) -> None:
        """Rewrite the segments that `change` changes."""
        for at, entry in enumerate(index.segments):
            lines = self.lines(entry)
            changed = change(lines)
            if changed != lines:
                again = Index(self.video)
                self._put(again, changed, gap=entry.gap)
                index.segments[at] = again.segments[0]

    def _write_index(self, index: Index) -> None:
        """Write the index, and delete the files that it does not name."""
        self._store.replace(f"{self.video}/{INDEX}", msgspec.json.encode(index), self._former)
        self._clean(index, self._written.union(each.file for each in self._parse(self._former).segments))

    def _clean(self, index: Index, known: Iterable[str] = ()) -> None:
        """Delete the files that the index does not name: of the `known` ones, and those left by a crash."""
        named = {INDEX, *(entry.file for entry in index.segments)}
        for name in sorted({*known, *self._store.leftovers(self.video)} - named):
            self._store.delete(f"{self.video}/{name}")

    def lines(self, entry: SegmentEntry) -> list[bytes]:
        """Return a segment's events. Raises `OSError`, `DamagedRecording`."""
        content = self._store.read(f"{self.video}/{entry.file}")
        if content is None:
            raise DamagedRecording(f"{self.video}/{entry.file} is missing")
        return self._decode(entry, content)

    def _decode(self, entry: SegmentEntry, content: bytes) -> list[bytes]:
        if len(content) != entry.bytes:
            raise DamagedRecording(f"{self.video}/{entry.file} is damaged: it has another size")
        return segments.decode(content)

    def file(self, name: str) -> bytes | None:
        """Return a segment's file, or the index; None when the index does not name it."""
        if name != INDEX and all(entry.file != name for entry in self.index().segments):
            return None
        return self._store.read(f"{self.video}/{name}")

    def between(self, first: float, last: float, *, by_position: bool = False) -> Iterator[list[bytes]]:
        """Yield the events from `first` to before `last`, by segment, in the order in which they came.

        Of their `at`, or of their `position`, in milliseconds. Raises `OSError`, `DamagedRecording`.
        """
        for _, lines in self._segments(first, last, by_position):
            yield [line for line in lines if first <= _value(line, by_position) < last]

    def _segments(
        self, first: float = -inf, last: float = inf, by_position: bool = False
    ) -> Iterator[tuple[SegmentEntry, list[bytes]]]:
        """Yield the segments with something of that time; one that is rewritten meanwhile, as it is now."""
        index = self.index()
        for at in range(len(index.segments)):
            entry = index.segments[at]
            low, high = entry.first_at, entry.last_at
            if by_position:
                if entry.first_position is None or entry.last_position is None:
                    continue
                low, high = entry.first_position, entry.last_position
            if high < first or low >= last:
                continue
            for _ in range(ATTEMPTS):
                content = self._store.read(f"{self.video}/{entry.file}")
                if content is not None:
                    yield entry, self._decode(entry, content)
                    break
                index = self.index()
                if at >= len(index.segments):
                    return
                entry = index.segments[at]
            else:
                raise DamagedRecording(f"{self.video}/{entry.file} is missing")

    def of_user(self, user: str) -> Iterator[bytes]:
        """Yield the user's events."""
        for _, lines in self._segments():
            yield from (line for line in lines if segments.is_of(line, user))

    def erase(self, user: str) -> int:
        """Remove the content and user name from the user's events; return their number.

        Raises `OSError`, `DamagedRecording`.
        """
        return self._changed(lambda: self._erase(user))

    def _erase(self, user: str) -> int:
        with self._changing() as index:
            count = sum(segments.is_of(line, user) for each in index.segments for line in self.lines(each))
            if index.cleared.pop(user, None) is not None or count:
                self._change(index, lambda lines: segments.erased(lines, user))
                self._write_index(index)
            return count


class _Times(msgspec.Struct):
    at: int = -1
    position: int | None = None


def _value(line: bytes, by_position: bool) -> float:
    try:
        times = msgspec.json.decode(line, type=_Times)
    except msgspec.DecodeError:
        return -1
    if not by_position:
        return times.at
    return -1 if times.position is None else times.position


def recorded_event(line: bytes) -> Event | None:
    """Return the event to record of a line; None if it is internal, or not an event for viewers."""
    kind, _, data = line.partition(b" ")
    if line.startswith(MARK):
        try:
            keyed = read(line)
        except MalformedKeyed:
            return None
        if keyed.key.startswith(CLEAR):
            rules = Rules([keyed])
            clears = next(iter(rules.cleared.items()), None)
            return Event(b"" if keyed.is_internal else keyed.data, None, clears)
        if keyed.is_internal:
            return None
        kind, data = keyed.type, keyed.data
    if kind == b"canary":
        return None
    return Event(data, target_prefix(data) if kind == RETRACT.encode() else None)


def unreadable(error: OSError | DamagedRecording) -> Unavailable:
    """Log why a recording cannot be read; return the answer, which has no path of this machine."""
    log.warning("recording_not_read", reason=str(error))
    reason = (error.strerror or "its store failed") if isinstance(error, OSError) else error
    return Unavailable(f"the recording cannot be read: {reason}", retry_after=5)
