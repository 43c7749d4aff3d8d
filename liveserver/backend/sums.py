"""Publish a video's totals when they have changed: absolute sums, at most once a tick.

Rules:

1. A store's totals are absolute and only grow; the event's version is their sum, and its id is made of
   both. So a repeat is a duplicate, an old one is stale, and whichever comes last says it all.
2. What is owed is what the database says: totals that are above what a dispatcher has accepted. There are no
   rows to hand over one by one, and nothing to lose by a crash. `changed` only says when to look.
3. One request at a time, for all videos that have changed; what fails is read and published anew.
4. Debts that are not known here are found by a sweep: those of an earlier life, of another backend at the
   same database that is gone, of a transaction whose end is not known.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Annotated

import msgspec
import structlog
import trio

from liveserver.backend.commands import Totals
from liveserver.backend.outbox import RETRY_FIRST, RETRY_LONGEST, PublishTarget
from liveserver.backend.store import Total
from liveserver.backoff import Backoff
from liveserver.config import BackendSettings, LikeSettings
from liveserver.errors import BadRequest, DispatcherError, TooLarge, Unavailable
from liveserver.instruments import gauge, total

SAMPLE = 8  # users named in one event

log = structlog.get_logger(__name__)


def _event_id(store: str, video: str, version: int) -> str:
    """Return the same id for the same totals, and another for any other."""
    return f"likes-{store}-{hashlib.blake2s(video.encode(), digest_size=6).hexdigest()}-{version}"


class SumsStatistics(msgspec.Struct, frozen=True):
    """Counts since the start, and what is waiting now."""

    published: Annotated[int, total("Totals of a video that a dispatcher has taken.")]
    failures: Annotated[int, total("Requests with totals that no dispatcher answered; made anew.")]
    refused: Annotated[int, total("Totals that a dispatcher calls malformed, or has no room for.")]
    waiting: Annotated[int, gauge("Videos whose totals wait to be published.")]


class Sample:
    """At most `SAMPLE` of the users since it began, each as likely as any other (reservoir sampling)."""

    __slots__ = ("_seen", "users")

    def __init__(self) -> None:
        self.users: list[str] = []
        self._seen = 0

    def add(self, user: str) -> None:
        self._seen += 1
        if len(self.users) < SAMPLE:
            self.users.append(user)
        elif (place := random.randrange(self._seen)) < SAMPLE:
            self.users[place] = user


class Announcement(msgspec.Struct):
    """A video's totals on their way to a dispatcher."""

    video: str
    totals: dict[str, int]
    body: bytes


