"""A channel's log in one wire form: frames are rendered on demand, once for all viewers, and joined once for
all viewers at the same position.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from typing import Protocol

from liveserver.cursor import Cursor
from liveserver.frontend.history.sampling import Ranks
from liveserver.transport.form import Form, Gap, encode

GAP, SKIP, STATE = b"gap", b"skip", b"state"
MAX_STATES = 8  # cached frames of the state, per position
MAX_JOINED = 64  # cached joined frames, per position; many resuming viewers may need more


class FrameItem(Protocol):
    """A log's item, as its frame is rendered from it."""

    @property
    def event(self) -> bytes: ...

    @property
    def data(self) -> bytes: ...

    @property
    def cursor(self) -> bytes: ...


class StateSource(Protocol):
    """The states of the log that is rendered."""

    def rendered(
        self, position: int, *, internal: bool = False, types: frozenset[bytes] | None = None
    ) -> bytes: ...


class FrameSource(Protocol):
    """The log that is rendered."""

    @property
    def video(self) -> str: ...

    @property
    def base(self) -> int: ...

    @property
    def tip(self) -> int: ...

    @property
    def kept_from(self) -> int: ...

    @property
    def older_at(self) -> Sequence[int]: ...

    @property
    def floor(self) -> Cursor: ...

    @property
    def state(self) -> StateSource: ...

    @property
    def ranks(self) -> Ranks: ...

    @property
    def internal(self) -> Set[int]:
        """The positions of events that only moderators are sent."""
        ...

    def between(self, start: int, end: int) -> Sequence[FrameItem]: ...

    def walk(self, start: int, end: int) -> Iterator[tuple[int, FrameItem]]: ...

    def before_gap(self, start: int, end: int) -> int: ...

    def cursor_at(self, position: int) -> bytes: ...


def gap_frame(form: Form, video: str, cursor: Cursor) -> bytes:
    """Return the frame that reports missing events before `cursor`."""
    text = str(cursor)
    return form.control(text.encode(), GAP, encode(Gap(video, text)))


