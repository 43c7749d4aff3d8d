"""A bus in memory, what happens on it, and sinks that remember or fail."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import msgspec
import trio

from liveserver.bus.hook_queue import HookQueue
from liveserver.bus.interface import AppendRequest
from liveserver.bus.memory.bus import MemoryBus
from liveserver.config import HistorySettings, HookSettings, Settings, convert
from liveserver.hooks.collector import Collector
from liveserver.hooks.messages import Target
from liveserver.hooks.sink import Delivery
from liveserver.state import head

_count = itertools.count(1)
URL = "redis://receiver/0"  # needs no secret


def settings(endpoints: Mapping[str, Mapping[str, Any]] | None = None, **more: Any) -> Settings:
    """Settings with these endpoints, and other settings for hooks."""
    given = {name: {"url": URL, **each} for name, each in (endpoints or {"site": {}}).items()}
    hooks = convert({"endpoints": given, **more}, HookSettings)
    return Settings(hooks=hooks)


class Stage:
    """A datacenter: a bus, its queues, and collectors of them."""

    def __init__(self, made: Settings | None = None, **history: Any) -> None:
        self.settings = made or settings()
        self.bus = MemoryBus("dc1", convert(history, HistorySettings), 100)
        self.queue: HookQueue = self.bus.hook_queue(60.0, int(self.settings.hooks.queue_messages))

    def collector(self, node: str = "a") -> Collector:
        hooks = self.settings.hooks
        targets = [Target(name, each, ["like", "likes"]) for name, each in hooks.endpoints.items()]
        return Collector(node, self.bus, self.queue, targets, self.settings, lambda: 1_763_862_000.0)

    async def lead(self, node: str = "a") -> Collector:
        """Return a collector that leads."""
        assert await self.queue.lead(node, 3_600.0)
        return self.collector(node)

    async def comment(self, video: str = "v", count: int = 1) -> list[str]:
        """Publish comments; return their ids."""
        names = [f"c{next(_count)}" for _ in range(count)]
        await self.publish(video, *(line("comment", video, name) for name in names))
        return names

    async def publish(self, video: str, *lines: bytes) -> None:
        keyed = any(each.startswith(b";") for each in lines)
        ids = [msgspec.json.decode(each.partition(b" ")[2])["id"] for each in lines] if keyed else []
        await self.bus.append(
            [AppendRequest(video, f"t{next(_count)}", list(lines), ids or [None] * len(lines), keyed)]
        )

    async def queued(self, endpoint: str = "site", *videos: str) -> list[dict[str, Any]]:
        """What waits for an endpoint, by video."""
        found = videos or tuple((await self.queue.due(endpoint, 1_000)).videos)
        return [
            {"type": "gap"} if entry.is_gap else msgspec.json.decode(entry.body)
            for video in sorted(found)
            for entry in await self.queue.next(endpoint, video, 1_000)
        ]


def line(kind: str, video: str, name: str, at: int = 1_763_862_000_123, **more: Any) -> bytes:
    """A line of a log."""
    event = {"id": name, "video": video, "type": kind, "at": at, **more}
    return kind.encode() + b" " + msgspec.json.encode(event)


def keyed(kind: str, video: str, key: str, name: str, data: Any, *, internal: bool = False) -> bytes:
    """A line of a keyed event."""
    at = 1_763_862_000_000 + next(_count)
    event = {"id": name, "video": video, "type": kind, "at": at, "key": key, "by": "mod", "data": data}
    marks = head(kind, key, None, at, is_cleared=data is None, is_internal=internal)
    return marks + b" " + msgspec.json.encode(event)


class FakeSink:
    """Remembers what it accepted, and raises what a test sets: for its next messages, or for a video."""

    def __init__(self) -> None:
        self.accepted: list[Delivery] = []
        self.attempts: list[tuple[float, Delivery]] = []
        self.next: list[Exception] = []
        self.of_video: dict[str, Exception] = {}
        self.hangs = False
        self.busy = self.busiest = 0

    async def deliver(self, delivery: Delivery) -> None:
        self.attempts.append((trio.current_time(), delivery))
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        try:
            await trio.sleep(0.01)
            if self.hangs:
                await trio.sleep_forever()
            if delivery.video in self.of_video:
                raise self.of_video[delivery.video]
            if self.next:
                raise self.next.pop(0)
        finally:
            self.busy -= 1
        self.accepted.append(delivery)

    async def check(self) -> None:
        await trio.lowlevel.checkpoint()

    def ids(self, video: str = "v") -> list[str]:
        """The ids of the events that it accepted; of gaps `gap`."""
        found = [msgspec.json.decode(each.body) for each in self.accepted if each.video == video]
        return ["gap" if each["type"] == "video.gap" else each["data"]["id"] for each in found]
