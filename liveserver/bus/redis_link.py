"""How this process reaches Redis: connections, threads, time limits, scripts and what went wrong.

Rules:

1. redis-py is synchronous, so it runs in worker threads; a whole pipeline per hop, never one event.
2. Nothing is retried here, redis-py's own retries are off: whoever appends knows the token by which
   a repeat is harmless, a layer below it does not.
3. After an error no connection is used again. A stalled or failed-over server is left behind, and
   the next call starts on a fresh connection.
4. A call ends in time even when its thread does not: the thread is left to run into its own
   timeout.
5. No message contains the password.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import Any, TypeVar
from urllib.parse import urlsplit

import redis
import trio
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError
from redis.retry import Retry

from liveserver.config import BusSettings
from liveserver.errors import BusError, ConfigError
from liveserver.measure import DELAYS, Histogram

HEALTH_CHECK = 10  # seconds: a connection quiet for longer is tried with a PING before it is used

# What comes of taking an answer apart that is not of the kind it should be.
NONSENSE = (ValueError, TypeError, LookupError, AttributeError, MemoryError, OverflowError)

T = TypeVar("T")
Command = Sequence[str | bytes | int]


class Script:
    """A Lua script from this package: the settings, what it shares with others, and its own.

    Settings are constants of the source rather than arguments: sent once, not with every parcel.
    """

    def __init__(self, name: str, settings: Mapping[str, str | int], *shared: str) -> None:
        here = resources.files("liveserver.bus")
        head = "".join(f"local {key} = {_lua(value)}\n" for key, value in settings.items())
        self.source = head + "".join(
            (here / f"{part}.lua").read_text("utf-8") for part in (*(shared or ("log",)), name)
        )
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()  # Redis' name for it


class Link:
    """The connections to one Redis. Made without touching the network; `close` ends them.

    `named` is the setting that has its URL.
    """

    def __init__(self, settings: BusSettings, scripts: Sequence[Script], named: str = "bus.url") -> None:
        self.timeout = float(settings.timeout)
        self._scripts = scripts
        self._pool = _pool(settings, named)
        self._named = named
        url = urlsplit(settings.url)
        self._address = f"{url.hostname}:{url.port or 6379}" if url.hostname else url.path
        secrets = {url.password or "", self._pool.connection_kwargs.get("password") or ""}
        self._secrets = secrets - {""}
        self._redis = redis.Redis(connection_pool=self._pool)
        self.round_trips = Histogram(DELAYS)
        self.failures = 0

    async def call(self, limiter: trio.CapacityLimiter, work: Callable[[], T]) -> T:
        """Do the work in a thread. Raises `BusError` when Redis fails or the time is over."""
        # A little more than for each answer, so that the more precise error comes first.
        begun = trio.current_time()
        with trio.move_on_after(self.timeout * 1.25):
            try:
                answer = await trio.to_thread.run_sync(work, limiter=limiter, abandon_on_cancel=True)
            except (RedisError, OSError) as error:
                self.failures += 1
                # Not chained: the original may quote what was sent, the password for example.
                raise self.failed(error) from None
            self.round_trips.observe(trio.current_time() - begun)
            return answer
        self.failures += 1
        raise BusError(
            f"Redis at {self._address} did not answer within {self.timeout:g} s; "
            "see whether it is overloaded or stopped, and try again"
        )

    def run(self, commands: Sequence[Command], *, transaction: bool) -> list[Any]:
        """The answers to the commands, in one round trip. In a worker thread.

        Raises `RedisError` when any of them failed. Scripts Redis does not know yet are loaded.
        """
        try:
            answers = self._pipeline(commands, transaction)
            if any(isinstance(answer, NoScriptError) for answer in answers):
                # Redis restarted, or never saw them. Those that ran will run again: scripts and
                # commands here are all made to be repeatable.
                for script in self._scripts:
                    self._redis.script_load(script.source)
                answers = self._pipeline(commands, transaction)
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
        except (RedisError, OSError):
            self._pool.disconnect(inuse_connections=False)
            raise
        return answers

    def connection(self) -> Any:
        """A `redis.Connection` of its own, outside of the pool, not yet connected; for pub/sub.

        Any, as its methods are not annotated.
        """
        # Not the pool's make_connection: that one counts, and never forgets.
        return self._pool.connection_class(**self._pool.connection_kwargs)

    def failed(self, error: BaseException) -> BusError:
        """What went wrong, for whoever reads the log: what to do, and no secrets."""
        # redis-py quotes the command, and with it the events, before these words.
        reason = str(error).rpartition("caused error: ")[2] or type(error).__name__
        for secret in self._secrets:
            reason = reason.replace(secret, "***")
        return BusError(
            f"Redis at {self._address}: {reason}; "
            f"see whether it runs and {self._named} is right, and try again"
        )

    def close(self) -> None:
        """Drop all connections of the pool; also those in use by threads left behind."""
        self._pool.disconnect()

    def _pipeline(self, commands: Sequence[Command], transaction: bool) -> list[Any]:
        pipeline: Any
        with self._redis.pipeline(transaction=transaction) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            answers: list[Any] = pipeline.execute(raise_on_error=False)
            return answers


def _lua(value: str | int) -> str:
    return str(value) if isinstance(value, int) else f"'{value}'"


def _pool(settings: BusSettings, named: str) -> redis.ConnectionPool:
    timeout = float(settings.timeout)
    options: dict[str, Any] = {
        "protocol": 2,  # pub/sub messages come in plain order, and a connection needs no HELLO
        "socket_timeout": timeout,
        "health_check_interval": HEALTH_CHECK,
        "retry": Retry(NoBackoff(), 0),
    }
    if not settings.url.startswith("unix:"):
        options |= {"socket_connect_timeout": timeout, "socket_keepalive": True}
    try:
        return redis.ConnectionPool.from_url(settings.url, **options)
    except ValueError:
        # Not chained: the original quotes what may be a part of the password.
        raise ConfigError(
            named,
            "is not a URL like redis://127.0.0.1:6379/0, rediss://user:password@host:6379/0 or "
            "unix:///run/redis.sock; percent-encode the password's special characters",
        ) from None
