"""Publishes a video's totals when they have changed: absolute sums, at most once a tick.

Rules:

1. A store's totals are absolute and only grow; the event's version is their sum, and its id is derived from
   store and version. So a repeat is a duplicate, an older event is stale, and the last one suffices.
2. The database decides what is to be published: totals above those that a dispatcher has accepted. There are
   no rows to send one by one, and a crash loses nothing. `on_likes` only says which videos to read.
3. One request at a time, for all videos that have changed; after a failure the totals are read again.
4. A sweep finds unpublished totals that are not known here: those of an earlier process, of another backend
   of the same database that has ended, of a transaction whose outcome is unknown.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import islice
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
from liveserver.wakeup import Wakeup

SAMPLE = 8  # users named in one event

log = structlog.get_logger(__name__)


def _event_id(store: str, version: int) -> str:
    """Return the id of an event: the same for the same totals, and unique to them in their video."""
    return f"likes-{store}-{version}"


class SumsStatistics(msgspec.Struct, frozen=True):
    """Counts since the start, and the videos `waiting` at the moment."""

    published: Annotated[int, total("Totals of a video accepted by a dispatcher.")]
    failures: Annotated[int, total("Requests with totals that no dispatcher answered; repeated.")]
    refused: Annotated[int, total("Totals that a dispatcher refused: malformed, or the state is full.")]
    waiting: Annotated[int, gauge("Videos whose totals are waiting to be published.")]


class Sample:
    """A uniform random sample of at most `SAMPLE` users (reservoir sampling)."""

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
    """A video's totals, to be sent to a dispatcher."""

    video: str
    totals: dict[str, int]
    body: bytes


class SumsPublisher:
    """Publishes the totals of videos with new likes (`on_likes`). `run` must be running.

    `read(videos)` returns their totals; `owed(limit)` the videos with totals that were not accepted;
    `set_announced` records, later, those that were, and `on_announced` is to be called when that is done.
    `wait_handed_over` returns when the likes that are events of their own have been sent.
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
        self._waiting: dict[str, Sample] = {}  # videos that have changed, and a sample of the users
        self._forced: set[str] = set()  # to be published although they have not changed
        self._announced: Totals = {}  # accepted, and not recorded in the database yet
        self._unknown: set[str] = set()  # found by the last sweep, and not known here
        self._wakeup, self._sweep_now = Wakeup(), trio.Event()
        self._published = self._failures = self._refused = 0

    def on_likes(self, likes: Iterable[tuple[str, str | None]]) -> None:
        """Publish the totals of these likes' videos; each is a video and a user, and has been committed."""
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
        """Publish unchanged totals: the video's state does not have them."""
        self._forced.add(video)
        self.on_likes([(video, None)])

    def sweep(self) -> None:
        """Sweep for unpublished totals now: a transaction's outcome is unknown."""
        self._sweep_now.set()

    def on_announced(self, totals: Totals) -> None:
        """Drop totals that have been recorded in the database."""
        for which, number in totals.items():
            if self._announced.get(which, 0) <= number:
                self._announced.pop(which, None)

    async def run(self) -> None:
        """Publish changed totals until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_sweeping)
            backoff = Backoff(RETRY_FIRST, RETRY_LONGEST)
            while True:
                while not self._waiting:
                    await self._wakeup.wait()
                next_tick = trio.current_time() + self._tick
                with trio.move_on_at(next_tick):  # a total does not overtake its likes
                    await self._wait_handed_over()
                names = list(islice(self._waiting, self._settings.batch_events))
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
        """Read the totals, and return the events to publish. Raises `Unavailable`."""
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
                "id": _event_id(self._store, version),
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
        """Publish events; return when they are accepted. Refused ones are logged and dropped.

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
        """Find unpublished totals at the start, and those that two consecutive sweeps see."""
        is_first = True
        while True:
            try:
                owed = await self._owed(self._settings.outbox_rows)
            except Unavailable as error:
                log.warning("totals_not_read", reason=error.detail)
            else:
                known = self._waiting.keys() | {video for video, _ in self._announced}
                unknown = {video for video in owed if video not in known}
                self.on_likes((video, None) for video in unknown if is_first or video in self._unknown)
                self._unknown, is_first = unknown, False
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
