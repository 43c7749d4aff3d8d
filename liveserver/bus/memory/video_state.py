"""The state of a video of the memory bus: the lines of the newest event of each key, bounded.

`bus/redis/scripts/state.lua` is its counterpart.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from liveserver.config import HistorySettings
from liveserver.event import is_own_key
from liveserver.state import MARK, Keyed, MalformedKeyed, State, read, tombstone

OWN_ROOM = 2  # times the bounds: the server's own events, as bans and totals, whatever publishers have filled
RELAYED_ROOM = 4  # times the bounds: what other datacenters have accepted is kept beyond them
PURGE_PAUSE = 10.0  # seconds between two purges of old tombstones


class VideoState:
    """Folds lines into a state; ignores lines that are not keyed."""

    __slots__ = ("_lines", "_purged", "_settings", "_size", "_state")

    def __init__(self, settings: HistorySettings) -> None:
        self._settings = settings
        self._state = State()
        self._lines: dict[str, bytes] = {}
        self._size = 0
        self._purged = float("-inf")

    def lines(self) -> list[bytes]:
        return list(self._lines.values())

    def fold(self, line: bytes) -> bool:
        """Fold a line; return False if it is stale."""
        event = _keyed(line)
        if event is None:
            return True
        if not self._state.fold(event):
            return False
        before = self._lines.get(event.key)
        after = self._lines[event.key] = tombstone(line, event) if event.is_cleared else line
        self._size += len(after) - (len(before) if before is not None else -len(event.key))
        return True

    def fold_relayed(self, line: bytes) -> None:
        """Fold a line of another datacenter, whose own limits have admitted it."""
        bounds = self._settings
        if (
            len(self._lines) < RELAYED_ROOM * bounds.state_keys
            and self._size < RELAYED_ROOM * bounds.state_size
        ):
            self.fold(line)

    def has_room(self, lines: Iterable[bytes], now: float) -> bool:
        """Return whether the lines fit; lines that do not enlarge the state always fit.

        `now` is in seconds.
        """
        more_keys, more_size, room = 0, 0, OWN_ROOM
        known: dict[str, int] = {}
        for line in lines:
            event = _keyed(line)
            if event is None:
                continue
            size = len(tombstone(line, event) if event.is_cleared else line)
            before = known.get(event.key) or len(self._lines.get(event.key, b""))
            if before == 0:
                more_keys += 1
                more_size += len(event.key)
            more_size += max(size - before, 0)
            if size > before and not is_own_key(event.key):
                room = 1
            known[event.key] = max(size, before)
        if not (more_keys or more_size) or self._fits(more_keys, more_size, room):
            return True
        self._purge(now)
        return self._fits(more_keys, more_size, room)

    def _fits(self, more_keys: int, more_size: int, room: int) -> bool:
        return (
            len(self._lines) + more_keys <= room * self._settings.state_keys
            and self._size + more_size <= room * self._settings.state_size
        )

    def _purge(self, now: float) -> None:
        """Remove the tombstones that are older than any log: no older event can arrive any more."""
        if now - self._purged < PURGE_PAUSE:
            return
        self._purged = now
        oldest = 1000 * (time.time() - 2 * self._settings.max_age)  # as in `at`
        kept = [event for event in self._state if not (event.is_cleared and event.at < oldest)]
        self._state = State(kept)
        self._lines = {event.key: self._lines[event.key] for event in kept}
        self._size = sum(len(key) + len(line) for key, line in self._lines.items())


def _keyed(line: bytes) -> Keyed | None:
    """Return a line's keyed event, or None."""
    if not line.startswith(MARK):
        return None
    try:
        event = read(line)
    except MalformedKeyed:
        return None
    return event if event.key else None
