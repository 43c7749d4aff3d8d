"""The queues of hooks in Redis. All keys have one hash tag, `{+hooks}`, which no video can have.

ls:{+hooks}:leader                String   the node that leads, for its lease
ls:{+hooks}:place:VIDEO           String   up to where its log was turned into messages
ls:{+hooks}:occupied              Hash     videos that are occupied → since when (ms)
ls:{+hooks}:queue:ENDPOINT:VIDEO  Sorted   the messages that wait (hooks_put.lua)
ls:{+hooks}:due:ENDPOINT          Sorted   videos with such messages → from when they are due (ms)
ls:{+hooks}:length                Hash     endpoint → its messages
ls:{+hooks}:disabled              Hash     endpoints that are disabled
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import trio

from liveserver.bus.hook_queue import GAP, Due, Entry, HookMessage, Progress
from liveserver.bus.redis.connection import Link, Script
from liveserver.bus.redis.replies import ms
from liveserver.bus.redis.server import Command

PREFIX = "ls:{+hooks}:"
LEADER, OCCUPIED, LENGTH, DISABLED = (PREFIX + name for name in ("leader", "occupied", "length", "disabled"))
POSITION_TTL = 7 * 86_400.0  # seconds without a leader, at least: positions, what is occupied or disabled


class HookScripts:
    """The scripts of the queues."""

    def __init__(self, settings: Mapping[str, str | int]) -> None:
        self.lead = Script("hooks_lead", settings)
        self.put = Script("hooks_put", settings)
        self.due = Script("hooks_due", settings)
        self.done = Script("hooks_done", settings)
        self.postpone = Script("hooks_postpone", settings)
        self.all = (self.lead, self.put, self.due, self.done, self.postpone)


class RedisHookQueue:
    """A `HookQueue`. `ttl`: seconds for which messages are kept; `limit`: of one endpoint.

    `idle_ttl`: how long logs are kept; the positions in them outlive them.
    """

    def __init__(self, link: Link, scripts: HookScripts, ttl: float, limit: int, idle_ttl: float) -> None:
        self._link = link
        self._scripts = scripts
        self._ttl = ttl
        self._limit = limit
        self._position_ttl = ms(max(POSITION_TTL, 2 * idle_ttl))
        self._calls = trio.CapacityLimiter(4)

    async def _run(self, *commands: Command) -> list[Any]:
        return await self._link.call(self._calls, lambda: self._link.run(commands, transaction=False))

    async def lead(self, node: str, lease: float) -> bool:
        keys = [LEADER, OCCUPIED, DISABLED]
        (leads,) = await self._run(_call(self._scripts.lead, keys, node, ms(lease), self._position_ttl))
        return bool(leads)

    async def resign(self, node: str) -> None:
        await self._run(_call(self._scripts.lead, [LEADER, OCCUPIED, DISABLED], node, 1, self._position_ttl))

    async def positions(self, videos: Sequence[str]) -> dict[str, str]:
        found = await self._run(*(("GET", f"{PREFIX}place:{video}") for video in videos))
        return {video: (position or b"").decode() for video, position in zip(videos, found, strict=True)}

    async def occupied(self) -> set[str]:
        (found,) = await self._run(("HKEYS", OCCUPIED))
        return {video.decode() for video in found}

    async def put(self, node: str, messages: Sequence[HookMessage], progress: Progress) -> int | None:
        counts = len(messages), len(progress.positions), len(progress.occupied), len(progress.vacated)
        arguments: list[str | bytes | int] = [node, ms(self._ttl), self._position_ttl, self._limit, *counts]
        for message in messages:
            arguments += message.endpoint, message.video, message.id, message.body
        for video, position in progress.positions.items():
            arguments += video, position
        arguments += [*progress.occupied, *progress.vacated]
        (dropped,) = await self._run(_call(self._scripts.put, [LEADER, OCCUPIED, LENGTH], *arguments))
        return None if dropped < 0 else int(dropped)

    async def due(self, endpoint: str, limit: int) -> Due:
        ((now, *videos),) = await self._run(_call(self._scripts.due, [f"{PREFIX}due:{endpoint}"], limit))
        return Due(int(now), [video.decode() for video in videos])

    async def next(self, endpoint: str, video: str, limit: int) -> list[Entry]:
        (found,) = await self._run(("ZRANGE", f"{PREFIX}queue:{endpoint}:{video}", 0, limit - 1))
        return [Entry.parse(raw) for raw in found]

    async def done(
        self, endpoint: str, video: str, entries: Sequence[Entry], *, leave_gap: bool = False
    ) -> None:
        keys = [f"{PREFIX}queue:{endpoint}:{video}", f"{PREFIX}due:{endpoint}", LENGTH]
        gap = f"{GAP}{secrets.token_hex(8)}" if leave_gap else ""
        raw = [entry.raw for entry in entries]
        await self._run(_call(self._scripts.done, keys, endpoint, video, gap, ms(self._ttl), *raw))

    async def postpone(self, endpoint: str, video: str, seconds: float) -> None:
        await self._run(_call(self._scripts.postpone, [f"{PREFIX}due:{endpoint}"], video, ms(seconds)))

    async def waiting(self, endpoints: Sequence[str]) -> dict[str, int]:
        if not endpoints:
            return {}
        (found,) = await self._run(("HMGET", LENGTH, *endpoints))
        return {endpoint: int(count or 0) for endpoint, count in zip(endpoints, found, strict=True)}

    async def disabled(self) -> dict[str, str]:
        names, marks = await self._run(("HKEYS", DISABLED), ("HVALS", DISABLED))
        return {name.decode(): mark.decode() for name, mark in zip(names, marks, strict=False)}

    async def disable(self, endpoint: str, mark: str) -> None:
        await self._run(("HSET", DISABLED, endpoint, mark), ("PEXPIRE", DISABLED, self._position_ttl))

    async def enable(self, endpoint: str) -> None:
        await self._run(("HDEL", DISABLED, endpoint))


def _call(script: Script, keys: Sequence[str], *arguments: str | bytes | int) -> Command:
    return ("EVALSHA", script.sha, len(keys), *keys, *arguments)
