"""Reads the logs of the videos served here, so that every backend has the comments and totals of all others.

Rules:

1. A video is followed from its first request until `follow_linger` after its last one.
2. The log is read, by offset, every `follow_interval`; there is no subscription that could miss events. What
   was read is stored together with its offset in one transaction, so a backend that was down resumes where it
   stopped.
3. Everything is idempotent: comments by their ids, retractions in any order, totals by their maximum. So a
   log may be read twice, or by several backends of one database.
4. A gap in the log, or a new epoch, is recorded: `is_complete` says whether everything was read. Whether it
   was read up to its head, and can still be read, is `is_level`.
5. If the video's state lacks this store's totals, or rules that are known here, or has older ones, they are
   published again. Until then the known rules hold.
6. `SITE`, the log of the rules for all videos, is always followed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Protocol

import msgspec
import structlog
import trio

from liveserver.backend.received import ReceivedEvents, add_batches, add_state_lines
from liveserver.backend.view import Known, View
from liveserver.bus.interface import Slice
from liveserver.config import BackendSettings
from liveserver.errors import BusError, Problem, Unavailable
from liveserver.instruments import gauge, total
from liveserver.moderation.rules import SITE
from liveserver.state import Keyed
from liveserver.wakeup import Wakeup

READ_VIDEOS = 200  # videos read in one round trip
READ_EVENTS = 1_000  # events of each
OPEN_SECONDS = 1.0  # the first request for a video waits at most so long for its log to be read

log = structlog.get_logger(__name__)


class LogReader(Protocol):
    """The part of a bus that reads logs. All raise `BusError`."""

    async def read_several(self, after: Mapping[str, int], limit: int) -> dict[str, Slice]: ...

    async def state(self, video: str) -> list[bytes]: ...


class FollowStatistics(msgspec.Struct, frozen=True):
    """Counts since the start, and the videos followed at the moment."""

    videos: Annotated[int, gauge("Videos whose logs are followed.")]
    heard: Annotated[int, total("Comments and retractions read from logs, including our own.")]
    holes: Annotated[int, total("Logs with a gap: events expired before they were read.")]
    failures: Annotated[int, total("Failures to read logs, or to store what was read.")]


class Follower:
    """Follows videos. `run` must be running.

    `load(video)` reads a video from the database, `keep(received)` stores the events read from its log,
    `publish_again(video)` publishes this store's totals, `restore(video, events)` rules that its state
    has lost; the number of likes in other stores, by video, is written to `others`.
    """

    def __init__(
        self,
        store: str,
        settings: BackendSettings,
        reader: LogReader | None,
        load: Callable[[str], Awaitable[Known]],
        keep: Callable[[ReceivedEvents], Awaitable[object]],
        publish_again: Callable[[str], None],
        restore: Callable[[str, Sequence[Keyed]], None],
        others: dict[str, int],
    ) -> None:
        self._store = store
        self._settings = settings
        self._reader = reader
        self._load = load
        self._keep = keep
        self._publish_again = publish_again
        self._restore = restore
        self._others = others
        self._views: dict[str, View] = {}
        self._opening: dict[str, trio.Event] = {}
        self._wanted = Wakeup()
        self._reading = trio.Lock()
        self._received = self._holes = self._failures = 0

    def view(self, video: str) -> View | None:
        """Return the view of a followed video, or None."""
        return self._views.get(video)

    async def follow(self, video: str) -> View:
        """Follow a video; return its view. Raises `Unavailable`."""
        view = self._views.get(video)
        if view is None:
            view = await self._open(video)
        view.asked_at = trio.current_time()
        if not view.caught_up.is_set():
            with trio.move_on_after(OPEN_SECONDS):
                await view.caught_up.wait()
            view.caught_up.set()  # later requests do not wait
        return view

    async def _open(self, video: str) -> View:
        while video in self._opening:
            await self._opening[video].wait()
        if video in self._views:
            return self._views[video]
        done = self._opening[video] = trio.Event()
        try:
            view = View(await self._load(video), trio.current_time())
            if self._count() >= self._settings.followed_videos and video != SITE:
                others = (name for name in self._views if name != SITE)
                self._forget(min(others, key=lambda name: self._views[name].asked_at))
            self._views[video] = view
            if video != SITE:
                self._others[video] = view.elsewhere(self._store)
            if self._reader is None:
                view.is_level = True
                view.caught_up.set()
            self._wanted.set()
            return view
        finally:
            del self._opening[video]
            done.set()

    def _count(self) -> int:
        return len(self._views) - (SITE in self._views)

    def _forget(self, video: str) -> None:
        del self._views[video]
        self._others.pop(video, None)

    async def run(self) -> None:
        """Read the logs of the followed videos until cancelled."""
        if self._reader is None:
            return
        while True:
            await self._follow_site()
            now = trio.current_time()
            for video, view in list(self._views.items()):
                if now - view.asked_at > self._settings.follow_linger and video != SITE:
                    self._forget(video)
            names = list(self._views)
            for start in range(0, len(names), READ_VIDEOS):
                try:
                    async with self._reading:
                        await self._read(self._reader, names[start : start + READ_VIDEOS])
                except (BusError, Problem) as error:
                    self._failures += 1
                    for view in self._views.values():
                        view.is_level = False
                    log.warning("logs_not_followed", reason=str(error))
                    break
            await self._wanted.wait(trio.current_time() + self._settings.follow_interval)

    async def _follow_site(self) -> None:
        """Follow the rules for all videos, as soon as the database can be read."""
        if SITE not in self._views:
            try:
                await self._open(SITE)
            except Unavailable as error:
                self._failures += 1
                log.warning("site_not_followed", reason=str(error))

    async def read_now(self, video: str) -> View:
        """Read a video's log up to its head; return the view. Raises `BusError`, `Unavailable`."""
        view = await self.follow(video)
        if self._reader is not None:
            async with self._reading:
                if self._views.get(video) is view:
                    await self._read(self._reader, [video])
        return view

    async def _read(self, reader: LogReader, names: list[str]) -> None:
        """Read these logs up to their heads. Raises `BusError`, `Unavailable`."""
        while names:
            found = await reader.read_several(
                {video: self._views[video].offset for video in names}, READ_EVENTS
            )
            more = []
            for video, part in found.items():
                view = self._views.get(video)
                if view is not None and await self._take(reader, video, view, part):
                    more.append(video)
            names = [video for video in more if video in self._views]

    async def _take(self, reader: LogReader, video: str, view: View, part: Slice) -> bool:
        """Process a part of a log; return whether there is more."""
        received = ReceivedEvents(video, part.head.epoch, view.offset, view.is_complete, [], [], {}, [], [])
        is_anew = part.head.epoch != view.epoch
        if is_anew and view.offset:  # read it from its beginning
            view.epoch, view.offset, view.is_complete = part.head.epoch, 0, False
            view.is_state_read = False
            self._holes += 1
            return True
        if is_anew:  # of a log that has only a state, or none
            view.is_state_read = False
        if part.oldest > view.offset + 1:
            self._holes += not is_anew
            received.is_complete = False
        elif is_anew and not view.epoch:
            received.is_complete = True
        is_sparse = sum(len(batch.lines) for batch in part.batches) < part.end - view.offset
        if not view.is_state_read or is_sparse:  # missing events may have been keyed
            add_state_lines(received, await reader.state(video))
            self._check_own(video, view, received)
            self._check_rules(video, view, received)
        add_batches(received, part.batches)
        received.offset = max(view.offset, part.end)
        self._fold_rules(video, view, received)
        if (
            received.totals
            or received.rules
            or (received.epoch, received.offset) != (view.epoch, view.offset)
        ):
            await self._keep(received)
            self._received += len(received.comments) + len(received.retracted)
        view.is_state_read = True
        view.epoch, view.offset, view.is_complete = received.epoch, received.offset, received.is_complete
        if received.comments or received.retracted or received.rules:
            view.comments = view.shown = None
        for store, totals in received.totals.items():
            view.merge(store, totals)
        if video != SITE:
            self._others[video] = view.elsewhere(self._store)
        if view.offset >= part.head.offset:
            view.is_level = True
            view.caught_up.set()
            return False
        return True

    def _check_own(self, video: str, view: View, received: ReceivedEvents) -> None:
        """Publish this store's totals again if the video's state does not have them."""
        own, published = view.totals.get(self._store, {}), received.totals.get(self._store, {})
        if any(number > published.get(reaction, 0) for reaction, number in own.items()):
            self._publish_again(video)

    def _check_rules(self, video: str, view: View, received: ReceivedEvents) -> None:
        """Publish rules again that the video's state has lost."""
        ranks = {rule.event.key: rule.event.rank for rule in received.rules}
        # A cleared key is missed only where an older event of it is kept, see `_fold_rules`.
        lost = [event for event in view.rules if event.key not in ranks and not event.is_cleared]
        if lost:
            self._restore(video, lost)

    def _fold_rules(self, video: str, view: View, received: ReceivedEvents) -> None:
        """Adopt the rules that were read; restore those in the state that are newer here."""
        newest: dict[str, Keyed] = {}
        for rule in received.rules:
            key, rank = rule.event.key, rule.event.rank
            if key not in newest or newest[key].rank < rank:
                newest[key] = rule.event
        older = []
        for key, event in newest.items():
            known = view.rules.get(key)
            if known is not None and known.rank > event.rank:
                older.append(known)
            else:
                view.rules.fold(event)
        if older:
            self._restore(video, older)
        if not view.rules.cleared:
            return
        kept = []
        for comment in received.comments:
            if view.rules.is_cleared(comment.user, comment.at):
                received.retracted.append(comment.id)
            else:
                kept.append(comment)
        received.comments = kept

    def statistics(self) -> FollowStatistics:
        return FollowStatistics(
            videos=self._count(), heard=self._received, holes=self._holes, failures=self._failures
        )
