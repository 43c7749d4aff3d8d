"""Group commit: what is published while the bus is busy goes out together in the next round trip.

Rules:

1. One commit at a time, so what one dispatcher accepts is logged in the order in which it came.
2. An answer is given only after the bus has answered: accepted means logged.
3. A commit that got no answer is repeated with the same tokens until the oldest of its requests has
   waited for `commit_timeout`; the bus does not double it. After that its publishers receive 503,
   and may repeat with the same ids. What had to queue up behind it is tried once: nobody waits for
   one time-out after the other.
4. What waits is bounded: beyond `queue_events`, 503 at once.
5. What a request has for one video is accepted or refused as a whole. Keyed events may be refused, when the
   video's state is full; so a request that has some is appended on its own, in its place.
"""

from __future__ import annotations

import secrets
from collections import deque
from typing import Annotated, TypeAlias

import msgspec
import structlog
import trio

from liveserver.backoff import Backoff
from liveserver.bus.interface import AppendRequest, AppendResult, Bus
from liveserver.config import DispatcherSettings
from liveserver.dispatcher.parse import VideoBatch
from liveserver.errors import BusError, BusRefused, TooLarge, Unavailable
from liveserver.instruments import DELAYS, SIZES, Distribution, Histogram, gauge, histogram, total
from liveserver.oneshot import Oneshot
from liveserver.wakeup import Wakeup

RETRY_FIRST, RETRY_LONGEST = 0.02, 0.5  # seconds

log = structlog.get_logger(__name__)


class PublishResult(msgspec.Struct, frozen=True):
    """What became of one request: how many events are new, were known, and are older than the state, and
    where the log of each of its videos stands after them, as the text of a cursor."""

    accepted: int
    duplicates: int
    stale: int
    cursors: dict[str, str]


