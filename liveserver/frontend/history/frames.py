"""A channel's log in one wire form: frames rendered when first needed, once for all viewers, and joined
once for all that stand at the same position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from liveserver.cursor import Cursor
from liveserver.transport.form import Form, Gap, encode

GAP = b"gap"
MAX_JOINED = 64  # positions whose joined frames are kept; more is many viewers that resume, each elsewhere


class FrameItem(Protocol):
    """What of a log's item goes into its frame."""

    @property
    def event(self) -> bytes: ...

    @property
    def data(self) -> bytes: ...

    @property
    def cursor(self) -> bytes: ...


class FrameSource(Protocol):
    """The log that is rendered."""

    video: str
    base: int
    tip: int
    floor: Cursor

    def between(self, start: int, end: int) -> Sequence[FrameItem]: ...

    def before_gap(self, start: int, end: int) -> int: ...

    def cursor_at(self, position: int) -> bytes: ...


def gap_frame(form: Form, video: str, cursor: Cursor) -> bytes:
    """Return the frame for a viewer that has missed events before `cursor`."""
    text = str(cursor)
    return form.control(text.encode(), GAP, encode(Gap(video, text)))


class FrameLog:
    """The frames of one log in one form."""

    __slots__ = ("_base", "_form", "_frames", "_joined", "_joined_tip", "_log")

    def __init__(self, log: FrameSource, form: Form) -> None:
        self._log = log
        self._form = form
        self._base = log.tip
        self._frames: list[bytes] = []
        self._joined: dict[int, tuple[bytes, int]] = {}  # start → (bytes, end), all for one tip
        self._joined_tip = log.tip

    def write(self, start: int, limit: int) -> tuple[bytes, int]:
        """Return the bytes to send to a viewer at `start`, and its position after them.

        At most `limit` bytes of frames, but at least one frame; empty at the tip. A gap goes out alone.
        Before `base`, a gap, and on from there.
        """
        tip = self._log.tip
        if start < self._log.base:
            gap = gap_frame(self._form, self._log.video, self._log.floor)
            return self._form.envelope(gap), self._log.base
        if tip != self._joined_tip:
            self._joined.clear()
            self._joined_tip = tip
        found = self._joined.get(start)
        if found is None:
            if len(self._joined) >= MAX_JOINED:
                self._joined.clear()
            found = self._joined[start] = self._join(start, tip, limit)
        return found

    def _join(self, start: int, tip: int, limit: int) -> tuple[bytes, int]:
        if start >= tip:
            return b"", tip
        tip = self._log.before_gap(start, tip)
        self._render(start, max(tip, start + 1))
        if tip == start:  # the gap itself
            return self._form.envelope(self._frames[start - self._base]), start + 1
        frames = self._frames[start - self._base : tip - self._base]
        if sum(map(len, frames)) > limit:
            size = fitting = 0
            for frame in frames:
                size += len(frame)
                if size > limit and fitting:
                    break
                fitting += 1
            del frames[fitting:]
            tip = start + fitting
        return self._form.joined(self._log.video, self._log.cursor_at(tip), frames), tip

    def _render(self, start: int, tip: int) -> None:
        """Have the frames from `start` to `tip`, and none that the log has dropped."""
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

    def render_again(self, position: int) -> None:
        """Note that the item at `position` has changed."""
        if 0 <= (at := position - self._base) < len(self._frames):
            self._frames[at : at + 1] = self._rendered(position, position + 1)
            self._joined.clear()

    def _rendered(self, start: int, end: int) -> list[bytes]:
        frame, control = self._form.frame, self._form.control
        return [
            (control if item.event == GAP else frame)(item.cursor, item.event, item.data)
            for item in self._log.between(start, end)
        ]
