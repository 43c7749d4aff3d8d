"""Receives batches at the node's inbox for its channels, and backfills missing ranges from the log.

There is one recovery (rule: every hop is a numbered feed): on a jump in the numbers, on a head that is
further than what was received, and after every interruption, read what is missing from the datacenter's
log. What the log has lost becomes a gap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated

import msgspec
import structlog
import trio

from liveserver.backoff import Backoff
from liveserver.bus.canary import Canary
from liveserver.bus.interface import Bus, Head, Slice
from liveserver.cursor import Cursor
from liveserver.errors import BusError
from liveserver.event import Batch, MalformedBatch
from liveserver.frontend.channels.channel import Channel
from liveserver.frontend.history.log import ResumePoint
from liveserver.instruments import total
from liveserver.viewer_count import ViewerCount

PAGE = 1_000  # events in one read
RETRY_FIRST, RETRY_LONGEST = 0.05, 2.0  # seconds

log = structlog.get_logger(__name__)


class ReceiverStatistics(msgspec.Struct, frozen=True):
    """Counts since the start."""

    batches: Annotated[int, total("Batches received in this node's inbox.")]
    events: Annotated[int, total("Events received in this node's inbox.")]
    unwanted: Annotated[int, total("Received batches of videos no longer watched here, and canaries.")]
    malformed: Annotated[
        int,
        total("Malformed batches, read from the log instead. Does another program publish in Redis?"),
    ]
    holes: Annotated[
        int,
        total(
            "Missing ranges that were read from the log. A few at a restart are normal; otherwise pub/sub "
            "loses messages."
        ),
    ]
    interruptions: Annotated[
        int,
        total("Times the inbox was interrupted or overflowed. Check Redis and the link to it."),
    ]


class Receiver:
    """Feeds `channels`, the subscription table, from the node's inbox."""

    def __init__(
        self,
        bus: Bus,
        node: str,
        datacenter: str,
        channels: dict[str, Channel],
        nursery: trio.Nursery,
        canary: Canary,
    ) -> None:
        self._bus = bus
        self._node = node
        self._datacenter = datacenter
        self._channels = channels
        self._nursery = nursery
        self._canary = canary
        self._scope = trio.CancelScope()
        self.is_listening = False
        self._batches = self._events = self._unwanted = self._malformed = self._holes = (
            self._interruptions
        ) = 0

    async def run(self, on_listening: Callable[[], None]) -> None:
        """Listen until cancelled.

        `on_listening` is called each time listening has begun or resumed: batches may have been missed.
        """
        backoff = Backoff(RETRY_FIRST, RETRY_LONGEST)
        while True:
            with trio.CancelScope() as self._scope:
                try:
                    async with self._bus.inbox(self._node, self._on_viewer_count) as inbox:
                        self.is_listening = True
                        self._canary.begin_listening()
                        backoff.reset()
                        on_listening()
                        async for batches in inbox:
                            if not batches:
                                self._interruptions += 1
                                on_listening()
                            for batch in batches:
                                self._receive(batch)
                except BusError as error:
                    log.warning("inbox_unreachable", reason=str(error))
                finally:
                    self.is_listening = False
                    self._canary.end_listening()
            self._interruptions += 1
            await backoff.sleep()

    def reconnect(self) -> None:
        """Listen again, over another connection."""
        self._scope.cancel()

    def _receive(self, batch: Batch) -> None:
        self._batches += 1
        self._events += len(batch.lines)
        channel = self._channels.get(batch.video)
        if channel is None:
            self._unwanted += 1
            self._canary.on_batch(batch)
            return
        try:
            batch.check()
        except MalformedBatch:
            self._malformed += 1
            return  # the next batch reveals the missing events
        if not channel.append_batch(batch):
            self._start_backfill(channel)

    def _on_viewer_count(self, viewers: ViewerCount) -> None:
        if channel := self._channels.get(viewers.video):
            channel.viewer_count.announced = viewers

    def open(self, channel: Channel, head: Head, state: Sequence[bytes] = ()) -> None:
        """Open a channel at the head of its log, with the state there."""
        channel.open(head, state)
        if not channel.drain_stash():
            self._start_backfill(channel)

    def compare(self, channel: Channel, head: Head) -> None:
        """Start a backfill if the log's head is beyond the channel's."""
        if channel.is_behind(head) and not channel.is_backfilling:
            self._start_backfill(channel)

    async def resume(self, channel: Channel, cursor: Cursor) -> ResumePoint:
        """Return where `cursor` resumes, reading the datacenter's log if necessary. Raises `BusError`."""
        if cursor == channel.log.cursor:  # the usual case of long-polls
            return ResumePoint(channel.log.tip)
        ours = self._datacenter
        if channel.is_behind_cursor(cursor, ours) or not channel.knows_epoch(cursor, ours):
            # Only this datacenter numbers these events, so those that the cursor covers must be in the log;
            # an epoch that is unknown here may be an old one, or a new one not received yet.
            await self._read_head(channel)
        is_beyond = channel.is_behind_cursor(cursor, ours)
        if is_beyond:  # the log has lost those events, or the cursor is invented
            cursor = cursor.without(ours)
        point = channel.log.locate(cursor)
        if (point.gap or point.skipped or is_beyond) and not channel.is_complete:
            await self.fill(channel)
            point = channel.log.locate(cursor)
        return point._replace(gap=True, is_cut=True) if is_beyond else point

    async def fill(self, channel: Channel) -> None:
        """Read all events of the datacenter's log that are older than those held. Raises `BusError`."""
        async with channel.filling:
            if channel.is_complete:
                return
            first, epoch = channel.first, channel.epoch
            part = await self._read_to(channel.video, 0, first - 1)
            if part.head.epoch != epoch == channel.epoch:
                await self._read_head(channel)  # or new viewers would begin in an epoch that is over
            if channel.log.kept_from != 0 or channel.epoch != epoch:
                channel.is_complete = True  # lost, or a new epoch: older events are no longer needed
                return
            channel.prepend(_until(part.batches, first - 1))

    def _start_backfill(self, channel: Channel) -> None:
        self._holes += 1
        channel.is_backfilling = True
        self._nursery.start_soon(self._backfill, channel)

    async def _backfill(self, channel: Channel) -> None:
        backoff = Backoff(RETRY_FIRST, RETRY_LONGEST)
        while self._channels.get(channel.video) is channel:
            try:
                await self._catch_up(channel)
            except BusError as error:
                log.warning("backfill_failed", video=channel.video, reason=str(error))
                await backoff.sleep()
                continue
            if channel.drain_stash():
                return

    async def _read_head(self, channel: Channel) -> None:
        """Catch up; concurrent callers share the next read. Raises `BusError`."""
        await channel.reading.call(partial(self._catch_up, channel))

    async def _catch_up(self, channel: Channel) -> None:
        """Follow the log to its head. Raises `BusError`."""
        epoch = channel.epoch
        part = await self._read_to(channel.video, channel.offset)
        if part.head.epoch != epoch:
            part = await self._read_to(channel.video, 0)
        state = await self._bus.state(channel.video) if channel.loses_state(part) else []
        if channel.epoch == epoch:
            channel.apply_slice(part, state)

    async def _read_to(self, video: str, after: int, last: int | None = None) -> Slice:
        """Return the log after `after` up to `last`, or to its head, as one slice.

        Events between its batches, or before them, are those that the log does not hold.
        """
        batches: list[Batch] = []
        epoch = ""
        while True:
            part = await self._bus.read(video, after, PAGE)
            if epoch and part.head.epoch != epoch:
                batches, after, epoch = [], 0, ""
                continue
            epoch = part.head.epoch
            batches += part.batches
            after = part.end
            if not part.batches or after >= (part.head.offset if last is None else last):
                return Slice(part.head, part.oldest, batches, part.upto)

    def statistics(self) -> ReceiverStatistics:
        return ReceiverStatistics(
            batches=self._batches,
            events=self._events,
            unwanted=self._unwanted,
            malformed=self._malformed,
            holes=self._holes,
            interruptions=self._interruptions,
        )


def _until(batches: list[Batch], last: int) -> list[Batch]:
    """Return the batches up to the offset `last`."""
    kept = [batch for batch in batches if batch.first <= last]
    if kept and kept[-1].last > last:
        kept[-1] = msgspec.structs.replace(kept[-1], lines=kept[-1].lines[: last - kept[-1].first + 1])
    return kept
