"""Follows the logs of all videos, and records them.

1. Every `recorder.interval` the bus is asked which videos moved since the last time, by its clock, and their
   logs are read from where each recording stands: there is nothing to subscribe to, and nothing to miss.
2. Failed reads and writes are retried; meanwhile the log holds the events. Readiness reports it.
3. Two recorders at one directory or bucket record the same: a second one finds everything done.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Protocol

import msgspec
import structlog
import trio

from liveserver.bus.following import MovedVideos
from liveserver.bus.interface import ActiveVideos, Slice
from liveserver.config import RecorderSettings
from liveserver.errors import BusError, Unavailable
from liveserver.event import SITE
from liveserver.instruments import gauge, total
from liveserver.lru import LRU
from liveserver.recorder.recording import Recording
from liveserver.recorder.segments import DamagedRecording
from liveserver.recorder.store import ObjectStore

READ_VIDEOS = 20  # in one round trip
READ_EVENTS = 5_000  # of each
KNOWN = 100_000  # videos whose position in the log is remembered, those read last

log = structlog.get_logger(__name__)


class LogReader(Protocol):
    """The part of a bus that the recorder reads. All raise `BusError`."""

    async def active_since(self, since: int, limit: int, *, relayed: bool = False) -> ActiveVideos: ...

    async def read_several(self, after: Mapping[str, int], limit: int) -> dict[str, Slice]: ...


class RecorderStatistics(msgspec.Struct, frozen=True):
    """Counts since the start."""

    events: Annotated[int, total("Events read from logs to be recorded.")]
    failures: Annotated[int, total("Times that logs could not be read, or recordings not be written.")]
    behind: Annotated[int, gauge("Videos whose recordings wait to be written. Growing: look at the disk.")]


class Recorder:
    """Records into `store`. `run` must be running."""

    def __init__(self, reader: LogReader, store: ObjectStore, settings: RecorderSettings) -> None:
        self._reader = reader
        self._store = store
        self._settings = settings
        self._moved = (
            MovedVideos(reader.active_since),
            MovedVideos(partial(reader.active_since, relayed=True)),
        )
        self._waiting: dict[str, None] = {}  # videos that moved and are not recorded up to their heads
        # Up to where a video's log was read: epoch, offset.
        self._positions: LRU[str, tuple[str, int]] = LRU(KNOWN)
        self._fault = ""
        self._events = self._failures = 0

    def recording(self, video: str) -> Recording:
        """Return the recording of a video, which may be empty."""
        return Recording(self._store, video, self._settings.segment)

    async def run(self) -> None:
        """Record until cancelled."""
        while True:
            await self.step()
            await trio.sleep(self._settings.interval)

    async def step(self) -> None:
        """Record all events of the logs, as far as possible."""
        try:
            await self.catch_up()
        except (BusError, OSError, DamagedRecording) as error:
            self._failures += 1
            self._fault = str(error)
            log.warning("recording_waits", reason=str(error), videos=len(self._waiting))
        else:
            if self._fault:
                log.info("recording_goes_on")
            self._fault = ""

    async def catch_up(self) -> None:
        """Record all events of the logs. Raises `BusError`, `OSError`, `DamagedRecording`."""
        for moved in self._moved:
            self._waiting.update((video, None) for video in await moved.next() if video != SITE)
        faults: list[Exception] = []
        names = list(self._waiting)
        for start in range(0, len(names), READ_VIDEOS):
            faults += await self._record(names[start : start + READ_VIDEOS])
        if faults:
            raise faults[0]

    async def _record(self, names: list[str]) -> list[Exception]:
        """Bring some recordings to the heads of their logs; return the reason if one failed.

        Raises `BusError`.
        """
        faults: list[Exception] = []
        while names:
            positions: dict[str, tuple[str, int]] = {}
            for video in names:
                try:
                    positions[video] = await self._position(video)
                except (
                    OSError,
                    DamagedRecording,
                ) as fault:  # other videos' recordings may still be written
                    faults.append(fault)
            after = {video: offset for video, (_, offset) in positions.items()}
            parts = await self._reader.read_several(after, READ_EVENTS) if after else {}
            names = []
            for video, part in parts.items():
                try:
                    if await self._append(video, part, *positions[video]):
                        names.append(video)
                except (OSError, DamagedRecording) as fault:
                    self._positions.remove(video)
                    faults.append(fault)
        return faults

    async def _append(self, video: str, part: Slice, epoch: str, offset: int) -> bool:
        """Record a part of a log; return whether there is more. Raises `OSError`, `DamagedRecording`."""
        if part.head.epoch != epoch and offset:  # it began anew: read it from its beginning
            self._positions.put(video, (part.head.epoch, 0))
            return True
        if part.batches:
            await trio.to_thread.run_sync(self.recording(video).append, part)
            self._events += sum(len(batch.lines) for batch in part.batches)
        last = part.batches[-1].last if part.batches else part.head.offset
        self._positions.put(video, (part.head.epoch, last))
        if last < part.head.offset:
            return True
        self._waiting.pop(video, None)
        return False

    async def _position(self, video: str) -> tuple[str, int]:
        """Return up to where the log was read. Raises `OSError`, `DamagedRecording`."""
        position = self._positions.get(video)
        if position is None:
            index = await trio.to_thread.run_sync(self.recording(video).open)
            position = (index.epoch, index.offset)
            self._positions.put(video, position)
        return position

    async def check(self) -> None:
        """Raise `Unavailable` if something could not be recorded at the last attempt; for readiness."""
        if self._fault:
            raise Unavailable(f"recording fails, and is retried: {self._fault}")

    def statistics(self) -> RecorderStatistics:
        return RecorderStatistics(events=self._events, failures=self._failures, behind=len(self._waiting))
