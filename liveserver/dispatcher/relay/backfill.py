"""What was not heard is read from the peer's log: several videos in one round trip.

Rules:

1. Where our log stands is asked before the peer's is read. What then looks like a jump is one: the peer
   has lost what was between, or its log has begun a new life (`ReplicationBatch.instead`). Our viewers see
   the jump in the origin's numbers, and receive `gap`: with the first event behind it.
2. Who else relays the same video meanwhile makes this one's jump be refused; it looks again.
3. What the peer's log has lost may have been keyed; so where it has, and where the log is new here, the
   peer's state is folded into ours first: the states agree, and viewers are sent ours behind the gap.
4. A video is level once its peer's log has been read to its head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
import trio

from liveserver.bus.interface import Bus, PeerBus, ReplicaPosition, ReplicationBatch, Slice
from liveserver.cursor import Mark
from liveserver.dispatcher.relay.buffer import joined


class _Reading(msgspec.Struct):
    """How far one video's has come: the peer's log is read on after the offset `after` of its `epoch`."""

    standing: ReplicaPosition
    epoch: str
    after: int

    @classmethod
    def of(cls, standing: ReplicaPosition) -> _Reading:
        return cls(standing, standing.epoch, standing.offset)


class Backfiller:
    """Brings videos level with one peer's logs."""

    def __init__(self, peer: str, theirs: PeerBus, ours: Bus, batch_events: int) -> None:
        self.missing: dict[str, int] = {}  # videos under way → events that are known to be missing
        self.relayed = 0
        self.gaps = 0
        self._peer = peer
        self._theirs = theirs
        self._ours = ours
        self._batch_events = batch_events

    async def mend(self, videos: Iterable[str], on_level: Callable[[str], None]) -> None:
        """Bring them level, telling of each when it is. Raises `BusError`; what was done stays done."""
        try:
            standings = await self.stand(videos)
            readings = {video: _Reading.of(standing) for video, standing in standings.items()}
            self.missing = dict.fromkeys(readings, 0)
            while readings:
                each = max(1, self._batch_events // len(readings))
                after = {video: reading.after for video, reading in readings.items()}
                stretches = await self._theirs.read_several(after, each)
                await self._merge_states(readings, stretches)
                parcels = [
                    parcel
                    for video, stretch in stretches.items()
                    for parcel in self._parcels(readings[video], stretch)
                ]
                await self._relay(parcels, readings)
                for video, stretch in stretches.items():
                    reading = readings[video]
                    if reading.epoch == stretch.head.epoch and reading.after >= stretch.head.offset:
                        del readings[video], self.missing[video]
                        on_level(video)
                    else:
                        self.missing[video] = lacks(reading.standing, stretch.head.cursor.get(self._peer))
        finally:
            self.missing = {}

    async def _merge_states(self, readings: dict[str, _Reading], stretches: dict[str, Slice]) -> None:
        """Take over the states of videos of whose events the peer's log may have lost some."""
        lossy = [
            video
            for video, part in stretches.items()
            if part.head.epoch != readings[video].epoch or part.oldest > readings[video].after + 1
        ]
        if lossy:
            await self._ours.merge_states(await self._theirs.states(lossy))

    async def stand(self, videos: Iterable[str]) -> dict[str, ReplicaPosition]:
        """Where our logs stand with the peer. Raises `BusError`."""
        asked = [ReplicationBatch(video, self._peer, "", 0, 0, []) for video in videos]
        standings = await self._ours.relay(asked)
        return {parcel.video: standing for parcel, standing in zip(asked, standings, strict=True)}

    def _parcels(self, reading: _Reading, stretch: Slice) -> list[ReplicationBatch]:
        """What the stretch has of the peer's own events; and the reading goes on after it."""
        if reading.epoch != stretch.head.epoch:
            is_elsewhere = reading.after > 0  # in a former life of the peer's log
            reading.epoch, reading.after = stretch.head.epoch, 0
            if is_elsewhere:
                return []
        reading.after = (
            stretch.batches[-1].last if stretch.batches else max(reading.after, stretch.oldest - 1)
        )
        own = [batch for batch in stretch.batches if batch.origin == self._peer]
        return [msgspec.structs.replace(parcel, instead=reading.standing) for parcel in joined(own)]

    async def _relay(self, parcels: list[ReplicationBatch], readings: dict[str, _Reading]) -> None:
        if not parcels:
            await trio.lowlevel.checkpoint()
            return
        for parcel, standing in zip(parcels, await self._ours.relay(parcels), strict=True):
            reading = readings[parcel.video]
            before = reading.standing
            if not has(standing, parcel):  # somebody else took something meanwhile
                readings[parcel.video] = _Reading.of(standing)
                continue
            reading.standing = standing
            if standing == before:
                continue
            next_number = before.number + 1 if before.epoch == parcel.epoch else 1
            self.relayed += parcel.last + 1 - max(parcel.number, next_number)
            if parcel.number > next_number or before.epoch not in ("", parcel.epoch):
                self.gaps += 1


def has(standing: ReplicaPosition, parcel: ReplicationBatch) -> bool:
    """Whether a log that stands there has all of the parcel."""
    return standing.epoch == parcel.epoch and standing.number >= parcel.last


def lacks(standing: ReplicaPosition, head: Mark | None) -> int:
    """How many events of an origin a log lacks whose origin has come to `head`."""
    if head is None:
        return 0
    return max(0, head.number - standing.number if standing.epoch == head.epoch else head.number)
