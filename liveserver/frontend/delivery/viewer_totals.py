"""How many viewers a channel has, whatever their delay, and with which filters.

A long-poll client is a viewer between two polls, too: counted are the most polls that waited at once within
the last samples.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Set

import trio

from liveserver.transport.filter import Filter

SAMPLES = 5  # of the waiting polls: a client that has polled within them is counted as watching


class ViewerTotals:
    """The number of a channel's viewers; `waiting` of them are polls.

    `empty_since`: since when there have been none, in Trio's time, if there are none.
    """

    __slots__ = ("_filters", "_most_waiting", "count", "empty_since", "waiting")

    def __init__(self) -> None:
        self.count = self.waiting = 0
        self.empty_since = trio.current_time()
        self._filters: Counter[Filter] = Counter()  # viewers with each filter
        self._most_waiting: deque[int] = deque([0], maxlen=SAMPLES)  # maximum since each of the last samples

    @property
    def watching(self) -> int:
        """`count`, including the clients that are between two polls."""
        return self.count - self.waiting + max(self._most_waiting)

    def sample(self) -> int:
        """Return `watching`, and begin a new sample of the waiting polls."""
        self._most_waiting.append(self.waiting)
        return self.watching

    def add(self) -> None:
        """Count a viewer that has come."""
        self.count += 1

    def remove(self) -> None:
        """Count a viewer that has left."""
        self.count -= 1
        if self.count == 0:
            self.empty_since = trio.current_time()

    def add_poll(self) -> None:
        """Count a poll that begins to wait."""
        self.count += 1
        self.waiting += 1
        self._most_waiting[-1] = max(self._most_waiting[-1], self.waiting)

    def remove_poll(self) -> None:
        """Count a poll that has ended."""
        self.waiting -= 1
        self.count -= 1
        if self.count == 0:
            self.empty_since = trio.current_time()

    @property
    def filters(self) -> Set[Filter]:
        """The filters in use."""
        return self._filters.keys()

    def add_filter(self, chosen: Filter) -> None:
        """Count a viewer with this filter."""
        self._filters[chosen] += 1

    def remove_filter(self, chosen: Filter) -> None:
        """Count a viewer with this filter that has left."""
        self._filters[chosen] -= 1
        if not self._filters[chosen]:
            del self._filters[chosen]
