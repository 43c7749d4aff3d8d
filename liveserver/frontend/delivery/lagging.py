"""The viewers of an audience that lag: those in no segment, each with its own position."""

from __future__ import annotations

from collections.abc import Iterator

import trio

from liveserver.frontend.delivery.viewer import READING_PAUSE, Viewer


class LaggingViewers:
    """A set of viewers, and when each one's socket last accepted more.

    A viewer from which events are withheld, because it has seen them elsewhere, does not count as reading.
    """

    __slots__ = ("_reading", "_viewers")

    def __init__(self) -> None:
        self._viewers: set[Viewer] = set()
        self._reading: dict[Viewer, float] = {}

    def __iter__(self) -> Iterator[Viewer]:
        return iter(self._viewers)

    def __len__(self) -> int:
        return len(self._viewers)

    def add(self, viewer: Viewer) -> None:
        """Add a viewer that has just fallen behind."""
        self._viewers.add(viewer)
        if viewer.seen is None:
            self._reading[viewer] = trio.current_time()

    def take(self, viewer: Viewer) -> None:
        """Add a viewer that lagged in another audience."""
        self._viewers.add(viewer)

    def discard(self, viewer: Viewer) -> None:
        """Remove a viewer; idempotent."""
        self._viewers.discard(viewer)
        self._reading.pop(viewer, None)

    def note_reading(self, viewer: Viewer, now: float) -> None:
        """Note that a viewer's socket has just accepted more."""
        if viewer.seen is None:
            self._reading[viewer] = now

    def behind(self, tip: int) -> int:
        """Return the position of the viewer furthest behind; `tip` if there is none."""
        return min((viewer.position for viewer in self._viewers), default=tip)

    def reading_behind(self, tip: int) -> int:
        """Return `behind`, without viewers that have paused for `READING_PAUSE`."""
        since = trio.current_time() - READING_PAUSE
        return min((viewer.position for viewer, at in self._reading.items() if at >= since), default=tip)
