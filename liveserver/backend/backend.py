"""The assembled likes backend: routes → writer → store, and from there outbox → dispatcher."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import Any, Protocol, TypeVar

import msgspec
import structlog
import trio
from sqlalchemy.exc import SQLAlchemyError

from liveserver.backend.commands import (
    Acknowledged,
    Command,
    Comments,
    OutboxRow,
    Retraction,
    Stored,
    Summary,
)
from liveserver.backend.enforcement import EnforcementStatistics, Enforcer, Turns
from liveserver.backend.engine import is_transient, reason
from liveserver.backend.follow import Follower, FollowStatistics, LogReader
from liveserver.backend.opening import database_url, open_store
from liveserver.backend.outbox import Outbox, OutboxStatistics, PublishTarget
from liveserver.backend.restoring import Restorer, RestoringStatistics
from liveserver.backend.review import ReviewHook, ReviewStatistics, open_review_hook
from liveserver.backend.store import Store
from liveserver.backend.sums import SumsPublisher, SumsStatistics
from liveserver.backend.transaction import Committed
from liveserver.backend.waiting_comments import WaitingComments
from liveserver.backend.writer import Writer, WriteStatistics
from liveserver.backoff import Backoff
from liveserver.config import BackendSettings, LikeSettings, ReviewSettings
from liveserver.errors import BusError, DispatcherError, NotFound, Unavailable
from liveserver.event import RETRACT
from liveserver.moderation import acts
from liveserver.moderation.acts import Act
from liveserver.moderation.publisher import ActPublisher
from liveserver.moderation.rules import Pinned, Rules

READ_ATTEMPTS = 3
RETRY_FIRST, RETRY_LONGEST = 0.05, 1.0  # seconds

T = TypeVar("T")

log = structlog.get_logger(__name__)


class BackendStatistics(msgspec.Struct, frozen=True):
    """The statistics of all parts of the backend."""

    write: WriteStatistics
    outbox: OutboxStatistics
    sums: SumsStatistics
    follow: FollowStatistics
    moderation: EnforcementStatistics
    restoring: RestoringStatistics
    review: ReviewStatistics


class BackendBus(LogReader, Turns, Protocol):
    """The part of a bus that a likes backend needs."""


class Backend:
    """The operations that the routes use. Open one with `open_backend`."""

    def __init__(
        self,
        store: Store,
        settings: BackendSettings,
        likes: LikeSettings,
        dispatcher: PublishTarget,
        reader: BackendBus | None,
        review: ReviewSettings,
        hook: ReviewHook | None,
    ) -> None:
        self._store = store
        self._settings = settings
        self._one_reader = trio.CapacityLimiter(1)
        self.outbox = Outbox(settings, dispatcher, self._waiting, lambda rows: self.writer.remove(rows))
        self.sums = SumsPublisher(
            store.id,
            settings,
            likes,
            dispatcher,
            lambda videos: self._wait_read(lambda: store.read_totals(videos)),
            lambda limit: self._wait_read(lambda: store.owed(limit)),
            lambda totals: self.writer.set_announced(totals),
            self.outbox.wait_handed_over,
        )
        self.restorer = Restorer(dispatcher)
        self.follower = Follower(
            store.id,
            settings,
            reader,
            lambda video: self._wait_read(lambda: store.load(video)),
            lambda received: self.writer.write(received),
            self.sums.publish_again,
            self.restorer.put,
            store.others,
        )
        self.enforcer = Enforcer(self.follower, reader)
        self._acts = ActPublisher(self, lambda body: dispatcher.publish(body, retractions=False))
        self._dispatcher = dispatcher
        self.waiting_comments = WaitingComments(self, self._acts, self.act, review, hook)
        self.writer = Writer(store, settings, self._committed, self._uncertain)

    async def write(self, command: Command) -> Stored:
        """Store a command, as `Writer.write` does, and follow its video."""
        view = self.follower.view(command.video)
        if view is None:
            await self.follower.follow(command.video)
        else:
            view.asked_at = trio.current_time()
        return await self.writer.write(command)

    async def summary(self, video: str) -> bytes:
        """Return a video's totals and its newest comments, as JSON. Raises `Unavailable`."""
        view = await self.follower.follow(video)
        if view.shown is not None:
            return view.shown
        async with view.loading:
            while view.comments is None:
                view.comments = []  # a change during the read sets it to None again
                newest = await self._comments(video, None, self._settings.summary_comments)
                if view.comments is not None:
                    view.comments = newest or []
        reactions = view.reactions()
        view.shown = msgspec.json.encode(Summary(sum(reactions.values()), reactions, view.comments or []))
        return view.shown

    async def comments(self, video: str, before: str | None, limit: int) -> Comments:
        """Return a page of a video's comments, newest first. Raises `NotFound`, `Unavailable`."""
        view = await self.follower.follow(video)
        was_complete = view.is_complete and view.is_level
        found = await self._comments(video, before, limit + 1)
        if found is None:
            raise NotFound("this video has no comment with the id `before`")
        page = found[:limit]
        is_complete = was_complete and view.is_complete and view.is_level
        return Comments(page, page[-1]["id"] if len(found) > limit else None, is_complete)

    async def _comments(self, video: str, before: str | None, limit: int) -> list[dict[str, Any]] | None:
        return await self._wait_read(lambda: self._store.comments(video, before, limit))

    async def rules(self, video: str) -> Rules:
        """Return the rules of a video, as far as known here. Raises `Unavailable`."""
        return (await self.follower.follow(video)).rules

    async def refresh(self, video: str) -> Rules:
        """Return the rules of a video, after reading its log up to its head. Raises `Unavailable`."""
        try:
            return (await self.follower.read_now(video)).rules
        except BusError:
            raise Unavailable("the log cannot be read; try again") from None

    async def act(self, *several: Act) -> list[Act]:
        """Publish acts; return them once they hold here. Raises as `ActPublisher.publish` does."""
        published = await self._acts.publish(*several)
        with suppress(BusError, Unavailable):  # the log is read again before long
            await self.follower.read_now(several[0].video)
        return published

    async def audit(self, video: str, before: str | None, limit: int) -> tuple[list[msgspec.Raw], str | None]:
        """Return a page of moderators' acts, newest first, and the id before which the next page begins.

        Raises `NotFound`, `Unavailable`.
        """
        await self.refresh(video)
        found = await self._wait_read(lambda: self._store.acts(video, before, limit + 1))
        if found is None:
            raise NotFound("there is no such act to continue from")
        page = found[:limit]
        last = page[-1][0] if len(found) > limit else None
        return [msgspec.Raw(event) for _, event in page], last

    async def newest_acts(self, limit: int) -> list[msgspec.Raw]:
        """Return the last acts of moderators, newest first, on all videos that are followed here.

        Raises `Unavailable`.
        """
        return [msgspec.Raw(event) for event in await self._wait_read(lambda: self._store.newest_acts(limit))]

    async def comment(self, video: str, name: str) -> Pinned:
        """Return a comment to be pinned. Raises `NotFound`, `Unavailable`."""
        await self.refresh(video)  # it may be from another backend, or just have been retracted there
        found = await self._wait_read(lambda: self._store.comment(video, name))
        if found is None:
            raise NotFound("this video has no such comment")
        text, user = found
        return Pinned(text, name, user)

    async def clear(self, video: str, by: str, user: str) -> None:
        """Retract all comments of a user, also pinned and waiting ones. Raises as `act` does."""
        await self.act(*acts.clear_all(video, by, user, await self.refresh(video)))

    async def retract(self, video: str, comment: str, by: str | None, user: str | None) -> None:
        """Retract a comment; return when that is in the feed. With a `user`, only one of theirs.

        Raises `NotFound`, `Forbidden`, and `Unavailable`, after which the comment may still be retracted.
        """
        # The same id each time, so that a repetition is a duplicate.
        event = (
            f"retract-{hashlib.blake2s(comment.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"
        )
        command = Retraction(video, comment, event, by, user)
        try:
            await self.write(command)
        except NotFound:
            await self.refresh(video)  # it may be from another backend, and have come just now
            await self.write(command)
        said = {"id": event, "video": video, "type": RETRACT, "data": {"id": comment}}
        if by is not None:
            said["by"] = by
        try:
            await self._dispatcher.publish(msgspec.json.encode([said]), retractions=True)
        except DispatcherError:
            raise Unavailable("stored, and will be published when a dispatcher answers") from None
        pinned = (await self.refresh(video)).pinned  # it may have been pinned at another backend just now
        if pinned is not None and pinned.comment == comment:
            await self.act(acts.pin(video, by or user or "", None, None))

    async def check(self) -> None:
        """Raise `Unavailable` if the database cannot be written to; for readiness.

        Unreachable dispatchers do not matter here: likes and comments are stored, and published later.
        """
        await self.writer.check()

    def _committed(self, committed: Committed, accepted: Acknowledged) -> None:
        self.outbox.on_removed(accepted.rows)
        self.sums.on_announced(accepted.totals)
        self.outbox.put(committed.rows)
        self.sums.on_likes(committed.likes)
        for video, totals in committed.totals.items():
            if (view := self.follower.view(video)) is not None:
                view.merge(self._store.id, totals)
        for video in committed.commented:
            if (view := self.follower.view(video)) is not None:
                view.comments = view.shown = None

    def _uncertain(self) -> None:
        self.outbox.read_again()
        self.sums.sweep()

    async def _waiting(self, limit: int) -> list[OutboxRow]:
        return await self._wait_read(lambda: self._store.waiting(limit))

    async def _wait_read(self, read: Callable[[], T]) -> T:
        """Return the result of `read`, as `_read` does. Raises `Unavailable`."""
        try:
            return await self._read(read)
        except SQLAlchemyError as error:
            raise Unavailable(reason(error)) from None

    async def _read(self, read: Callable[[], T]) -> T:
        """Return the result of `read`, run in a thread; retry transient errors. Raises `SQLAlchemyError`."""
        backoff = Backoff(RETRY_FIRST, RETRY_LONGEST)
        for attempts_left in reversed(range(READ_ATTEMPTS)):
            try:
                return await trio.to_thread.run_sync(read, limiter=self._one_reader)
            except SQLAlchemyError as error:
                if not (attempts_left and is_transient(error)):
                    raise
            await backoff.sleep()
        raise AssertionError("the last attempt returns or raises")

    def statistics(self) -> BackendStatistics:
        return BackendStatistics(
            self.writer.statistics(),
            self.outbox.statistics(),
            self.sums.statistics(),
            self.follower.statistics(),
            self.enforcer.statistics(),
            self.restorer.statistics(),
            self.waiting_comments.statistics(),
        )


@asynccontextmanager
async def open_backend(
    settings: BackendSettings,
    dispatcher: PublishTarget,
    likes: LikeSettings | None = None,
    reader: BackendBus | None = None,
    review: ReviewSettings | None = None,
) -> AsyncIterator[Backend]:
    """Run a likes backend for the duration of the block. Events left in its outbox are published later.

    `reader` reads other backends' comments and totals from the logs; without it they are not included.
    Waits a while for the database to become available. Raises `ConfigError` if it cannot be
    opened.
    """
    likes, review = likes or LikeSettings(), review or ReviewSettings()
    with ExitStack() as stack:
        store = await open_store(database_url(settings, stack), settings, likes)
        stack.callback(store.close)
        async with open_review_hook(review) as hook, trio.open_nursery() as nursery:
            backend = Backend(store, settings, likes, dispatcher, reader, review, hook)
            nursery.start_soon(backend.writer.run)
            nursery.start_soon(backend.outbox.run)
            nursery.start_soon(backend.sums.run)
            nursery.start_soon(backend.restorer.run)
            nursery.start_soon(backend.follower.run)
            yield backend
            nursery.cancel_scope.cancel()
