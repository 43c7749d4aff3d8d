"""A bus that can be held and made to fail, and a publisher that runs on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio
import trio.testing

from liveserver.bus.interface import AppendRequest, AppendResult
from liveserver.bus.memory.bus import MemoryBus
from liveserver.config import DispatcherSettings, HistorySettings
from liveserver.cursor import Cursor
from liveserver.dispatcher.merge import PublishResult
from liveserver.dispatcher.parse import VideoBatch
from liveserver.dispatcher.publish import Publisher
from liveserver.errors import BusError, Retryable


class Bus(MemoryBus):
    """The memory bus, whose `append` waits while it is `held`, and fails `failures` times.

    `is_late`: it fails after it has appended, as when an answer is lost on its way back. `nodes`: how many
    it says it forwards to.
    """

    def __init__(self) -> None:
        super().__init__("dc1", HistorySettings(), 100)
        self.appended: list[list[AppendRequest]] = []
        self.failures = 0.0
        self.is_late = False
        self.nodes = 0
        self._free = trio.Event()
        self._free.set()

    def limit_state(self, *, keys: int) -> None:
        """Bound the state of videos that are new from now on."""
        self._settings = HistorySettings(state_keys=keys)

    def hold(self) -> None:
        self._free = trio.Event()

    def let_go(self) -> None:
        self._free.set()

    async def append(self, parcels: Sequence[AppendRequest]) -> list[AppendResult]:
        self.appended.append(list(parcels))
        await self._free.wait()
        receipts = None
        if self.is_late or not self.failures:
            receipts = await super().append(parcels)
        if self.failures:
            self.failures -= 1
            raise BusError("no answer")
        assert receipts is not None
        return [msgspec.structs.replace(each, nodes=self.nodes) for each in receipts]

    async def lines(self, video: str) -> list[str]:
        """What is in the log, without the types."""
        stretch = await self.read(video, 0, 100_000)
        return [line.decode().partition(" ")[2] for batch in stretch.batches for line in batch.lines]


def video_batch(video: str, *names: str, known: bool = True) -> VideoBatch:
    """Events whose lines are their ids."""
    return VideoBatch(
        video, [f"like {name}".encode() for name in names], [name if known else None for name in names]
    )


class Stage:
    """A publisher that runs, and what its requests came to."""

    def __init__(self, nursery: trio.Nursery, **how: Any) -> None:
        self.bus = Bus()
        self.publisher = Publisher(self.bus, "dc1", DispatcherSettings(**how))
        self.results: dict[str, PublishResult | Retryable] = {}
        self.at: dict[str, float] = {}
        self._nursery = nursery

    async def publish(self, name: str, *video_batches: VideoBatch) -> trio.CancelScope:
        """Publish in the background; it is queued when this returns."""
        scope = trio.CancelScope()

        async def run() -> None:
            with scope:
                try:
                    self.results[name] = await self.publisher.publish(list(video_batches))
                except Retryable as problem:
                    self.results[name] = problem
                self.at[name] = trio.current_time()

        self._nursery.start_soon(run)
        await trio.testing.wait_all_tasks_blocked()
        return scope

    def accepted(self, name: str) -> tuple[int, int, dict[str, int]]:
        """How many were new, how many known, and the number at which each video's cursor stands."""
        result = self.results[name]
        assert isinstance(result, PublishResult)
        marks = {video: Cursor.parse(cursor).get("dc1") for video, cursor in result.cursors.items()}
        return (
            result.accepted,
            result.duplicates,
            {video: mark.number for video, mark in marks.items() if mark},
        )

    async def settle(self) -> None:
        await trio.testing.wait_all_tasks_blocked()


@asynccontextmanager
async def publishing(**how: Any) -> AsyncIterator[Stage]:
    async with trio.open_nursery() as nursery:
        stage = Stage(nursery, **how)
        nursery.start_soon(stage.publisher.run)
        yield stage
        nursery.cancel_scope.cancel()
