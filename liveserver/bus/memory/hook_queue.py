"""The queues of hooks in the memory of one process; the counterpart of redis/hook_queue.py."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from heapq import nsmallest
from itertools import islice

import trio

from liveserver.bus.hook_queue import GAP, Due, Entry, HookMessage, Progress
from liveserver.lru import LRU

POSITIONS = 100_000  # videos whose positions are remembered, the latest ones


class MemoryHookQueue:
    """A `HookQueue`. `clock` gives seconds. Its messages end with the process, as the logs do."""

    def __init__(self, clock: Callable[[], float], limit: int) -> None:
        self._clock = clock
        self.limit = limit
        self._leader: tuple[str, float] = ("", 0.0)  # and when its lease ends
        self._positions: LRU[str, str] = LRU(POSITIONS)
        self._occupied: set[str] = set()
        self._queues: dict[tuple[str, str], deque[Entry]] = {}
        self._lengths: dict[str, int] = {}  # endpoint → entries
        self._due: dict[str, dict[str, float]] = {}  # endpoint → video → when
        self._disabled: dict[str, str] = {}
        self._count = 0

    async def lead(self, node: str, lease: float) -> bool:
        await trio.lowlevel.checkpoint()
        leader, end = self._leader
        if leader != node and end > self._clock():
            return False
        self._leader = (node, self._clock() + lease)
        return True

    async def resign(self, node: str) -> None:
        await trio.lowlevel.checkpoint()
        if self._leader[0] == node:
            self._leader = ("", 0.0)

    async def positions(self, videos: Sequence[str]) -> dict[str, str]:
        await trio.lowlevel.checkpoint()
        return {video: self._positions.get(video) or "" for video in videos}

    async def occupied(self) -> set[str]:
        await trio.lowlevel.checkpoint()
        return set(self._occupied)

    async def put(self, node: str, messages: Sequence[HookMessage], progress: Progress) -> int | None:
        await trio.lowlevel.checkpoint()
        leader, end = self._leader
        if leader != node or end <= self._clock():
            return None
        for video, position in progress.positions.items():
            self._positions.put(video, position)
        self._occupied |= set(progress.occupied)
        self._occupied -= set(progress.vacated)
        return sum(not self._put(message) for message in messages)

    def _put(self, message: HookMessage) -> bool:
        queue = self._queues.setdefault((message.endpoint, message.video), deque())
        due = self._due.setdefault(message.endpoint, {})
        due.setdefault(message.video, self._clock())
        before = self._lengths.setdefault(message.endpoint, 0)
        has_room = before < self.limit
        if has_room:
            queue.append(self._entry(message.id, message.body))
        elif not queue or not queue[-1].is_gap:
            queue.append(self._gap())
        else:
            return False
        self._lengths[message.endpoint] += 1
        return has_room

    def _entry(self, name: str, body: bytes) -> Entry:
        at = int(self._clock() * 1000)
        return Entry(b"%d %b %b" % (at, name.encode(), body), at, name, body)

    def _gap(self) -> Entry:
        self._count += 1
        return self._entry(f"{GAP}{self._count}", b"")

    async def due(self, endpoint: str, limit: int) -> Due:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        waiting = self._due.get(endpoint, {})
        videos = nsmallest(limit, ((at, video) for video, at in waiting.items() if at <= now))
        return Due(int(now * 1000), [video for _, video in videos])

    async def next(self, endpoint: str, video: str, limit: int) -> list[Entry]:
        await trio.lowlevel.checkpoint()
        return list(islice(self._queues.get((endpoint, video), ()), limit))

    async def done(
        self, endpoint: str, video: str, entries: Sequence[Entry], *, leave_gap: bool = False
    ) -> None:
        await trio.lowlevel.checkpoint()
        queue = self._queues.get((endpoint, video), deque())
        before = len(queue)
        for entry in entries:
            if not queue or queue[0].raw != entry.raw:
                break
            queue.popleft()
        if len(queue) == before:
            return
        if leave_gap and not (queue and queue[0].is_gap):
            queue.appendleft(self._gap())
        self._lengths[endpoint] += len(queue) - before
        if queue:
            self._due[endpoint][video] = self._clock()
        else:
            del self._queues[endpoint, video]
            del self._due[endpoint][video]

    async def postpone(self, endpoint: str, video: str, seconds: float) -> None:
        await trio.lowlevel.checkpoint()
        if video in self._due.get(endpoint, {}):
            self._due[endpoint][video] = self._clock() + seconds

    async def waiting(self, endpoints: Sequence[str]) -> dict[str, int]:
        await trio.lowlevel.checkpoint()
        return {endpoint: self._lengths.get(endpoint, 0) for endpoint in endpoints}

    async def disabled(self) -> dict[str, str]:
        await trio.lowlevel.checkpoint()
        return dict(self._disabled)

    async def disable(self, endpoint: str, mark: str) -> None:
        await trio.lowlevel.checkpoint()
        self._disabled[endpoint] = mark

    async def enable(self, endpoint: str) -> None:
        await trio.lowlevel.checkpoint()
        self._disabled.pop(endpoint, None)
