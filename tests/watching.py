"""A viewer that keeps what it receives, and a publisher of numbered events."""

from __future__ import annotations

from typing import Any, Literal

import httpx
import trio

from liveserver.client import publish, watch
from liveserver.client.items import Event, Gap, Ready, Viewers

Transport = Literal["sse", "poll", "ws"]


class Viewer:
    """A viewer of `video` that keeps what it receives, until it has `enough` events."""

    def __init__(self, urls: list[str], video: str, transport: Transport, cursor: str | None = None) -> None:
        self.ids: list[str] = []
        self.cursors: list[str | None] = []
        self.totals: list[int] = []  # of viewers
        self.gaps = 0
        self.readies: list[Ready] = []
        self.is_ready = trio.Event()
        self._moved = trio.Event()
        self._arguments: dict[str, Any] = {"transport": transport, "cursor": cursor}
        self._urls = urls
        self._video = video

    async def wait_events(self, count: int) -> None:
        """Until so many events have come."""
        while len(self.ids) < count:
            await self._moved.wait()

    async def wait_total(self, total: int) -> None:
        """Until a viewer count of so many was received."""
        while total not in self.totals:
            await self._moved.wait()

    async def run(self, enough: int) -> None:
        async with watch(self._urls, self._video, **self._arguments) as items:
            async for item in items:
                if isinstance(item, Ready):
                    self.readies.append(item)
                    self.is_ready.set()
                elif isinstance(item, Gap):
                    self.gaps += 1
                elif isinstance(item, Viewers):
                    self.totals.append(item.total)
                    self._move()
                elif isinstance(item, Event):
                    self.ids.append(item.id)
                    self.cursors.append(item.cursor)
                    self._move()
                    if len(self.ids) == enough:
                        return

    def _move(self) -> None:
        self._moved.set()
        self._moved = trio.Event()


async def publish_many(urls: list[str], video: str, prefix: str, batches: int, size: int) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        for batch in range(batches):
            events = [{"type": "like", "id": f"{prefix}-{batch}-{index}"} for index in range(size)]
            receipt = await publish(urls, video, events, client=client)
            assert receipt.accepted + receipt.duplicates == size
