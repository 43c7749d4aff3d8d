"""Which videos have viewers, by the subscription table.

Rules:

1. Nodes report viewers with their leases, and these reports are listed by time (`Bus.watched_since`): a
   video that is new there is counted, and occupied if it has viewers.
2. A video is counted again when a node has reported that it left, and when it has not been reported for half
   of `frontend.lease`, as after a crash: its leases have then ended, or still do. Nodes report three times
   within it.
3. It is vacated when it has had no viewers for `hooks.vacated_after`.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from itertools import islice
from typing import NamedTuple, Protocol

import trio

from liveserver.bus.following import MovedVideos
from liveserver.bus.hook_queue import HookQueue
from liveserver.bus.interface import ActiveVideos
from liveserver.config import Settings
from liveserver.event import SITE
from liveserver.hooks.messages import is_followed
from liveserver.viewer_count import ViewerCount

AGAIN = 2.0  # seconds between two counts of such a video
COUNTS = 500  # in one round trip


class ViewerReader(Protocol):
    """The part of a bus that knows viewers. All raise `BusError`."""

    async def watched_since(self, since: int, limit: int, *, left: bool = False) -> ActiveVideos: ...

    async def counts(self, videos: Collection[str]) -> dict[str, ViewerCount]: ...


class Changes(NamedTuple):
    """Videos that are occupied now, with their viewers, and videos that are vacated."""

    occupied: dict[str, int]
    vacated: list[str]


class _Watched:
    __slots__ = ("count_at", "empty_since")

    def __init__(self, count_at: float) -> None:
        self.count_at = count_at
        self.empty_since: float | None = None


class Occupancy:
    """Finds changes. Each is to be confirmed by `apply`, after it was queued."""

    def __init__(self, reader: ViewerReader, queue: HookQueue, settings: Settings) -> None:
        self._reader = reader
        self._queue = queue
        self._settings = settings.hooks
        self._quiet = settings.frontend.lease / 2  # seconds without a report, after which a video is counted
        self.omitted = 0
        self.reset()

    def reset(self) -> None:
        """Read the occupied videos from the queue again: the outcome of a change is not known."""
        self._known: dict[str, _Watched] | None = None
        self._watched = MovedVideos(self._reader.watched_since, once=True)
        self._left = MovedVideos(partial(self._reader.watched_since, left=True), once=True)

    async def changes(self) -> Changes:
        """Return what has changed since the last `apply`. Raises `BusError`."""
        now = trio.current_time()
        if self._known is None:
            self._known = {video: _Watched(now + self._quiet) for video in await self._queue.occupied()}
        known, new, to_count = self._known, [], set()
        for video in await self._watched.next():
            if video in known:
                known[video].count_at = max(known[video].count_at, now + self._quiet)
            elif is_followed(video) and video != SITE:
                new.append(video)
        to_count = {video for video in await self._left.next() if video in known}
        to_count |= {
            video for video, each in known.items() if each.count_at <= now or each.empty_since is not None
        }
        counts = await self._count([*new, *to_count])
        room = max(0, self._settings.occupied_videos - len(known))
        occupied = {video: counts[video] for video in new if counts[video]}
        self.omitted += max(0, len(occupied) - room)
        return Changes(dict(islice(occupied.items(), room)), self._vacated(to_count, counts, now))

    def _vacated(self, to_count: Collection[str], counts: dict[str, int], now: float) -> list[str]:
        vacated = []
        for video in to_count:
            each = (self._known or {})[video]
            each.count_at = now + AGAIN
            if counts[video]:
                each.empty_since = None
            elif each.empty_since is None:
                each.empty_since = now
            if each.empty_since is not None and now - each.empty_since >= self._settings.vacated_after:
                vacated.append(video)
        return vacated

    async def _count(self, videos: list[str]) -> dict[str, int]:
        counts: dict[str, int] = {}
        for start in range(0, len(videos), COUNTS):
            found = await self._reader.counts(videos[start : start + COUNTS])
            counts.update(
                (video, count.total if self._settings.origins == "all" else count.datacenter)
                for video, count in found.items()
            )
        return counts

    def apply(self, changes: Changes) -> None:
        """Adopt changes that were queued."""
        if self._known is None:
            return
        now = trio.current_time()
        for video in changes.occupied:
            self._known[video] = _Watched(now + self._quiet)
        for video in changes.vacated:
            self._known.pop(video, None)

    @property
    def occupied(self) -> int:
        return len(self._known or ())