class PublishStatistics(msgspec.Struct, frozen=True):
    """Counts since the start, and what is `waiting` now."""

    accepted: Annotated[int, total("Events accepted: numbered, and in the log.")]
    duplicates: Annotated[int, total("Events whose id was known: counted, and not sent again.")]
    stale: Annotated[int, total("Events that were older than their video's state: not sent.")]
    commits: Annotated[int, total("Group commits: round trips to the bus, with what had gathered meanwhile.")]
    failures: Annotated[
        int, total("Commits that the bus did not answer; their publishers received 503. Look at Redis.")
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

    __slots__ = ("deadline", "size", "video_batches")

    def __init__(self, video_batches: list[VideoBatch], deadline: float) -> None:
        super().__init__()
        self.video_batches = video_batches
        self.deadline = deadline
        if len(video_batches) == 1:
            self.size = len(video_batches[0].lines)
        else:
            self.size = sum(len(video_batch.lines) for video_batch in video_batches)


class Publisher:
    """Publishes video_batches through the bus. `run` must be running."""

    def __init__(self, bus: Bus, datacenter: str, settings: DispatcherSettings) -> None:
        self._bus = bus
        self._datacenter = datacenter
        self._settings = settings
        self._queue: deque[_Request] = deque()
        self._waiting = 0
        self._queued = Wakeup()
        self._accepted = self._duplicates = self._stale = 0
        self._commits = self._failures = self._shed = 0
        self._commit_events = Histogram(SIZES)
        self._commit_time = Histogram(DELAYS)

    async def publish(self, video_batches: list[VideoBatch]) -> PublishResult:
        """Return once all of it is in the log. Raises `Unavailable`; nothing is known then. Raises `TooLarge`
        when the state of a video has no room.

        A publisher that goes away while it waits has been accepted all the same.
        """
        pending = _Request(video_batches, trio.current_time() + self._settings.commit_timeout)
        if self._waiting + pending.size > self._settings.queue_events:
            self._shed += 1
            raise Unavailable(
                "too much is waiting to be published; try again, with the same ids", retry_after=1
            )
        self._waiting += pending.size
        self._queue.append(pending)
        self._queued.set()
        return await pending.wait()

    async def run(self) -> None:
        """Commit what comes until cancelled."""
        while True:
            await self._queued.wait()
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
        parcels, parts = _merged(batch)
        begun = trio.current_time()
        try:
            receipts = await self._append(parcels, batch[0].deadline)
        except BusError as error:
            self._failures += 1
            log.warning("commit_failed", reason=str(error))
            for pending in batch:
                pending.resolve(
                    Unavailable(
                        "Redis is away: the log cannot be written just now; try again, with the same ids",
                        retry_after=1,
                    )
                )
            return
        self._commits += 1
        self._commit_time.observe(trio.current_time() - begun)
        self._commit_events.observe(sum(pending.size for pending in batch))
        results = [_ParcelResult(receipt, self._datacenter) for receipt in receipts]
        for pending, own in zip(batch, parts, strict=True):
            self._answer(pending, own, results)

    async def _append(self, parcels: list[AppendRequest], deadline: float) -> list[AppendResult]:
        """Append requests, retrying until `deadline`. Raises `BusError`."""
        backoff = Backoff(RETRY_FIRST, RETRY_LONGEST)
        while True:
            try:
                return await self._bus.append(parcels)
            except BusRefused:
                raise
            except BusError:
                pause = backoff.next()
                if trio.current_time() + pause >= deadline:
                    raise
            await trio.sleep(pause)

    def _answer(self, pending: _Request, parts: list[Part], results: list[_ParcelResult]) -> None:
        """Tell a publisher what became of its own of the merged events."""
        accepted = duplicates = stale = 0
        cursors: dict[str, str] = {}
        full = ""
        for video_batch, index, start in parts:
            result = results[index]
            receipt = result.receipt
            if receipt.is_full:
                full = full or video_batch.video
                continue
            fresh = len(video_batch.lines)
            if receipt.duplicates or receipt.stale:
                own_indexes = range(start, start + fresh)
                known, old = _within(receipt.duplicates, own_indexes), _within(receipt.stale, own_indexes)
                fresh -= known + old
                duplicates += known
                stale += old
            accepted += fresh
            result.new += fresh
            # The cursor after this request's own last event, not after the whole commit.
            number = receipt.number + result.new - 1 if fresh else result.last
            cursors[video_batch.video] = f"{result.before}{number}{result.after}"
        self._accepted += accepted
        self._duplicates += duplicates
        self._stale += stale
        if full:
            pending.resolve(
                TooLarge(
                    f'the state of {full} has no room for more keys or bytes; clear some, by "data":null'
                )
            )
        else:
            pending.resolve(PublishResult(accepted, duplicates, stale, cursors))

    def statistics(self) -> PublishStatistics:
        return PublishStatistics(
            accepted=self._accepted,
            duplicates=self._duplicates,
            stale=self._stale,
            commits=self._commits,
            failures=self._failures,
            shed=self._shed,
            waiting=self._waiting,
            commit_events=self._commit_events.read(),
            commit_time=self._commit_time.read(),
        )


class _ParcelResult:
    """A receipt while it is divided among the requests; `new`: of the events looked at so far."""

    __slots__ = ("after", "before", "last", "new", "receipt")

    def __init__(self, receipt: AppendResult, datacenter: str) -> None:
        self.receipt = receipt
        self.new = self.last = 0
        if not receipt.is_full:
            own = receipt.cursor.get(datacenter)
            assert own is not None
            self.last = own.number
            self.before, self.after = receipt.cursor.around(datacenter, own.epoch)


Part: TypeAlias = tuple[VideoBatch, int, int]  # what a request has for a video, and where: parcel, index


def _merged(batch: list[_Request]) -> tuple[list[AppendRequest], list[list[Part]]]:
    """Return the parcels of a commit, and beside each request its parts of them."""
    parcels: list[AppendRequest] = []
    parts: list[list[Part]] = []
    growing: dict[str, int] = {}  # video → the parcel that takes more
    for pending in batch:
        own: list[Part] = []
        for video_batch in pending.video_batches:
            index = growing.get(video_batch.video)
            if index is None or video_batch.is_keyed:
                index = len(parcels)
                parcels.append(
                    AppendRequest(
                        video_batch.video, secrets.token_hex(8), [], [], is_keyed=video_batch.is_keyed
                    )
                )
                growing[video_batch.video] = index
            parcel = parcels[index]
            own.append((video_batch, index, len(parcel.lines)))
            parcel.lines.extend(video_batch.lines)
            parcel.ids.extend(video_batch.ids)
            if video_batch.is_keyed:
                del growing[video_batch.video]
        parts.append(own)
    return parcels, parts


def _within(indexes: frozenset[int], some: range) -> int:
    """Return how many of `some` are among the indexes."""
    return sum(index in indexes for index in some) if indexes else 0
