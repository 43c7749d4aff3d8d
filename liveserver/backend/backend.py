"""The likes backend put together: routes → writer → store, and from there the outbox → a dispatcher."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import msgspec
import trio
from sqlalchemy.exc import SQLAlchemyError

from liveserver.backend.commands import OutboxRow, Stored, Summary, Wish
from liveserver.backend.outbox import Outbox, OutboxStatistics, PublishTarget
from liveserver.backend.store import Store
from liveserver.backend.writer import Writer, WriteStatistics
from liveserver.config import BackendSettings
from liveserver.errors import ConfigError, Unavailable


class BackendStatistics(msgspec.Struct, frozen=True):
    """What has been stored, and what has become of it."""

    write: WriteStatistics
    outbox: OutboxStatistics


class Backend:
    """What the routes want of it. Get one from `open_backend`."""

    def __init__(self, store: Store, settings: BackendSettings, dispatcher: PublishTarget) -> None:
        self._store = store
        self._one_reader = trio.CapacityLimiter(1)
        self.writer = Writer(store, settings, lambda rows: self.outbox.put(rows))
        self.outbox = Outbox(settings, dispatcher, self._waiting, self.writer.forget)

    async def write(self, wish: Wish) -> Stored:
        """As `Writer.write`."""
        return await self.writer.write(wish)

    async def summary(self, video: str) -> Summary:
        """Raises `Unavailable`."""
        try:
            return await trio.to_thread.run_sync(self._store.summary, video, limiter=self._one_reader)
        except SQLAlchemyError:
            raise Unavailable("the totals cannot be read just now; try again") from None

    async def check(self) -> None:
        """For readiness: raises `Unavailable` when the database does not answer.

        That no dispatcher does is no reason to turn viewers away: what they do is stored, and waits.
        """
        try:
            await trio.to_thread.run_sync(self._store.ping, limiter=self._one_reader)
        except SQLAlchemyError:
            raise Unavailable("the database does not answer") from None

    async def _waiting(self, after: tuple[str, int], limit: int) -> list[OutboxRow]:
        try:
            return await trio.to_thread.run_sync(self._store.waiting, after, limit, limiter=self._one_reader)
        except SQLAlchemyError as error:
            raise Unavailable(str(error.__cause__ or type(error).__name__)) from None

    def statistics(self) -> BackendStatistics:
        return BackendStatistics(self.writer.statistics(), self.outbox.statistics())


@asynccontextmanager
async def open_backend(settings: BackendSettings, dispatcher: PublishTarget) -> AsyncIterator[Backend]:
    """Run a likes backend for the duration of the block; what is left in its outbox waits for its next life.

    Raises `ConfigError` when the database cannot be opened.
    """
    with ExitStack() as stack:
        url = _url(settings, stack)
        try:
            store = await trio.to_thread.run_sync(Store, url, settings)
        except ValueError:
            # Not chained: the original may quote a part of the password.
            raise ConfigError(
                "backend.database", "is not a URL like postgresql://user:password@host:5432/name"
            ) from None
        except (SQLAlchemyError, ImportError) as error:
            raise ConfigError("backend.database", f"cannot be opened ({_reason(error)})") from error
        stack.callback(store.close)
        async with trio.open_nursery() as nursery:
            backend = Backend(store, settings, dispatcher)
            nursery.start_soon(backend.writer.run)
            nursery.start_soon(backend.outbox.run)
            yield backend
            nursery.cancel_scope.cancel()


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
    text = str(getattr(error, "orig", None) or error).partition("\n")[0]
    if isinstance(error, ImportError):
        text += "; for PostgreSQL, install liveserver[postgres]"
    return text
