"""Group commit: events published during a round trip to the bus are appended together in the next one.

Rules:

1. One commit at a time, so the events that a dispatcher accepts are logged in their order of arrival.
2. Requests are answered only after the bus has answered: accepted means logged.
3. A commit without an answer is repeated with the same tokens until the oldest of its requests has
   waited for `commit_timeout`; the bus does not duplicate it. Then its publishers receive 503,
   and may repeat with the same ids. Requests that have queued up behind it are tried once, so that none
   waits for several timeouts in turn.
4. The queue is bounded: beyond `queue_events`, 503 at once.
5. A request's events for one video are accepted or refused as a whole. Keyed events are refused if the
   video's state is full; so a request that has some is appended on its own, in its place.
6. A video's log never turns over faster than its viewers can be sent it: one commit has at most an eighth of
   its length, other tasks run between two commits, and while a frontend holds the video back
   (`Bus.hold_back`), requests for it wait in the queue, in their order; after `max_hold` they get 429.
"""

from __future__ import annotations

import math
import time
from collections import deque
from typing import Annotated

import msgspec
import structlog
import trio

from liveserver.backoff import Backoff
from liveserver.bus import canary
from liveserver.bus.interface import AppendRequest, AppendResult, Bus
from liveserver.config import DispatcherSettings, HistorySettings
from liveserver.dispatcher.merge import (
    Part,
    PublishRequest,
    PublishResult,
    SharedResult,
    count_within,
    merge_requests,
)
from liveserver.dispatcher.parse import VideoBatch
from liveserver.errors import BusError, BusRefused, TooLarge, TooMany, Unavailable
from liveserver.instruments import DELAYS, SIZES, Distribution, Histogram, gauge, histogram, total
from liveserver.wakeup import Wakeup

RETRY_FIRST, RETRY_LONGEST = 0.02, 0.5  # seconds
# Redis needs about 10 µs to write a batch to one node, whatever its size. Resting for twice as long after a
# commit keeps it half free; what is published meanwhile shares the next one. Shorter rests are not worth it.
NODE_REST, LEAST_REST, LONGEST_REST = 20e-6, 0.001, 0.1  # seconds
COMMITS = 8  # commits, at least, that turn over a video's log

log = structlog.get_logger(__name__)


class PublishStatistics(msgspec.Struct, frozen=True):
    """Counts since the start, and the events `waiting` at the moment."""

    accepted: Annotated[int, total("Events accepted: numbered and logged, without canaries.")]
    duplicates: Annotated[int, total("Events with a known id: not sent again.")]
    stale: Annotated[int, total("Events older than their video's state: not sent.")]
    commits: Annotated[int, total("Group commits: round trips to the bus that append events.")]
    failures: Annotated[
        int, total("Commits that the bus did not answer; their publishers received 503. Check Redis.")
    ]
    shed: Annotated[
        int,
        total(
            "Requests answered with 503 as the queue was full (dispatcher.queue_events): the bus is too slow."
        ),
    ]
    held: Annotated[
        int,
        total(
            "Requests answered with 429 after dispatcher.max_hold, as viewers could not be sent events as "
            "fast as they came. Publish fewer, or sums."
        ),
    ]
    waiting: Annotated[int, gauge("Events waiting for a commit or being committed.")]
    commit_events: Annotated[
        Distribution,
        histogram("Events per commit. Near dispatcher.commit_events: the bus is the bottleneck."),
    ]
    commit_time: Annotated[
        Distribution,
        histogram("Duration of a commit, including retries.", name="commit_seconds"),
    ]


