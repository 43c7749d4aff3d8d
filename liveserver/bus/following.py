"""Following the logs of all videos: which have moved, and what of a log was not seen before.

Rules:

1. The bus is asked which videos moved since the last call, by its clock: there is nothing to subscribe to,
   and nothing to miss.
2. What was seen of a log is known by the numbers of each origin (a cursor). So a log that began anew and an
   event that was relayed twice double nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import msgspec

from liveserver.bus.interface import ActiveVideos
from liveserver.cursor import Cursor, is_newer_epoch
from liveserver.event import Batch

PAGE = 1_000  # videos in one answer


class MovedVideos:
    """Lists the videos that moved; `list_active(since, limit)` asks the bus, as `PeerBus.active_since` does.

    Those that moved last are listed again by each call, as more may have come in the same millisecond; with
    `once`, only until a call has found nothing else.
    """

    def __init__(
        self, list_active: Callable[[int, int], Awaitable[ActiveVideos]], *, once: bool = False
    ) -> None:
        self._list_active = list_active
        self._since = 0
        self._once = once
        self._last: set[str] = set()

    async def next(self) -> list[str]:
        """Return the videos that moved since the last call. Raises `BusError`, and then repeats them."""
        found: dict[str, None] = {}
        since = self._since
        while True:
            active = await self._list_active(since, PAGE)
            found.update(dict.fromkeys(active.videos))
            if active.now < since:  # another Redis, whose clock is behind: look at all of it
                since = 0
                continue
            since = max(since, active.upto)
            if len(active.videos) < PAGE:
                # More may follow in the last millisecond: it is listed again.
                known = self._last if self._once and since == self._since else ()
                self._since, self._last = since, set(found) if self._once else set()
                return [video for video in found if video not in known]
            since += 1


class Unseen(NamedTuple):
    """What a cursor did not cover: the cursor after it, the batches, cut to what is new.

    `has_jump`: numbers are missing before one of them. `has_loss`: events that were not ephemeral.
    """

    cursor: Cursor
    batches: list[Batch]
    has_jump: bool
    has_loss: bool


def unseen(cursor: Cursor, batches: Sequence[Batch]) -> Unseen:
    """Return what of the batches `cursor` does not cover."""
    new: list[Batch] = []
    has_jump = has_loss = False
    for batch in batches:
        mark, skip = cursor.get(batch.origin), 0
        if mark is not None:
            if mark.epoch == batch.origin_epoch:
                skip = max(0, mark.number + 1 - batch.number)
                has_jump = has_jump or batch.number > mark.number + 1
                has_loss = has_loss or batch.after > mark.number
            elif is_newer_epoch(mark.epoch, batch.origin_epoch):
                continue
        if skip >= len(batch.lines):
            continue
        cursor = cursor.advanced(batch.origin, batch.origin_epoch, batch.number + len(batch.lines) - 1)
        if skip:
            batch = msgspec.structs.replace(
                batch,
                first=batch.first + skip,
                number=batch.number + skip,
                lines=batch.lines[skip:],
                since=None,
            )
        new.append(batch)
    return Unseen(cursor, new, has_jump, has_loss)
