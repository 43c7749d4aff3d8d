"""Delivers one endpoint's queue: each video's messages in order, different videos at once, with retries.

Rules:

1. A message leaves the queue after it was accepted, or given up when it is older than
   `hooks.give_up_after`.
2. A failure postpones its video, by a backoff of the video's own. If the endpoint is in trouble itself, all
   of it pauses, by another backoff, and then one message at a time is tried until one is accepted.
3. Memory holds what is being delivered, `hooks.concurrency` times `BATCH` messages; the rest is in the queue.
4. `finish` has `run` return when what is being delivered was answered: other settings take over without a
   message being delivered twice.
5. An endpoint that is gone (410) is disabled until its URL changes, or `liveserver hooks enable`. What waits
   for it is given up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated

import msgspec
import structlog
import trio

from liveserver.backoff import Backoff
from liveserver.bus.hook_queue import Entry, HookQueue
from liveserver.config import HookSettings
from liveserver.errors import BusError
from liveserver.hooks.messages import GAP_KIND, gap_message, kind_of
from liveserver.hooks.sink import Delivery, EndpointGone, Sink, SinkError
from liveserver.instruments import gauge, total
from liveserver.lru import LRU
from liveserver.wakeup import Wakeup

BATCH = 20  # messages of a video read from its queue at once
STALE = 60.0  # seconds after which the queue is read again, as messages may have to be given up
POLL = 1.0  # seconds between two checks for due events
FAILING = 10_000  # videos whose backoff is in memory
LOG_PAUSE = 10.0  # seconds between two lines of the log about an endpoint that fails

log = structlog.get_logger(__name__)


class EndpointStatistics(msgspec.Struct, frozen=True):
    """Counts since the start of one endpoint, at the node that delivers, and its present state."""

    endpoint: str
    delivered: Annotated[int, total("Messages that the endpoint has accepted.")]
    failures: Annotated[int, total("Attempts to deliver a message that failed; they are repeated.")]
    given_up: Annotated[int, total("Messages given up: too old, or the endpoint is disabled.")]
    waiting: Annotated[int, gauge("Messages that wait for the endpoint. If it grows, check it.")]
    is_disabled: Annotated[int, gauge("Whether the endpoint has answered 410, and gets nothing any more.")]


def mark_of(url: str) -> str:
    """Return the mark by which a disabled endpoint is remembered: another URL is another endpoint."""
    return hashlib.blake2s(url.encode(), digest_size=8).hexdigest()


class Deliverer:
    """Delivers the messages queued for the endpoint `name` to `sink`, in `run`."""

    def __init__(self, name: str, url: str, sink: Sink, queue: HookQueue, settings: HookSettings) -> None:
        self.name = name
        self.is_disabled = False
        self._is_ending = False
        self.waiting = 0
        self._mark = mark_of(url)
        self._sink = sink
        self._queue = queue
        self._settings = settings
        self._wakeup = Wakeup()
        self._delivering: set[str] = set()  # videos
        self._backoffs: LRU[str, Backoff] = LRU(FAILING)
        self._backoff = self._new_backoff()
        self._is_failing = False
        self._paused_until = 0.0
        self._logged_at = -LOG_PAUSE
        self._delivered = self._failures = self._given_up = 0

    def _new_backoff(self) -> Backoff:
        return Backoff(float(self._settings.retry_min), float(self._settings.retry_max))

    def wake(self) -> None:
        """Read the queue now: messages were put into it."""
        self._wakeup.set()

    def finish(self) -> None:
        """Begin no further attempt."""
        self._is_ending = True
        self._wakeup.set()

    def go_on_from(self, former: Deliverer) -> None:
        """Continue the counts of the endpoint's deliverer that had the former settings."""
        self._delivered, self._failures, self._given_up = (
            former._delivered, former._failures, former._given_up,
        )  # fmt: skip

    async def run(self) -> None:
        """Deliver until cancelled, or until `finish`."""
        self._delivering.clear()
        async with trio.open_nursery() as nursery:
            while not self._is_ending:
                try:
                    await self._start_due(nursery)
                except BusError as error:
                    log.warning("hooks_wait", endpoint=self.name, reason=str(error))
                await self._wakeup.wait(max(self._paused_until, trio.current_time() + POLL))

    async def _start_due(self, nursery: trio.Nursery) -> None:
        """Start to deliver due messages, as far as the endpoint accepts any now. Raises `BusError`."""
        self.waiting = (await self._queue.waiting([self.name]))[self.name]
        if self.waiting == 0 or trio.current_time() < self._paused_until:
            return
        limit = 1 if self._is_failing else self._settings.concurrency
        room = limit - len(self._delivering)
        if room <= 0:
            return
        due = await self._queue.due(self.name, limit + len(self._delivering))
        for video in [video for video in due.videos if video not in self._delivering][:room]:
            self._delivering.add(video)
            nursery.start_soon(self._deliver_video, video, due.now)

    async def _deliver_video(self, video: str, now: int) -> None:
        """Deliver a video's next messages. `now`: by the bus' clock, in milliseconds."""
        begun = trio.current_time()
        try:
            entries = await self._queue.next(self.name, video, BATCH)
            if not entries:  # they have expired
                await self._queue.done(self.name, video, [])
            expired = self._expired(entries, now)
            if expired:
                await self._give_up(video, expired)
                return  # there may be a gap before the next one
            for entry in entries:
                if self.is_disabled or self._is_ending or trio.current_time() - begun > STALE:
                    break
                if not await self._attempt(video, entry):
                    break
        except BusError as error:
            log.warning("hooks_wait", endpoint=self.name, reason=str(error))
            await trio.sleep(POLL)
        finally:
            self._delivering.discard(video)
            self._wakeup.set()

    def _expired(self, entries: Sequence[Entry], now: int) -> list[Entry]:
        """Return the first entries that are to be given up, with gaps between them."""
        if self.is_disabled:
            return list(entries)
        oldest = now - float(self._settings.give_up_after) * 1000
        expired: list[Entry] = []
        for entry in entries:
            if entry.at >= oldest and not entry.is_gap:
                break
            expired.append(entry)
        while expired and expired[-1].at >= oldest:  # gaps that are to be delivered
            expired.pop()
        return expired

    async def _give_up(self, video: str, entries: Sequence[Entry]) -> None:
        """Replace messages by a gap; only remove them if the endpoint is disabled, or they are gaps."""
        count = sum(not entry.is_gap for entry in entries)
        self._given_up += count
        if count:
            log.warning("hooks_given_up", endpoint=self.name, video=video, messages=count)
        await self._queue.done(self.name, video, entries, leave_gap=count > 0 and not self.is_disabled)

    async def _attempt(self, video: str, entry: Entry) -> bool:
        """Deliver a message, and remove it; return False if that failed. Raises `BusError`."""
        try:
            with trio.fail_after(float(self._settings.timeout)):
                await self._sink.deliver(_delivery(video, entry))
        except EndpointGone:
            await self._disable()
            return False
        except trio.TooSlowError:
            await self._on_failure(video, SinkError(f"no answer within {self._settings.timeout:g} s"))
            return False
        except SinkError as error:
            await self._on_failure(video, error)
            return False
        self._delivered += 1
        if self._is_failing:
            log.info("hooks_delivered_again", endpoint=self.name)
        self._is_failing = False
        self._backoff.reset()
        self._backoffs.remove(video)
        await self._queue.done(self.name, video, [entry])
        return True

    async def _on_failure(self, video: str, error: SinkError) -> None:
        """Postpone the video, and pause the endpoint if it is in trouble. Raises `BusError`."""
        self._failures += 1
        now = trio.current_time()
        backoff = self._backoffs.get(video) or self._new_backoff()
        self._backoffs.put(video, backoff)
        least = min(error.retry_after, float(self._settings.retry_max))
        if not error.is_refused:
            self._is_failing = True
            self._paused_until = max(self._paused_until, now + max(least, self._backoff.next()))
        if now - self._logged_at >= LOG_PAUSE:
            self._logged_at = now
            log.warning("hook_not_accepted", endpoint=self.name, video=video, reason=str(error))
        await self._queue.postpone(self.name, video, max(least, backoff.next()))

    async def _disable(self) -> None:
        self.is_disabled = True
        log.error("hook_endpoint_disabled", endpoint=self.name, reason="it answered 410 Gone")
        await self._queue.disable(self.name, self._mark)

    async def check_disabled(self) -> None:
        """Learn whether the endpoint is disabled. Raises `BusError`."""
        marks = await self._queue.disabled()
        self.is_disabled = marks.get(self.name) == self._mark

    def statistics(self) -> EndpointStatistics:
        return EndpointStatistics(
            self.name,
            self._delivered,
            self._failures,
            self._given_up,
            self.waiting,
            int(self.is_disabled),
        )


def _delivery(video: str, entry: Entry) -> Delivery:
    if entry.is_gap:
        gap = gap_message(video, entry.id, entry.at)
        return Delivery(gap.id, GAP_KIND, video, gap.body)
    return Delivery(entry.id, kind_of(entry.body), video, entry.body)
