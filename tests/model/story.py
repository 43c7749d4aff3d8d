"""What one viewer was sent over all its connections, judged as it comes.

Each event once, each origin's in its order and without holes from the first cursor on, or a gap is sent,
and then something is missing; cursors never go back, and never say more than was sent.
"""

from __future__ import annotations

from typing import Any

from liveserver.cursor import Cursor, Mark
from liveserver.frontend.delivery.catchup import FEW_WAIT
from tests.model.history import History, Published, is_before, joined


class Violation(AssertionError):
    """The server broke its word."""


class Story:
    """One viewer's. `known` is what it has seen; None until `ready` has said where it begins."""

    def __init__(self, name: str, history: History) -> None:
        self.name = name
        self.known: Cursor | None = None
        self.lines: list[str] = []  # for the report
        self._history = history
        self._datacenter = ""  # where it is connected
        self._retracted: set[str] = set()  # ids, on this connection
        self._is_gap_promised = False
        self._begun = 0.0

    def begin(self, what: str, datacenter: str, now: float = 0.0) -> None:
        """A connection begins: nothing promised on the last one holds."""
        self._datacenter = datacenter
        self._begun = now
        self.lines.append(what)
        self._is_gap_promised = False
        self._retracted.clear()  # another node may not know of them yet

    def ready(self, cursor: str, *, resumed: bool, gap: bool) -> None:
        self.lines.append(f"ready {cursor} resumed={resumed} gap={gap}")
        here = Cursor.parse_trusted(cursor)
        if self.known is None:
            self._check(not resumed, "resumed without a cursor")
            self.known = here
            return
        self._check(resumed != gap, "a cursor is resumed from, or a gap is sent")
        if gap:
            self._is_gap_promised = not self._is_missing(here)
            self.known = joined(self.known, here)
        else:
            self._at(here, "ready")

    def event(self, data: dict[str, Any], cursor: str = "", *, is_after_gap: bool = False) -> Published:
        """An event, with the cursor after it if the form has one. `is_after_gap`: in an answer that tells
        one, somewhere."""
        event = self._published(data, cursor)
        self.lines.append(f"{event.origin}-{event.epoch}-{event.number} {data['type']} @ {cursor}")
        assert self.known is not None
        known = self.known.get(event.origin)
        self._check(is_before(known, event.mark), f"{event} was sent twice, or out of order")
        if not is_after_gap:
            first = 1 if known is None or known.epoch != event.epoch else known.number + 1
            missing = self._history.kept(event.origin, event.epoch, first, event.number - 1)
            self._check(not missing, f"{event} follows {known}: {missing} are missing, untold")
            is_promised = known is not None and (known.number > 0 or event.origin == self._datacenter)
            is_known = known is not None and known.epoch == event.epoch
            self._check(is_known or not is_promised, f"{event}: a new epoch, untold")
        self.known = self.known.advanced(event.origin, *event.mark)
        if cursor:
            self._at(Cursor.parse_trusted(cursor), "an event")
        if event.type == "retract":
            self._retracted.add(event.target)
        elif data["type"] != "retract":
            self._check(event.id not in self._retracted, f"{event} was retracted, and is shown")
        return event

    def gap(self, cursor: str, now: float = 0.0) -> None:
        self.lines.append(f"gap {cursor}")
        assert self.known is not None
        here = Cursor.parse_trusted(cursor)
        if now - self._begun >= FEW_WAIT and self._forget(here):
            return
        self._check(self._is_missing(here), f"a gap that is not real at {cursor}; known {self.known}")
        self._check_not_behind(here, "gap")
        self._is_gap_promised = False
        self.known = joined(self.known, here)

    def _forget(self, here: Cursor) -> bool:
        """What this viewer has seen elsewhere did not come to its node in time: from there on it may come
        again."""
        assert self.known is not None
        marks = dict(self.known)
        forgotten = {origin for origin, mark in here if is_before(mark, marks.get(origin, mark))}
        forgotten |= {origin for origin in marks if here.get(origin) is None}
        if not forgotten:
            return False
        kept = Cursor((origin, mark) for origin, mark in marks.items() if origin not in forgotten)
        self.known = joined(kept, here)
        return True

    def page(self, cursor: str, events: list[dict[str, Any]], *, gap: bool, is_first: bool) -> None:
        """A long-poll's answer. `is_first`: to a request without a cursor."""
        self.lines.append(f"page {cursor} gap={gap} events={len(events)}")
        self._retracted.clear()  # the node may have dropped the video between two polls
        here = Cursor.parse_trusted(cursor)
        if is_first:
            self._check(not events, "events without a cursor")
            self.known = here
            return
        assert self.known is not None
        before = self.known
        sent = [self.event(data, is_after_gap=gap) for data in events]
        if gap:
            marks = {(event.origin, event.mark) for event in sent}
            is_real = any(
                self._is_lacking(before, origin, mark)
                and self._is_cut(origin, before.get(origin), mark, marks)
                for origin, mark in here
            )
            self._check(is_real, f"a gap that is not real on the page up to {cursor}; known {before}")
            self._check_not_behind(here, "page")
            self.known = joined(self.known, here)
        else:
            self._at(here, "page")

    def notice(self, cursor: str, kind: str) -> None:
        """A control frame, with the position of the viewer."""
        self.lines.append(f"{kind} {cursor}")
        if cursor:
            self._at(Cursor.parse_trusted(cursor), kind)

    def end(self, head: Cursor) -> None:
        """All is quiet: the viewer has all that its datacenter has, or got a gap."""
        self.lines.append(f"end {head}")
        assert self.known is not None
        for origin, mark in head:
            known = self.known.get(origin)
            if mark.number or known is not None:
                is_level = not is_before(known, mark) or self._is_passed_over(origin, known, mark)
                self._check(is_level, f"{origin} stands at {mark}, the viewer at {known}")

    def _published(self, data: dict[str, Any], cursor: str) -> Published:
        if data["type"] == "retract" and "n" not in data["data"]:  # of an event that lost its content
            assert self.known is not None
            later = [
                event
                for event in self._history.events.values()
                if event.id == data["id"] and is_before(self.known.get(event.origin), event.mark)
            ]
            self._check(bool(later), f"{data} is of no event that is still to come")
            here = Cursor.parse_trusted(cursor) if cursor else None
            for event in later:  # of several copies, the one that the cursor names, or that is next
                known = self.known.get(event.origin)
                if here is not None:
                    if event.mark == here.get(event.origin):
                        return event
                elif event.mark == (known.epoch, known.number + 1) if known else event.number == 1:
                    return event
            return later[0]
        return self._history.events[data["data"]["n"]]

    def _is_cut(self, origin: str, after: Mark | None, upto: Mark, sent: set[tuple[str, Mark]]) -> bool:
        """Whether some event of the origin between two marks is not among the ones sent."""
        is_own = after is None and origin == self._datacenter  # see `_is_lacking`
        if upto.number == 0 or is_own or (after is not None and after.epoch != upto.epoch):
            return True
        if any(mark.epoch != upto.epoch for name, mark in sent if name == origin):
            return True  # a new epoch within the page: what the end of the former held is not known
        first = after.number + 1 if after is not None else 1
        kept = self._history.kept(origin, upto.epoch, first, upto.number)
        return any((origin, Mark(upto.epoch, number)) not in sent for number in kept)

    def _is_missing(self, upto: Cursor) -> bool:
        assert self.known is not None
        return any(self._is_lacking(self.known, origin, mark) for origin, mark in upto)

    def _is_lacking(self, known: Cursor, origin: str, upto: Mark) -> bool:
        """Whether events of the origin lie between what was known and a mark, or may lie there."""
        after = known.get(origin)
        if after is None:  # a node's own log may have lost what it was about to tell
            return upto.number > 0 or origin == self._datacenter
        if after.epoch != upto.epoch:
            return after.epoch < upto.epoch  # what the end of the former held is not known
        return bool(self._history.kept(origin, upto.epoch, after.number + 1, upto.number))

    def _is_passed_over(self, origin: str, known: Mark | None, upto: Mark) -> bool:
        """Whether only ephemeral events lie between two marks."""
        if known is not None and known.epoch != upto.epoch:
            return False
        first = 1 if known is None else known.number + 1
        return not self._history.kept(origin, upto.epoch, first, upto.number)

    def _at(self, cursor: Cursor, where: str) -> None:
        """A cursor says just what was sent."""
        assert self.known is not None
        self._check_not_behind(cursor, where)
        for origin, mark in cursor:
            known = self.known.get(origin)
            if not mark.number and known is None:
                self.known = self.known.advanced(origin, *mark)
            elif is_before(known, mark):
                is_level = self._is_passed_over(origin, known, mark)
                self._check(is_level, f"{where}: {cursor} says more than {self.known}")
                self.known = self.known.advanced(origin, *mark)

    def _check_not_behind(self, cursor: Cursor, where: str) -> None:
        assert self.known is not None
        for origin, mark in self.known:
            here = cursor.get(origin)
            if here is None and not mark.number:  # covers nothing
                self.known = self.known.without(origin)
                continue
            is_kept = here is not None and not is_before(here, mark)
            self._check(is_kept, f"{where}: {cursor} goes back from {self.known}")

    def _check(self, holds: bool, what: str) -> None:
        if not holds:
            raise Violation(f"{self.name}: {what}")
