"""A channel's items as frames, and the redaction of items that may be rendered already.

An item that was retracted, or cleared with all of its user's, is replaced in place, and rendered again in
each form that has rendered it. So is a pin of such a comment, which has its text: it becomes one of nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Set

import msgspec

from liveserver.cursor import Cursor
from liveserver.frontend.history.frames import CompressedFrames, FilteredFrames, FrameLog
from liveserver.frontend.history.items import Item
from liveserver.frontend.history.redaction import COMMENT, RETRACT_TYPE, RetractedIds, redacted, was_cleared
from liveserver.frontend.history.retention import RetainedItems
from liveserver.frontend.history.sampling import Ranks
from liveserver.moderation.rules import PIN as PIN_KEY
from liveserver.redaction import PIN, PinnedComment, emptied, pinned_comment
from liveserver.transport.filter import Filter
from liveserver.transport.form import Form


class RenderedItems(RetainedItems):
    """The items of one video that are held, with their frames in each form that its viewers have."""

    def __init__(
        self,
        video: str,
        capacity: int,
        age: float,
        cursor: Cursor,
        ephemeral: Collection[str] = (),
        ephemeral_capacity: int | None = None,
    ) -> None:
        super().__init__(capacity, age, cursor, ephemeral, ephemeral_capacity)
        self.video = video
        self._frames: dict[Form, FrameLog] = {}
        self._ranks: Ranks | None = None
        self._retracted = RetractedIds(capacity)
        self.redactions = 0  # so far; bytes rendered before one may contain the retracted event

    @property
    def ranks(self) -> Ranks:
        """The ranks of comments, counted from the first sample on."""
        if self._ranks is None:
            self._ranks = Ranks(self)
        return self._ranks

    def frames(self, form: Form) -> FrameLog:
        """Return this log as frames of one form."""
        found = self._frames.get(form)
        if found is None:
            # Forms that share frames are made after the shared ones, so those are rendered again first.
            if form.unfiltered is not None:
                found = FilteredFrames(self, form, self.frames(form.unfiltered))
            elif form.uncompressed is not None:
                found = CompressedFrames(self, form, self.frames(form.uncompressed))
            else:
                found = FrameLog(self, form)
            self._frames[form] = found
        return found

    def keep_filters(self, used: Set[Filter | None]) -> None:
        """Drop the frames of filters that are not among the `used` ones."""
        for form in [each for each in self._frames if each.filter is not None and each.filter not in used]:
            del self._frames[form]

    def trim(self, now: float, needed: int) -> bool:
        is_changed = super().trim(now, needed)
        if is_changed:
            for frames in self._frames.values():
                frames.trim()
                frames.clear_joined()
        return is_changed

    def _clear_frames(self) -> None:
        self._frames.clear()
        self._ranks = None  # otherwise it would hold this log

    def _redact(self, start: int, is_retracted: Callable[[bytes], bool]) -> None:
        """Redact the retracted events from the position `start` on."""
        pins: list[int] = []
        for position, item in self.walk(start, self.tip):
            if item.event == PIN:
                pins.append(position)
            elif is_retracted(item.data) and item.event != RETRACT_TYPE:
                self._redact_item(position, item)
        if pins or start == self.kept_from:
            self._empty_pins(pins, lambda pin: is_retracted(pin.prefix))

    def _redact_cleared(self, start: int) -> None:
        """Redact comments of cleared users from `start` on; all, if one was cleared just now."""
        if self.state.cleared:
            self.state.cleared, start = False, self.kept_from
        rules, pins = self.state.rules, []
        for position, item in self.walk(start, self.tip):
            if item.event == PIN:
                pins.append(position)
            elif item.event == COMMENT and was_cleared(rules, item.data):
                self._redact_item(position, item)
        if pins or start == self.kept_from:
            self._empty_pins(pins, lambda pin: rules.is_cleared(pin.user, pin.at))

    def _empty_pins(self, pins: Iterable[int], is_gone: Callable[[PinnedComment], bool]) -> None:
        """Have pins of redacted comments pin nothing, at these positions and in the states."""

        def is_empty(data: bytes) -> bool:
            pin = pinned_comment(data)
            return pin is not None and is_gone(pin)

        for position in pins:
            item = self._at(position)
            if is_empty(item.data):
                self._empty_item(position, item)
        self.state.empty(PIN_KEY, is_empty)

    def _at(self, position: int) -> Item:
        if position >= self.base:
            return self.items[position - self.base]
        return self.older[bisect_left(self.older_at, position)]

    def _redact_item(self, position: int, item: Item) -> None:
        data = redacted(item.data)
        if data is None:
            return
        if item.event in self._ephemeral and self.base <= position < self._counted:
            self._ephemeral_count -= 1
        self._replace_item(position, msgspec.structs.replace(item, event=RETRACT_TYPE, data=data))

    def _empty_item(self, position: int, item: Item) -> None:
        """Have a keyed event clear its key instead."""
        data = emptied(item.data)
        if data is not None and data != item.data:
            self._replace_item(position, msgspec.structs.replace(item, data=data))

    def _replace_item(self, position: int, changed: Item) -> None:
        self.redactions += 1
        if position >= self.base:
            self.items[position - self.base] = changed
        else:
            self.older[bisect_left(self.older_at, position)] = changed
        for frames in self._frames.values():
            frames.render_again(position)
