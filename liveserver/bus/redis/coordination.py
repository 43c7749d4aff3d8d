"""What nodes share in Redis beside the logs: groups, holds, answers, viewer counts, and who has watched."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import trio

from liveserver.bus.redis import replies
from liveserver.bus.redis.commands import Commands
from liveserver.bus.redis.connection import Link
from liveserver.bus.redis.replies import keys, ms
from liveserver.bus.redis.server import Command
from liveserver.viewer_count import AudienceReport, AudienceSize, ViewerCount


class RedisCoordination:
    """The operations of a bus that need no log: they are commands, and know of no heads."""

    def __init__(self, link: Link, commands: Commands) -> None:
        self._link = link
        self._commands = commands
        self._asking = trio.CapacityLimiter(4)

    async def _ask(self, *commands: Command) -> list[Any]:
        """Return the replies to these commands, in one pipeline. Raises `BusError`."""
        return await self._link.call(self._asking, lambda: self._link.run(commands, transaction=False))

    async def join_group(self, group: str, node: str, lease: float) -> list[str]:
        command = self._commands.join_group(group, node, lease)
        (living,) = await self._ask(command)
        return sorted(name.decode() for name in living)

    async def group(self, group: str) -> list[str]:
        command = self._commands.group(group)
        (members,) = await self._ask(command)
        return sorted(name.decode() for name in members)

    async def leave_group(self, group: str, node: str) -> None:
        command = self._commands.leave_group(group, node)
        await self._ask(command)

    async def acquire(self, video: str, name: str, token: str, seconds: float) -> float:
        commands = self._commands.hold(video, name, token, seconds)

        def work() -> float:
            taken, holder, left = self._link.run(commands, transaction=False)
            if taken or holder is None or holder == token.encode():
                return 0.0
            if left > seconds * 1000:
                self._link.run([self._commands.shorten(video, name, seconds)], transaction=False)
            return max(0.001, min(float(left) / 1000, seconds))

        return await self._link.call(self._asking, work)

    async def hold_back(self, videos: Collection[str], seconds: float) -> None:
        if videos:
            commands = [self._commands.hold_back(video, seconds) for video in videos]
            await self._ask(*commands)
        else:
            await trio.lowlevel.checkpoint()

    async def answer(self, video: str, question: str, node: str, content: bytes, ttl: float) -> None:
        (key,) = keys(video, f"answers:{question}")
        commands: list[Command] = [("HSET", key, node, content), ("PEXPIRE", key, ms(ttl))]
        await self._link.call(self._asking, lambda: self._link.run(commands, transaction=True))

    async def answers(self, video: str, question: str) -> tuple[dict[str, bytes], frozenset[str]]:
        key, nodes = keys(video, f"answers:{question}", "nodes")
        commands: list[Command] = [("HGETALL", key), ("ZRANGE", nodes, 0, -1)]
        found, subscribed = await self._ask(*commands)
        return replies.answers(found), frozenset(name.decode() for name in subscribed)

    async def count(self, video: str) -> ViewerCount:
        command = self._commands.count(video)
        (answer,) = await self._ask(command)
        return replies.viewer_count(video, answer)

    async def counts(self, videos: Collection[str]) -> dict[str, ViewerCount]:
        commands = [self._commands.count(video) for video in videos]
        answers = await self._ask(*commands)
        return {
            video: replies.viewer_count(video, answer) for video, answer in zip(videos, answers, strict=True)
        }

    async def add_audiences(self, reports: Sequence[AudienceReport], ttl: float) -> None:
        commands = [command for report in reports for command in self._commands.add_audience(report, ttl)]
        if commands:
            await self._ask(*commands)

    async def audience(self, video: str) -> AudienceSize:
        commands = self._commands.audience(video)
        unique, peak = await self._ask(*commands)
        return AudienceSize(int(unique), int(peak or 0))