class Publisher:
    """Appends events to the bus. `run` must be running."""

    def __init__(
        self, bus: Bus, datacenter: str, settings: DispatcherSettings, history: HistorySettings | None = None
    ) -> None:
        self._bus = bus
        self._datacenter = datacenter
        self._settings = settings
        history = history or HistorySettings()
        self._video_events = max(1, min(history.max_events, history.ephemeral_events) // COMMITS)
        self._small = min(self._video_events, settings.commit_events)  # events that always fit into a commit
        self._held: dict[str, float] = {}  # videos that are held back, until when
        self._queue: deque[PublishRequest] = deque()
        self._waiting = 0
        self._queued = Wakeup()
        self._accepted = self._duplicates = self._stale = 0
        self._commits = self._failures = self._shed = self._too_fast = 0
        self._commit_events = Histogram(SIZES)
        self._commit_time = Histogram(DELAYS)
        self._last_commit = 0.0  # seconds
        self._rest_until = 0.0  # when the next commit may begin, in Trio's time; 0: at once

    async def publish(self, video_batches: list[VideoBatch]) -> PublishResult:
        """Append events; return once all are in the log.

        If this is cancelled, the events are still appended. Raises `Unavailable` if the outcome is unknown,
        `TooLarge` if the state of a video has no room, `TooMany` if a video was held back for too long.
        """
        now = trio.current_time()
        settings = self._settings
        pending = PublishRequest(video_batches, now + settings.commit_timeout, now + settings.max_hold)
        if self._waiting + pending.size > settings.queue_events:
            self._shed += 1
            raise Unavailable("the publish queue is full; try again, with the same ids", retry_after=1)
        self._waiting += pending.size
        self._queue.append(pending)
        self._queued.set()
        return await pending.wait()

    async def run(self) -> None:
        """Commit queued requests until cancelled."""
        while True:
            await self._queued.wait(self._resume_at())
            while self._queue:
                if self._rest_until:
                    await self._rest()
                if not (batch := self._next_batch()):
                    break
                size = sum([pending.size for pending in batch])
                await self._commit(batch, size)
                self._waiting -= size
                if self._queue:
                    await trio.lowlevel.checkpoint()

    async def _rest(self) -> None:
        """Wait until the nodes to which the last commit was forwarded are likely to have it."""
        until, self._rest_until = self._rest_until, 0.0
        if trio.current_time() < until:
            await trio.sleep_until(until)

    def _resume_at(self) -> float:
        """Return when a request that is held back has to be checked again."""
        if not self._queue or not self._held:
            return math.inf
        return min(self._queue[0].hold_ends, *self._held.values())

    def _next_batch(self) -> list[PublishRequest]:
        """Take requests off the queue, in its order; those of videos that are held back stay there."""
        if self._waiting <= self._small and not self._held:  # the usual case: all that are waiting
            whole = list(self._queue)
            self._queue.clear()
            return whole
        if self._held:
            now = trio.current_time()
            self._held = {video: until for video, until in self._held.items() if until > now}
        skipped = self._skip_held(now) if self._held else []
        batch: list[PublishRequest] = []
        size = 0
        sizes: dict[str, int] = {}  # events of each video
        while self._queue:
            pending = self._queue[0]
            if batch and size + pending.size > self._settings.commit_events:
                break
            for each in pending.video_batches:
                events = sizes[each.video] = sizes.get(each.video, 0) + len(each.lines)
                if events > self._video_events and batch:
                    break
            else:
                batch.append(self._queue.popleft())
                size += pending.size
                continue
            break
        self._queue.extendleft(reversed(skipped))
        return batch

    def _skip_held(self, now: float) -> list[PublishRequest]:
        """Remove and return the requests of videos that are held back; refuse those that waited too long.

        Later requests of the same videos are removed, too, since they would overtake them.
        """
        skipped: list[PublishRequest] = []
        others: list[PublishRequest] = []
        videos = set(self._held)
        for pending in self._queue:
            if videos.isdisjoint(each.video for each in pending.video_batches):
                others.append(pending)
            elif pending.hold_ends <= now:
                self._refuse(pending)
            else:
                skipped.append(pending)
                videos.update(each.video for each in pending.video_batches)
        self._queue = deque(others)
        return skipped

    def _refuse(self, pending: PublishRequest) -> None:
        """Answer a request that has been held back for too long; none of it was appended."""
        self._too_fast += 1
        self._waiting -= pending.size
        pending.resolve(
            TooMany(
                "the video's viewers cannot be sent its events as fast as they come; publish fewer, or sums"
            )
        )

    async def _commit(self, batch: list[PublishRequest], size: int) -> None:
        requests, parts = merge_requests(batch)
        begun = trio.current_time()
        try:
            results = await self._append(requests, batch[0].deadline)
        except BusError as error:
            self._failures += 1
            log.warning("commit_failed", reason=str(error))
            for pending in batch:
                pending.resolve(
                    Unavailable(
                        "Redis is unavailable: the log cannot be written; try again, with the same ids",
                        retry_after=1,
                    )
                )
            return
        self._commits += 1
        now = trio.current_time()
        self._last_commit = now - begun
        self._commit_time.observe(self._last_commit)
        self._commit_events.observe(size)
        nodes = 0
        for request, result in zip(requests, results, strict=True):
            nodes += result.nodes
            if result.held:
                self._held[request.video] = now + result.held
        if nodes * NODE_REST >= LEAST_REST:
            self._rest_until = now + min(nodes * NODE_REST, LONGEST_REST)
        shared = [SharedResult(result, self._datacenter) for result in results]
        for pending, own in zip(batch, parts, strict=True):
            self._answer(pending, own, shared)

    async def _append(self, requests: list[AppendRequest], deadline: float) -> list[AppendResult]:
        """Append requests, retrying until `deadline`. Raises `BusError`."""
        backoff = Backoff(RETRY_FIRST, RETRY_LONGEST)
        while True:
            try:
                return await self._bus.append(requests)
            except BusRefused:
                raise
            except BusError:
                pause = backoff.next()
                if trio.current_time() + pause >= deadline:
                    raise
            await trio.sleep(pause)

    def _answer(self, pending: PublishRequest, parts: list[Part], results: list[SharedResult]) -> None:
        """Answer a publisher's request from the results of the merged requests."""
        if len(parts) == 1 and self._answer_new(pending, parts[0][0], results[parts[0][1]]):
            return
        accepted = duplicates = stale = canaries = 0
        cursors: dict[str, str] = {}
        full = ""
        for video_batch, index, start in parts:
            shared = results[index]
            result = shared.result
            if result.is_full:
                full = full or video_batch.video
                continue
            fresh = len(video_batch.lines)
            if result.duplicates or result.stale:
                own_indexes = range(start, start + fresh)
                known, old = (
                    count_within(result.duplicates, own_indexes),
                    count_within(result.stale, own_indexes),
                )
                fresh -= known + old
                duplicates += known
                stale += old
            accepted += fresh
            if video_batch.video.startswith(canary.PREFIX):
                canaries += fresh
            shared.new += fresh
            # The cursor after this request's own last event, not after the whole commit.
            number = result.number + shared.new - 1 if fresh else shared.last
            cursors[video_batch.video] = f"{shared.before}{number}{shared.after}"
        self._accepted += accepted - canaries
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

    def _answer_new(self, pending: PublishRequest, video_batch: VideoBatch, shared: SharedResult) -> bool:
        """Answer the usual request, of one video and with new events only; return whether it is one."""
        result = shared.result
        if result.is_full or result.duplicates or result.stale:
            return False
        fresh, video = len(video_batch.lines), video_batch.video
        shared.new += fresh
        if not video.startswith(canary.PREFIX):
            self._accepted += fresh
        cursor = f"{shared.before}{result.number + shared.new - 1}{shared.after}"
        pending.resolve(PublishResult(fresh, 0, 0, {video: cursor}))
        return True

    def note_trace(self, trace_id: str) -> None:
        """Record that the commit whose requests were just answered belongs to a trace."""
        self._commit_time.note_trace(self._last_commit, trace_id, time.time())

    def statistics(self) -> PublishStatistics:
        return PublishStatistics(
            accepted=self._accepted,
            duplicates=self._duplicates,
            stale=self._stale,
            commits=self._commits,
            failures=self._failures,
            shed=self._shed,
            held=self._too_fast,
            waiting=self._waiting,
            commit_events=self._commit_events.read(),
            commit_time=self._commit_time.read(),
        )
