"""A bus that can be held and made to fail."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from liveserver.bus.interface import AppendRequest, AppendResult
from liveserver.bus.memory.bus import MemoryBus
from liveserver.config import HistorySettings
from liveserver.errors import BusError


class Bus(MemoryBus):
    """The memory bus, whose `append` waits while it is `held`, and fails `failures` times.

    `is_late`: it fails after it has appended, as when an answer is lost on its way back.
    """

    def __init__(self) -> None:
        super().__init__("dc1", HistorySettings(), 100)
        self.appended: list[list[AppendRequest]] = []
        self.failures = 0.0
        self.is_late = False
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
        return receipts

    async def lines(self, video: str) -> list[str]:
        """What is in the log, without the types."""
        stretch = await self.read(video, 0, 100_000)
        return [line.decode().partition(" ")[2] for batch in stretch.batches for line in batch.lines]
