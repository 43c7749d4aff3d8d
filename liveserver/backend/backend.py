"""The likes backend put together: routes → writer → store, and from there the outbox → a dispatcher."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog
import trio
from sqlalchemy.exc import SQLAlchemyError

from liveserver.backend.commands import Accepted, Command, OutboxRow, Stored, Summary
from liveserver.backend.engine import is_transient, reason
from liveserver.backend.outbox import Outbox, OutboxStatistics, PublishTarget
from liveserver.backend.store import Store
from liveserver.backend.sums import SumsPublisher, SumsStatistics
from liveserver.backend.transaction import Committed
from liveserver.backend.writer import Writer, WriteStatistics
from liveserver.backoff import Backoff
from liveserver.config import BackendSettings, LikeSettings
from liveserver.errors import ConfigError, Unavailable

READ_ATTEMPTS = 3
OPEN_SECONDS = 15.0
RETRY_FIRST, RETRY_LONGEST = 0.05, 1.0  # seconds

T = TypeVar("T")

log = structlog.get_logger(__name__)


class BackendStatistics(msgspec.Struct, frozen=True):
    """What has been stored, and what has become of it."""

    write: WriteStatistics
    outbox: OutboxStatistics
    sums: SumsStatistics


class Backend:
    """What the routes want of it. Get one from `open_backend`."""

    def __init__(
        self, store: Store, settings: BackendSettings, likes: LikeSettings, dispatcher: PublishTarget
    ) -> None:
        self._store = store
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
        self.writer = Writer(store, settings, self._committed, self._uncertain)

    async def write(self, command: Command) -> Stored:
        """As `Writer.write`."""
        return await self.writer.write(command)

    async def summary(self, video: str) -> Summary:
        """Raises `Unavailable`."""
        try:
            return await self._read(lambda: self._store.summary(video))
        except SQLAlchemyError:
            raise Unavailable("the totals cannot be read just now; try again") from None

    async def check(self) -> None:
        """For readiness: raise `Unavailable` when the database does not store.

        That no dispatcher answers is no reason to turn viewers away: what they do is stored, and waits.
        """
        await self.writer.check()

    def _committed(self, committed: Committed, accepted: Accepted) -> None:
        self.outbox.on_removed(accepted.rows)
        self.sums.on_announced(accepted.totals)
        self.outbox.put(committed.rows)
        self.sums.changed(committed.likes)

    def _uncertain(self) -> None:
        self.outbox.read_again()
        self.sums.sweep()

    async def _waiting(self, limit: int) -> list[OutboxRow]:
        return await self._wait_read(lambda: self._store.waiting(limit))

    async def _wait_read(self, read: Callable[[], T]) -> T:
        """As `_read`. Raises `Unavailable`."""
        try:
            return await self._read(read)
        except SQLAlchemyError as error:
            raise Unavailable(reason(error)) from None

    async def _read(self, read: Callable[[], T]) -> T:
        """Return what `read` does, in a thread; try again when that may help. Raises `SQLAlchemyError`."""
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
        return BackendStatistics(self.writer.statistics(), self.outbox.statistics(), self.sums.statistics())


@asynccontextmanager
async def open_backend(
    settings: BackendSettings, dispatcher: PublishTarget, likes: LikeSettings | None = None
) -> AsyncIterator[Backend]:
    """Run a likes backend for the duration of the block; what is left in its outbox waits for its next life.

    A database that is not there yet is waited for, `OPEN_SECONDS` long. Raises `ConfigError` when it cannot
    be opened.
    """
    likes = likes or LikeSettings()
    with ExitStack() as stack:
        store = await _open_store(_url(settings, stack), settings, likes)
        stack.callback(store.close)
        async with trio.open_nursery() as nursery:
            backend = Backend(store, settings, likes, dispatcher)
            nursery.start_soon(backend.writer.run)
            nursery.start_soon(backend.outbox.run)
            nursery.start_soon(backend.sums.run)
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
        raise ConfigError("backend.directory", f"cannot be made: {error.strerror}") from error
    return f"sqlite:///{path}"


def _reason(error: Exception) -> str:
    text = reason(error) if getattr(error, "orig", None) else str(error).partition("\n")[0]
    if isinstance(error, ImportError):
        text += "; for PostgreSQL, install liveserver[postgres]"
    return text
