"""The answers to long-polls, as pages of a channel's log: rendered once for all clients at one position."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Protocol, TypeAlias

from liveserver.cursor import Cursor, Mark
from liveserver.edge.response import date_line, json_response
from liveserver.frontend.history.delayed import AudienceLog
from liveserver.frontend.history.frames import GAP, SKIP
from liveserver.frontend.history.items import BREAKS, Item
from liveserver.transport.filter import Filter
from liveserver.transport.longpoll import poll_body

Chosen: TypeAlias = "Filter | None"
MAX_PAGES = 16  # cached answers of one channel
MAX_EVENT = 20 * 1024  # bytes of an event, whose `data` has at most 16 KiB


class PolledClient(Protocol):
    """A waiting poll, as far as the next page depends on it."""

    position: int
    seen: Cursor | None
    chosen: Chosen


class PollPages:
    """The answers to long-polls of one channel: at most `limit` events and about `max_bytes` each.

    Clients at one position share the bytes of an answer, including slow ones.
    """

    __slots__ = ("_date", "_log", "_max_bytes", "_pages", "_version")

    def __init__(self, log: AudienceLog, max_bytes: int) -> None:
        self._log = log
        self._max_bytes = max_bytes
        self._pages: dict[tuple[int, int, bool, bool, bool, bool, Chosen, int], bytes] = {}
        self._version = (0, 0)
        self._date = b""

    def answer(
        self,
        position: int,
        seen: Cursor | None,
        limit: int,
        *,
        is_cut: bool = False,
        empty: bool = False,
        has_state: bool = False,
        internal: bool = False,
        skipped: bool = False,
        chosen: Chosen = None,
        omitted: int = 0,
    ) -> bytes | None:
        """Return the complete response to a client at `position`; None if there is nothing new.

        `is_cut`: events before the position are missing. `empty`: answer even if there is nothing new.
        `has_state`: include the state at the position; after a gap it is always included. `internal`: for a
        moderator. `skipped`: ephemeral events that the client has not seen are missing before what follows.
        `chosen`: the client's filter. `omitted`: comments that it has left out before the position.
        """
        log, types = self._log, None if chosen is None else chosen.types
        if position < log.kept_from:
            is_cut, position = is_cut or seen is None or log.is_cut(seen), log.kept_from
        if seen is not None:
            return self._withholding(position, seen, limit, is_cut, empty, internal, skipped, chosen, omitted)
        skipped = skipped or position < log.base
        end = self._end(position, limit)
        if end == position and not is_cut and not empty:
            return None
        while self._is_hidden(position, end, internal, chosen) and not is_cut:
            if end >= log.tip and not empty:
                return None
            if end >= log.tip:
                break
            omitted += log.ranks.count_omitted(chosen, position, end)
            position, end = end, self._end(end, limit)  # skip pages without events for this client
        version, date = (log.base, log.redactions), date_line()
        if version != self._version or date != self._date or len(self._pages) >= MAX_PAGES:
            self._pages.clear()
            self._version, self._date = version, date
        omitted += log.ranks.count_omitted(chosen, position, end)
        key = (position, end, is_cut, has_state, internal, skipped, chosen, omitted)
        found = self._pages.get(key)
        if found is None:
            items = self._shown(position, end, internal, chosen)
            state = self._state(position, end, is_cut or has_state or skipped, internal, types)
            found = self._pages[key] = _response(log.cursor_at(end), items, is_cut, state, skipped, omitted)
        return found

    def count_omitted(self, waiter: PolledClient, end: int) -> int:
        """Return how many comments before `end` a waiting poll's filter leaves out."""
        log, chosen, seen = self._log, waiter.chosen, waiter.seen
        if chosen is None or chosen.rate is None:
            return 0
        if seen is None:
            return log.ranks.count_omitted(chosen, waiter.position, end)
        return sum(
            log.ranks.omits(chosen, at, item) and not log.was_seen(item, seen)
            for at, item in log.walk(waiter.position, end)
        )

    def _is_hidden(self, start: int, end: int, internal: bool, chosen: Chosen) -> bool:
        """Return whether there are items between these positions, and none is for this client."""
        hidden: Set[int] = frozenset() if internal else self._log.internal
        if start == end or not (hidden or chosen is not None):
            return False
        return all(
            at in hidden or (chosen is not None and not self._log.ranks.includes(chosen, at, item))
            for at, item in self._log.walk(start, end)
        )

    def _shown(self, start: int, end: int, internal: bool, chosen: Chosen) -> Sequence[Item]:
        """Return the items to send to this client."""
        items, hidden = self._log.between(start, end), self._log.internal
        if chosen is not None:
            return [
                item
                for at, item in self._log.walk(start, end)
                if self._log.ranks.includes(chosen, at, item) and (internal or at not in hidden)
            ]
        if internal or not hidden:
            return items
        return [item for position, item in self._log.walk(start, end) if position not in hidden]

    def _state(
        self, start: int, end: int, is_wanted: bool, internal: bool, types: frozenset[bytes] | None
    ) -> bytes:
        """Return the state after the last gap of an answer or, if wanted, at its start."""
        log, position = self._log, start
        while (gap := log.before_gap(position, end)) < end:
            position, is_wanted = gap + 1, True
        return log.state.rendered(position, internal=internal, types=types) if is_wanted else b""

    def clear(self) -> None:
        self._pages.clear()

    def _end(self, position: int, limit: int) -> int:
        """Return the position after the answer's last event; it has at least one, if there is one."""
        end, size = max(position, self._log.after_events(position, limit)), 0
        if (end - position) * MAX_EVENT <= self._max_bytes:
            return end
        for at, item in self._log.walk(position, end):
            size += len(item.data)
            if size > self._max_bytes and at > position:
                return at
        return end

    def _withholding(
        self,
        position: int,
        seen: Cursor,
        limit: int,
        is_cut: bool,
        empty: bool,
        internal: bool,
        skipped: bool,
        chosen: Chosen,
        omitted: int,
    ) -> bytes | None:
        """Return the response to a client that has received some of the following events elsewhere."""
        log, types = self._log, None if chosen is None else chosen.types
        items: list[Item] = []
        end, count, size = position, 0, 0
        state = log.state.rendered(position, internal=internal, types=types) if is_cut or skipped else b""
        marks = dict(seen)
        for at, item in log.walk(position, log.tip):
            if item.event == SKIP:
                state, end, skipped = log.state.rendered(at + 1, internal=internal, types=types), at + 1, True
                continue
            if not log.was_seen(item, marks):
                size += len(item.data)
                if count == limit or (size > self._max_bytes and items):
                    break
                if item.event != GAP:
                    if not log.is_next(item, marks):
                        is_cut, state = True, log.state.rendered(at, internal=internal, types=types)
                    marks[item.origin] = Mark(item.epoch, item.number)
                if chosen is not None and not log.ranks.includes(chosen, at, item):
                    omitted += log.ranks.omits(chosen, at, item)
                elif internal or at not in log.internal:
                    items.append(item)
                    count += item.event != GAP
                    if item.event == GAP:
                        state = log.state.rendered(at + 1, internal=internal, types=types)
            end = at + 1
        if not items and not is_cut and not empty and not skipped:
            return None
        cursor = Cursor.parse_trusted(log.cursor_at(end).decode()).merged(Cursor(marks.items()))
        return _response(str(cursor).encode(), items, is_cut, state, skipped and not is_cut, omitted)


def _response(
    cursor: bytes, items: Sequence[Item], is_cut: bool, state: bytes, skipped: bool, omitted: int
) -> bytes:
    events = [item.data for item in items if item.event not in BREAKS]
    if len(events) < len(items):
        is_cut = is_cut or any(item.event == GAP for item in items)
        skipped = skipped or any(item.event == SKIP for item in items)
    return json_response(
        200, poll_body(cursor, is_cut, events, state, skipped=skipped and not is_cut, omitted=omitted)
    )
