"""Opens the database of a likes backend."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

import structlog
import trio
from sqlalchemy.exc import SQLAlchemyError

from liveserver.backend.engine import is_transient, reason
from liveserver.backend.store import Store
from liveserver.backoff import Backoff
from liveserver.config import BackendSettings, LikeSettings
from liveserver.errors import ConfigError

OPEN_SECONDS = 15.0
RETRY_FIRST, RETRY_LONGEST = 0.05, 1.0  # seconds

log = structlog.get_logger(__name__)


async def open_store(url: str, settings: BackendSettings, likes: LikeSettings) -> Store:
    """Return the store, once its database is there; wait up to `OPEN_SECONDS`. Raises `ConfigError`."""
    backoff, patience = Backoff(RETRY_FIRST, RETRY_LONGEST), trio.current_time() + OPEN_SECONDS
    while True:
        try:
            return await trio.to_thread.run_sync(
                lambda: Store(url, settings, likes=likes), abandon_on_cancel=True
            )
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


def database_url(settings: BackendSettings, stack: ExitStack) -> str:
    """Return the URL of the database, whose directory is there. Raises `ConfigError`.

    For `:memory:`, that is a directory removed with the stack.
    """
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