class SumsPublisher:
    """Publishes the totals of videos that have `changed`. `run` must be running.

    `read(videos)` returns their totals; `owed(limit)` the videos whose totals were not accepted;
    `set_announced` writes down what was, later, and `on_announced` is to be called when that is done.
    `wait_handed_over` returns when likes that are events of their own have gone out.
    """

    def __init__(
        self,
        store: str,
        settings: BackendSettings,
        likes: LikeSettings,
        dispatcher: PublishTarget,
        read: Callable[[Sequence[str]], Awaitable[dict[str, list[Total]]]],
        owed: Callable[[int], Awaitable[list[str]]],
        set_announced: Callable[[Totals], None],
        wait_handed_over: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint,
    ) -> None:
        self._wait_handed_over = wait_handed_over
        self._store = store
        self._settings = settings
        self._tick = likes.tick
        self._dispatcher = dispatcher
        self._read = read
        self._owed = owed
        self._set_announced = set_announced
        self._waiting: dict[str, Sample] = {}  # videos that have changed, and by whom
        self._forced: set[str] = set()  # to be published although they have not changed
        self._announced: Totals = {}  # accepted, and not written down yet
        self._strangers: set[str] = set()  # what the last sweep found and was not known here
        self._wakeup, self._sweep_now = trio.Event(), trio.Event()
        self._published = self._failures = self._refused = 0

    def changed(self, likes: Iterable[tuple[str, str | None]]) -> None:
        """Note that these likes, each a video and a user, have just been committed."""
        waiting = self._waiting
        for video, user in likes:
            sample = waiting.get(video)
            if sample is None:
                if len(waiting) >= self._settings.outbox_rows:
                    continue  # a sweep finds it
                sample = waiting[video] = Sample()
            if user is not None:
                sample.add(user)
        if waiting:
            self._wakeup.set()

    def publish_again(self, video: str) -> None:
        """Publish the totals as they are: the video's state does not have them."""
        self._forced.add(video)
        self.changed([(video, None)])

    def sweep(self) -> None:
        """Look for debts now: a transaction's end is not known."""
        self._sweep_now.set()

    def on_announced(self, totals: Totals) -> None:
        """Forget what is written down by now."""
        for which, number in totals.items():
            if self._announced.get(which, 0) <= number:
                self._announced.pop(which, None)

    async def run(self) -> None:
        """Publish what changes, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_sweeping)
            backoff = Backoff(RETRY_FIRST, RETRY_LONGEST)
            while True:
                while not self._waiting:
                    self._wakeup = trio.Event()
                    await self._wakeup.wait()
                next_tick = trio.current_time() + self._tick
                with trio.move_on_at(next_tick):  # a total does not overtake its likes
                    await self._wait_handed_over()
                names = list(self._waiting)[: self._settings.batch_events]
                samples = {video: self._waiting.pop(video) for video in names}
                forced = self._forced.intersection(names)
                self._forced -= forced
                try:
                    await self._publish(await self._announcements(samples, forced))
                except (Unavailable, DispatcherError) as error:
                    self._failures += 1
                    log.warning("totals_waiting", videos=len(names), reason=str(error))
                    self._forced |= forced
                    self._take_back(samples)
                    await backoff.sleep()
                    continue
                backoff.reset()
                if not self._waiting or len(names) < self._settings.batch_events:
                    await trio.sleep_until(next_tick)

    def _take_back(self, samples: Mapping[str, Sample]) -> None:
        for video, sample in samples.items():
            newer = self._waiting.get(video)
            self._waiting[video] = sample
            for user in newer.users if newer is not None else ():
                sample.add(user)

    async def _announcements(self, samples: Mapping[str, Sample], forced: set[str]) -> list[Announcement]:
        """Return what there is to say, by the database. Raises `Unavailable`."""
        known = dict(self._announced)
        found = []
        for video, totals in (await self._read(list(samples))).items():
            added = {
                each.reaction: more
                for each in totals
                if (more := each.total - max(each.announced, known.get((video, each.reaction), 0))) > 0
            }
            if not totals or not (added or video in forced):
                continue
            sums = {each.reaction: each.total for each in totals}
            version = sum(sums.values())
            event = {
                "id": _event_id(self._store, video, version),
                "video": video,
                "type": "likes",
                "key": f"likes/{self._store}",
                "version": version,
                "data": {
                    "added": added,
                    "total": sums,
                    "users": list(dict.fromkeys(samples[video].users)) if added else [],
                },
            }
            found.append(Announcement(video, sums, msgspec.json.encode(event)))
        return found

    async def _publish(self, announcements: Sequence[Announcement]) -> None:
        """Return when they are accepted. What is refused is dropped and logged, until it changes again.

        Raises `Unavailable`, `DispatcherError`.
        """
        if not announcements:
            return
        body = b"[" + b",".join([each.body for each in announcements]) + b"]"
        try:
            await self._dispatcher.publish(body, retractions=False)
        except (BadRequest, TooLarge) as error:
            if len(announcements) > 1:
                middle = len(announcements) // 2
                await self._publish(announcements[:middle])
                await self._publish(announcements[middle:])
                return
            self._refused += 1
            log.error("totals_refused", video=announcements[0].video, reason=error.detail)  # noqa: TRY400
            return
        self._published += len(announcements)
        totals = {
            (each.video, reaction): number
            for each in announcements
            for reaction, number in each.totals.items()
        }
        self._announced |= totals
        self._set_announced(totals)

    async def _keep_sweeping(self) -> None:
        """Find debts at the start, and those that two sweeps in turn see."""
        is_first = True
        while True:
            try:
                owed = await self._owed(self._settings.outbox_rows)
            except Unavailable as error:
                log.warning("totals_not_read", reason=error.detail)
            else:
                known = self._waiting.keys() | {video for video, _ in self._announced}
                strangers = {video for video in owed if video not in known}
                self.changed((video, None) for video in strangers if is_first or video in self._strangers)
                self._strangers, is_first = strangers, False
            with trio.move_on_after(self._settings.outbox_sweep) as patience:
                await self._sweep_now.wait()
            if not patience.cancelled_caught:
                self._sweep_now, is_first = trio.Event(), True

    def statistics(self) -> SumsStatistics:
        return SumsStatistics(
            published=self._published,
            failures=self._failures,
            refused=self._refused,
            waiting=len(self._waiting),
        )