class FrameLog:
    """The frames of one log in one form."""

    __slots__ = ("_base", "_form", "_frames", "_joined", "_joined_tip", "_log", "_states")

    def __init__(self, log: FrameSource, form: Form) -> None:
        self._log = log
        self._form = form
        self._base = log.tip
        self._frames: list[bytes] = []
        self._joined: dict[int, tuple[bytes, int]] = {}  # start → (bytes, end), all for one tip
        self._joined_tip = log.tip
        self._states: dict[bytes, tuple[bytes, bytes]] = {}  # cursor → (what is rendered, the frame)

    def state(self, position: int, cursor: bytes = b"") -> bytes:
        """Return the frame of the state for a viewer that begins at `position`; empty if there is no state.

        `cursor` is the viewer's own, if it differs from the position's.
        """
        form = self._form
        events = self._log.state.rendered(position, internal=form.is_internal, types=form.types)
        if not events:
            return b""
        cursor = cursor or self._log.cursor_at(position)
        found = self._states.get(cursor)
        if found is None or found[0] is not events:
            if len(self._states) >= MAX_STATES:
                self._states.clear()
            if cursor != self._log.cursor_at(position):
                form = form.for_one
            data = form.state_data(self._log.video, cursor, events)
            frame = form.envelope(form.control(cursor, STATE, data))
            found = self._states[cursor] = (events, frame)
        return found[1]

    def write(self, start: int, limit: int) -> tuple[bytes, int]:
        """Return the bytes to send to a viewer at `start`, and its position after them.

        At most `limit` bytes of frames, but at least one frame; empty at the tip. A gap goes out alone.
        Before `kept_from`, a gap, and on from there; before `base`, what is not ephemeral.
        """
        tip = self._log.tip
        if start < self._log.kept_from:
            form = self._form.for_one
            gap = form.envelope(gap_frame(form, self._log.video, self._log.floor))
            end = self._log.kept_from if self._log.older_at else self._log.base
            return gap + self.state(end), end
        if tip != self._joined_tip:
            self._joined.clear()
            self._joined_tip = tip
        found = self._joined.get(start)
        if found is None:
            if len(self._joined) >= MAX_JOINED:
                self._joined.clear()
            join = self._join if start >= self._log.base else self._join_older
            found = join(start, tip, limit)
            if (chosen := self._form.filter) is not None and chosen.rate is not None:
                found = self._with_omitted(start, *found)
            self._joined[start] = found
        return found

    def _with_omitted(self, start: int, chunk: bytes, end: int) -> tuple[bytes, int]:
        """Return what is written from `start` to `end`, and behind it how many comments it leaves out."""
        count = self._log.ranks.count_omitted(self._form.filter, start, end)
        if not count:
            return chunk, end
        return chunk + self._form.omitted_frame(self._log.video, self._log.cursor_at(end), count), end

    def _join_older(self, start: int, tip: int, limit: int) -> tuple[bytes, int]:
        """Return what `write` does from where ephemeral events have been dropped; behind the last item
        there, the state, since they may have been keyed."""
        log, form = self._log, self._form
        frames: list[bytes] = []
        end, size, cursor = start, 0, b""
        for position, item in log.walk(start, log.base):
            if item.event == GAP:
                if frames:
                    break
                return form.envelope(form.control(item.cursor, GAP, item.data)), position + 1
            end, cursor = position + 1, item.cursor
            if position in log.internal and not form.is_internal:
                continue
            if form.filter is not None and not log.ranks.includes(form.filter, position, item):
                continue
            frames.append(form.frame(item.cursor, item.event, item.data))
            size += len(frames[-1])
            if size > limit:
                break
        if frames:
            return form.joined(log.video, cursor, frames), end
        state = self.state(log.base)
        return (state, log.base) if state else self.write(log.base, limit)

    def _join(self, start: int, tip: int, limit: int) -> tuple[bytes, int]:
        if start >= tip:  # a viewer behind live may be further than what is shown there
            return b"", start
        tip = self._log.before_gap(start, tip)
        if tip == start and self._log.between(start, start + 1)[0].event == SKIP:
            return self.state(start + 1), start + 1
        frames = self.rendered(start, max(tip, start + 1))
        if tip == start:  # the gap itself, and the state behind the last of several
            gap, end = self._form.envelope(frames[0]), start + 1
            is_last = end >= self._log.tip or self._log.before_gap(end, end + 1) > end
            return (gap + self.state(end) if is_last else gap), end
        if sum(map(len, frames)) > limit:
            size = fitting = 0
            for frame in frames:
                size += len(frame)
                if size > limit and fitting:
                    break
                fitting += 1
            del frames[fitting:]
            tip = start + fitting
        if (
            self._log.internal or self._form.filter is not None
        ) and b"" in frames:  # what this form leaves out
            frames = [frame for frame in frames if frame]
            if not frames:
                return b"", tip
        return self._form.joined(self._log.video, self._log.cursor_at(tip), frames), tip

    def rendered(self, start: int, end: int) -> list[bytes]:
        """Return the frames from `start` to `end`, which is behind it."""
        self._render(start, end)
        return self._frames[start - self._base : end - self._base]

    def _render(self, start: int, tip: int) -> None:
        """Render the frames from `start` to `tip`, and drop those that the log has dropped."""
        self.trim()
        if not self._frames:
            self._base = start
        if start < self._base:
            self._frames[:0] = self._rendered(start, self._base)
            self._base = start
        end = self._base + len(self._frames)
        if end < tip:
            self._frames += self._rendered(end, tip)

    def trim(self) -> None:
        """Drop the frames, and the joined ones, of items that the log has dropped."""
        dropped = self._log.base - self._base
        if dropped > 0:
            del self._frames[:dropped]
            self._base = self._log.base
            self._joined.clear()

    def clear_joined(self) -> None:
        """Note that what stands before the log's `base` has changed."""
        self._joined.clear()

    def render_again(self, position: int) -> None:
        """Render the item at `position` again, as it has changed."""
        self._joined.clear()
        if 0 <= (at := position - self._base) < len(self._frames):
            self._frames[at : at + 1] = self._rendered(position, position + 1)

    def _rendered(self, start: int, end: int) -> list[bytes]:
        frame, control = self._form.frame, self._form.control
        frames = [
            (control if item.event == GAP else frame)(item.cursor, item.event, item.data)
            for item in self._log.between(start, end)
        ]
        if (internal := self._log.internal) and not self._form.is_internal:
            for at in range(start, end):
                if at in internal:
                    frames[at - start] = b""
        return frames


class CompressedFrames(FrameLog):
    """Frames of a log for viewers that accept compression: the others', compressed when they are joined."""

    __slots__ = ("_shared",)

    def __init__(self, log: FrameSource, form: Form, shared: FrameLog) -> None:
        super().__init__(log, form)
        self._shared = shared

    def rendered(self, start: int, end: int) -> list[bytes]:
        return self._shared.rendered(start, end)


class FilteredFrames(FrameLog):
    """Frames of a log for viewers with a filter: the others', left out ones empty, gaps kept."""

    __slots__ = ("_chosen", "_filtered", "_shared")

    def __init__(self, log: FrameSource, form: Form, shared: FrameLog) -> None:
        super().__init__(log, form)
        assert form.filter is not None
        self._chosen, self._filtered, self._shared = form.filter, log, shared

    def _rendered(self, start: int, end: int) -> list[bytes]:
        chosen, ranks = self._chosen, self._filtered.ranks
        frames = self._shared.rendered(start, end)
        items = enumerate(self._filtered.between(start, end), start)
        return [
            frame if ranks.includes(chosen, position, item) else b""
            for frame, (position, item) in zip(frames, items, strict=True)
        ]
