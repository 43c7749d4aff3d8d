"""What nodes of one process share beside the logs: groups, holds, answers, and who has watched."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from liveserver.bus.memory.audiences import Audiences
from liveserver.viewer_count import AudienceReport, AudienceSize

HOLDS = 100_000  # names that are held at once; beyond it, those that end first are dropped


class MemoryCoordination:
    """The operations of a bus that concern no log. Everything here has an end, by the clock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._groups: dict[str, dict[str, float]] = {}  # group → node → end of its lease
        self._holds: dict[tuple[str, str], tuple[float, str]] = {}  # (video, name) → its end, and the token
        # (video, question) → their end, and node → answer
        self._answers: dict[tuple[str, str], tuple[float, dict[str, bytes]]] = {}
        self._audiences = Audiences()

    async def join_group(self, group: str, node: str, lease: float) -> list[str]:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        living = {name: end for name, end in self._groups.get(group, {}).items() if end > now}
        self._groups[group] = living | {node: now + lease}
        return sorted(self._groups[group])

    async def group(self, group: str) -> list[str]:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        return sorted(name for name, end in self._groups.get(group, {}).items() if end > now)

    async def leave_group(self, group: str, node: str) -> None:
        await trio.lowlevel.checkpoint()
        self._groups.get(group, {}).pop(node, None)

    async def acquire(self, video: str, name: str, token: str, seconds: float) -> float:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        end, holder = self._holds.get((video, name), (now, ""))
        if end <= now:
            if len(self._holds) >= HOLDS:
                self._expire_holds(now)
            self._holds[video, name] = now + seconds, token
            return 0.0
        if holder == token:
            return 0.0
        if end > now + seconds:
            self._holds[video, name] = now + seconds, holder
            return seconds
        return end - now

    def _expire_holds(self, now: float) -> None:
        kept = sorted((end, each, token) for each, (end, token) in self._holds.items() if end > now)
        self._holds = {each: (end, token) for end, each, token in kept[-HOLDS // 2 :]}

    async def answer(self, video: str, question: str, node: str, content: bytes, ttl: float) -> None:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        for key, (until, _) in list(self._answers.items()):
            if until <= now:
                del self._answers[key]
        _, found = self._answers.setdefault((video, question), (now + ttl, {}))
        found[node] = content

    def answers_of_nodes(self, video: str, question: str) -> dict[str, bytes]:
        """Return the answers so far, by node."""
        until, found = self._answers.get((video, question), (0.0, {}))
        return dict(found) if until > self._clock() else {}

    async def add_audiences(self, reports: Sequence[AudienceReport], ttl: float) -> None:
        await trio.lowlevel.checkpoint()
        for report in reports:
            self._audiences.add(report, self._clock(), ttl)

    async def audience(self, video: str) -> AudienceSize:
        await trio.lowlevel.checkpoint()
        return self._audiences.size(video, self._clock())
