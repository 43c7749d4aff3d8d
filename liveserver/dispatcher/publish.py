"""Group commit: what is published while the bus is busy goes out together in the next round trip.

Rules:

1. One commit at a time, so what one dispatcher accepts is logged in the order in which it came.
2. An answer is given only after the bus has answered: accepted means logged.
3. A commit that got no answer is repeated with the same tokens until the oldest of its requests has
   waited for `commit_timeout`; the bus does not double it. After that its publishers are told 503,
   and may repeat with the same ids. What had to queue up behind it is tried once: nobody waits for
   one time-out after the other.
4. What waits is bounded: beyond `queue_events`, 503 at once.
"""

from __future__ import annotations

import random
import secrets
from collections import deque
from typing import Annotated

import msgspec
import structlog
import trio

from liveserver.bus.interface import AppendRequest, AppendResult, Bus
from liveserver.config import DispatcherSettings
from liveserver.cursor import Cursor
from liveserver.dispatcher.parse import VideoBatch
from liveserver.errors import BusError, Unavailable
from liveserver.instruments import DELAYS, SIZES, Distribution, Histogram, gauge, histogram, total
from liveserver.oneshot import Oneshot

BACK_OFF = 0.02, 0.5  # seconds, first and longest

log = structlog.get_logger(__name__)


class PublishResult(msgspec.Struct, frozen=True):
    """What became of one request: how many events are new, how many were known, and where the log of
    each of its videos stands after them."""

    accepted: int
    duplicates: int
    cursors: dict[str, Cursor]


class PublishStatistics(msgspec.Struct, frozen=True):
    """Counts since the start, and what is `waiting` now."""

    accepted: Annotated[int, total("Events accepted: numbered, and in the log.")]
    duplicates: Annotated[int, total("Events whose id was known: counted, and not sent again.")]
    commits: Annotated[int, total("Group commits: round trips to the bus, with what had gathered meanwhile.")]
    failures: Annotated[
        int, total("Commits that the bus did not answer; their publishers were told 503. Look at Redis.")
    ]
    shed: Annotated[
        int,
        total("Requests told 503 since dispatcher.queue_events were waiting: publishers outrun the bus."),
    ]
    waiting: Annotated[int, gauge("Events waiting for a commit, those in the present one included.")]
    commit_events: Annotated[
        Distribution,
        histogram("Events in a commit. Near dispatcher.commit_events: the bus is the bottleneck."),
    ]
    commit_time: Annotated[
        Distribution,
        histogram("A commit's time, repeats included. What a publisher waits for.", name="commit_seconds"),
    ]


class _Request(Oneshot[PublishResult]):
    """A request under way. Its publisher sleeps until it is answered."""

    __slots__ = ("deadline", "lots", "size")

    def __init__(self, lots: list[VideoBatch], deadline: float) -> None:
        super().__init__()
        self.lots = lots
        self.deadline = deadline
        self.size = sum(len(lot.lines) for lot in lots)


class Publisher:
    """Publishes lots through the bus. `run` must be running."""

    def __init__(self, bus: Bus, datacenter: str, settings: DispatcherSettings) -> None:
        self._bus = bus
        self._datacenter = datacenter
        self._settings = settings
        self._queue: deque[_Request] = deque()
        self._waiting = 0
        self._something = trio.Event()
        self._accepted = self._duplicates = self._commits = self._failures = self._shed = 0
        self._commit_events = Histogram(SIZES)
        self._commit_time = Histogram(DELAYS)

    async def publish(self, lots: list[VideoBatch]) -> PublishResult:
        """Return once all of it is in the log. Raises `Unavailable`; nothing is known then.

        A publisher that goes away while it waits has been accepted all the same.
        """
        pending = _Request(lots, trio.current_time() + self._settings.commit_timeout)
        if self._waiting + pending.size > self._settings.queue_events:
            self._shed += 1
            raise Unavailable(
                "too much is waiting to be published; try again, with the same ids", retry_after=1
            )
        self._waiting += pending.size
        self._queue.append(pending)
        self._something.set()
        return await pending.wait()

    async def run(self) -> None:
        """Commit what comes, for ever."""
        while True:
            await self._something.wait()
            self._something = trio.Event()
            while self._queue:
                batch = self._next_batch()
                await self._commit(batch)
                self._waiting -= sum(pending.size for pending in batch)

    def _next_batch(self) -> list[_Request]:
        batch: list[_Request] = []
        size = 0
        while self._queue and (not batch or size + self._queue[0].size <= self._settings.commit_events):
            batch.append(self._queue.popleft())
            size += batch[-1].size
        return batch

    async def _commit(self, batch: list[_Request]) -> None:
        merged: dict[str, VideoBatch] = {}
        for pending in batch:
            for lot in pending.lots:
                whole = merged.setdefault(lot.video, VideoBatch(lot.video, [], []))
                whole.lines += lot.lines
                whole.ids += lot.ids
        parcels = [
            AppendRequest(lot.video, secrets.token_hex(8), lot.lines, lot.ids) for lot in merged.values()
        ]
        begun = trio.current_time()
        try:
            receipts = await self._append(parcels, batch[0].deadline)
        except BusError as error:
            self._failures += 1
            log.warning("a commit failed", reason=str(error))
            for pending in batch:
                pending.resolve(
                    Unavailable(
                        "the log cannot be written just now; try again, with the same ids", retry_after=1
                    )
                )
            return
        self._commits += 1
        self._commit_time.observe(trio.current_time() - begun)
        self._commit_events.observe(sum(pending.size for pending in batch))
        self._answer(
            batch, {receipt_of.video: receipt for receipt_of, receipt in zip(parcels, receipts, strict=True)}
        )

    async def _append(self, parcels: list[AppendRequest], deadline: float) -> list[AppendResult]:
        """Raises `BusError` when the bus has not answered until then."""
        wait = BACK_OFF[0]
        while True:
            try:
                return await self._bus.append(parcels)
            except BusError:
                pause = random.uniform(0, wait)
                if trio.current_time() + pause >= deadline:
                    raise
            await trio.sleep(pause)
            wait = min(2 * wait, BACK_OFF[1])

    def _answer(self, batch: list[_Request], receipts: dict[str, AppendResult]) -> None:
        """Tell each publisher which of the merged events were its own."""
        offered = dict.fromkeys(receipts, 0)  # events of each video looked at so far
        new = dict.fromkeys(receipts, 0)  # of those, how many were accepted
        for pending in batch:
            accepted = duplicates = 0
            cursors: dict[str, Cursor] = {}
            for lot in pending.lots:
                video, count = lot.video, len(lot.lines)
                receipt = receipts[video]
                start = offered[video]
                offered[video] = start + count
                known = receipt.duplicates and sum(
                    index in receipt.duplicates for index in range(start, start + count)
                )
                known = int(known or 0)
                new[video] += count - known
                accepted += count - known
                duplicates += known
                own = receipt.cursor.get(self._datacenter)
                assert own is not None
                # The cursor after this request's own last event, not after the whole commit.
                number = receipt.number + new[video] - 1 if count > known else own.number
                cursors[video] = receipt.cursor.advanced(self._datacenter, own.epoch, number)
            self._accepted += accepted
            self._duplicates += duplicates
            pending.resolve(PublishResult(accepted, duplicates, cursors))

    def statistics(self) -> PublishStatistics:
        return PublishStatistics(
            accepted=self._accepted,
            duplicates=self._duplicates,
            commits=self._commits,
            failures=self._failures,
            shed=self._shed,
            waiting=self._waiting,
            commit_events=self._commit_events.read(),
            commit_time=self._commit_time.read(),
        )
