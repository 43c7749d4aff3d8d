"""Connections to Redis: threads, time limits, scripts and errors.

Rules:

1. redis-py is synchronous, so it runs in worker threads; a whole pipeline per hop, never one event.
2. Nothing is retried here, and redis-py's own retries are off: only the caller of `append` knows the
   token that makes a repeat harmless.
3. After an error no connection is reused: the next call starts on a fresh one, so that a stalled or
   failed-over server is abandoned.
4. A call ends in time even if its thread does not: the thread is abandoned to its own timeout.
5. No message contains the password.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import Any, TypeVar

import trio
from redis.exceptions import AuthenticationError, NoScriptError, RedisError

from liveserver.bus.redis.deployment import make_deployment
from liveserver.bus.redis.server import Command
from liveserver.config import BusSettings
from liveserver.errors import BusError, BusRefused, ConfigError
from liveserver.instruments import DELAYS, Histogram

# What parsing a malformed reply may raise.
MALFORMED_REPLY_ERRORS = (ValueError, TypeError, LookupError, AttributeError, MemoryError, OverflowError)
UNSETTLED = "RESTARTED"  # how a script's error about an unsettled log begins, see log.lua
# Parts of Redis' errors about a command that it does not have, or that this user may not use, or not with
# these keys and channels; of a script's, too.
REFUSALS = (
    *("NOPERM", "no permissions to", "can't run this command", "can't access at least one of the keys"),
    *("can't publish to the channel", "EXEC without MULTI", "unknown command", "Unknown Redis command"),
)
NEWER = "NEWER form"  # in a script's error about a log of a newer program, see log.lua

T = TypeVar("T")


class Script:
    """A Lua script of this package: the settings, the shared parts, and its own source.

    Settings are constants in the source rather than arguments: sent once, not with every request.
    """

    def __init__(self, name: str, settings: Mapping[str, str | int], *shared: str) -> None:
        here = resources.files("liveserver.bus.redis") / "scripts"
        head = "".join(f"local {key} = {_lua(value)}\n" for key, value in settings.items())
        self.source = head + "".join(
            (here / f"{part}.lua").read_text("utf-8") for part in (*(shared or ("log",)), name)
        )
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()  # Redis' name for it


class Link:
    """The connections to one Redis deployment. Creating it does not touch the network; `close` ends them.

    `named` is the setting that has the URL.
    """

    def __init__(self, settings: BusSettings, scripts: Sequence[Script], named: str = "bus.url") -> None:
        self.timeout = float(settings.timeout)
        self._scripts = scripts
        self._named = named
        try:
            self._deployment = make_deployment(settings)
        except ValueError:
            # Not chained: the original may quote a part of the password.
            raise ConfigError(
                named,
                "is not a URL like redis://127.0.0.1:6379/0, rediss://user:password@host:6379/0, "
                "redis+sentinel://host1,host2/name, redis+cluster://host1,host2 or unix:///run/redis.sock; "
                "percent-encode the password's special characters",
            ) from None
        self.round_trips = Histogram(DELAYS)
        self.failures = 0

    async def call(self, limiter: trio.CapacityLimiter, work: Callable[[], T]) -> T:
        """Run `work` in a thread and return its result. Raises `BusError` if Redis fails or on timeout."""
        # A little more than each reply's timeout, so that the more precise error comes first.
        begun = trio.current_time()
        with trio.move_on_after(self.timeout * 1.25):
            try:
                answer = await trio.to_thread.run_sync(work, limiter=limiter, abandon_on_cancel=True)
            except (RedisError, OSError) as error:
                self.failures += 1
                # Not chained: the original may quote what was sent, including the password.
                raise self.to_bus_error(error) from None
            self.round_trips.observe(trio.current_time() - begun)
            return answer
        self.failures += 1
        raise BusError(
            f"Redis at {self._deployment.address} did not answer within {self.timeout:g} s; "
            "see whether it is overloaded or stopped, and try again"
        )

    def run(
        self,
        commands: Sequence[Command],
        *,
        transaction: bool,
        inspect: Callable[[Sequence[Any]], None] | None = None,
    ) -> list[Any]:
        """Return the replies to the commands, in one round trip. To be called in a worker thread.

        Loads scripts that Redis does not have. Raises `RedisError` if a command failed, after `inspect` has
        seen all replies.
        """
        if not commands:
            return []
        try:
            answers = self._deployment.run(commands, transaction=transaction)
            if any(isinstance(answer, NoScriptError) for answer in answers):
                # Redis restarted, or never had them. Commands that succeeded run again: all scripts and
                # commands here are repeatable.
                self._deployment.load([script.source for script in self._scripts])
                answers = self._deployment.run(commands, transaction=transaction)
            if inspect:
                inspect(answers)
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
        except (RedisError, OSError) as error:
            if not str(error).startswith(UNSETTLED):
                self._deployment.drop()
            raise
        return answers

    def shards(self) -> list[str]:
        """Return a name per server with logs (membership.py). For worker threads, as the next two."""
        return self._deployment.shards()

    def shard_of(self, video: str) -> str:
        """Return the name of the video's server."""
        return self._deployment.shard_of(video)

    def count_listeners(self, channels: Sequence[str]) -> list[int]:
        """Return each channel's listeners. Raises `RedisError` unless all servers reply."""
        return self._deployment.count_listeners(channels)

    def connection(self, shard: str | None = None) -> Any:
        """Return a new `redis.Connection` for pub/sub, outside the pool and not yet connected.

        To the server of `shard`; without one, to any master. Typed as Any, as its methods are not annotated.
        """
        return self._deployment.connection(shard)

    def refresh(self) -> None:
        """Discover the present servers. Raises `RedisError`."""
        self._deployment.refresh()

    def rediscover(self) -> None:
        """Discover the servers again, after a connection broke."""
        self._deployment.drop()

    def to_bus_error(self, error: BaseException) -> BusError:
        """Return the error as a `BusError` that says what to do and contains no secrets."""
        # redis-py quotes the command, and with it the events, before these words.
        reason = str(error).rpartition("caused error: ")[2] or type(error).__name__
        for secret in self._deployment.secrets:
            reason = reason.replace(secret, "***")
        if NEWER in reason:
            return BusRefused(
                f"Redis at {self._deployment.address} has a log of a newer liveserver ({reason}); run that "
                "version here, too, or delete the video's keys"
            )
        if isinstance(error, AuthenticationError) or any(word in reason for word in REFUSALS):
            needs = "what it needs is in docs/datacenters.md"
            return BusRefused(f"Redis at {self._deployment.address}: {reason}; {needs}")
        return BusError(
            f"Redis at {self._deployment.address}: {reason}; "
            f"see whether it runs and {self._named} is right, and try again"
        )

    def close(self) -> None:
        """Close all connections of the pool, including those in use by abandoned threads."""
        self._deployment.close()


def _lua(value: str | int) -> str:
    return str(value) if isinstance(value, int) else f"'{value}'"
