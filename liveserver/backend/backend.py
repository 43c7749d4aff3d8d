"""The assembled likes backend: routes → writer → store, and from there outbox → dispatcher."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import structlog
import trio
from sqlalchemy.exc import SQLAlchemyError

from liveserver.backend.commands import Accepted, Command, Comments, OutboxRow, Stored, Summary
from liveserver.backend.engine import is_transient, reason
from liveserver.backend.follow import Follower, FollowStatistics, LogReader
from liveserver.backend.outbox import Outbox, OutboxStatistics, PublishTarget
from liveserver.backend.store import Store
from liveserver.backend.sums import SumsPublisher, SumsStatistics
from liveserver.backend.transaction import Committed
from liveserver.backend.writer import Writer, WriteStatistics
from liveserver.backoff import Backoff
from liveserver.config import BackendSettings, LikeSettings
from liveserver.errors import ConfigError, NotFound, Unavailable

READ_ATTEMPTS = 3
OPEN_SECONDS = 15.0
RETRY_FIRST, RETRY_LONGEST = 0.05, 1.0  # seconds

T = TypeVar("T")

log = structlog.get_logger(__name__)


class BackendStatistics(msgspec.Struct, frozen=True):
    """The statistics of all parts of the backend."""

    write: WriteStatistics
    outbox: OutboxStatistics
    sums: SumsStatistics
    follow: FollowStatistics


class Backend:
    """The operations that the routes use. Open one with `open_backend`."""

    def __init__(
        self,
        store: Store,
        settings: BackendSettings,
        likes: LikeSettings,
        dispatcher: PublishTarget,
        reader: LogReader | None,
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
        self.follower = Follower(
            store.id,
            settings,
            reader,
            lambda video: self._wait_read(lambda: store.load(video)),
            lambda heard: self.writer.write(heard),
            self.sums.publish_again,
            store.others,
        )
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
        found = await self._comments(video, before, limit + 1)
        if found is None:
            raise NotFound("this video has no comment with the id `before`")
        page = found[:limit]
        return Comments(page, page[-1]["id"] if len(found) > limit else None, view.is_complete)

    async def _comments(self, video: str, before: str | None, limit: int) -> list[dict[str, Any]] | None:
        return await self._wait_read(lambda: self._store.comments(video, before, limit))

    async def check(self) -> None:
        """Raise `Unavailable` if the database does not store; for readiness.

        Unreachable dispatchers do not matter here: likes and comments are stored, and published later.
        """
        await self.writer.check()

    def _committed(self, committed: Committed, accepted: Accepted) -> None:
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
        )


@asynccontextmanager
async def open_backend(
    settings: BackendSettings,
    dispatcher: PublishTarget,
    likes: LikeSettings | None = None,
    reader: LogReader | None = None,
) -> AsyncIterator[Backend]:
    """Run a likes backend for the duration of the block. Events left in its outbox are published later.

    `reader` reads other backends' comments and totals from the logs; without it they are not included.
    Waits up to `OPEN_SECONDS` for the database to become available. Raises `ConfigError` if it cannot be
    opened.
    """
    likes = likes or LikeSettings()
    with ExitStack() as stack:
        store = await _open_store(_url(settings, stack), settings, likes)
        stack.callback(store.close)
        async with trio.open_nursery() as nursery:
            backend = Backend(store, settings, likes, dispatcher, reader)
            nursery.start_soon(backend.writer.run)
            nursery.start_soon(backend.outbox.run)
            nursery.start_soon(backend.sums.run)
            nursery.start_soon(backend.follower.run)
            yield backend
            nursery.cancel_scope.cancel()


async def _open_store(url: str, settings: BackendSettings, likes: LikeSettings) -> Store:
    backoff, patience = Backoff(RETRY_FIRST, RETRY_LONGEST), trio.current_time() + OPEN_SECONDS
    while True:
        try:
            return await trio.to_thread.run_sync(lambda: Store(url, settings, likes=likes))
        except ValueError:
            # Not chained: the original may quote a part of the password.
            raise ConfigError(
                "backend.database", "is not a URL like postgresql://user:password@host:5432/name"
            ) from None
        except (SQLAlchemyError, ImportError) as error:
            may_pass = isinstance(error, SQLAlchemyError) and is_transient(error)
            if not may_pass or trio.current_time() > patience:
                raise ConfigError("backend.database", f"cannot be opened ({_reason(error)})") from error
            log.warning("database_not_open_yet", reason=reason(error))
        await backoff.sleep()


def _url(settings: BackendSettings, stack: ExitStack) -> str:
    database = settings.database
    if "://" in database:
        return database
    if database == ":memory:":
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="liveserver-")))
        return f"sqlite:///{directory / 'liveserver.db'}"
    path = Path(settings.directory) / database
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError("backend.directory", f"cannot be created: {error.strerror}") from error
    return f"sqlite:///{path}"


def _reason(error: Exception) -> str:
    text = reason(error) if getattr(error, "orig", None) else str(error).partition("\n")[0]
    if isinstance(error, ImportError):
        text += "; for PostgreSQL, install liveserver[postgres]"
    return text
