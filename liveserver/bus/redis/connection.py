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

import trio
from redis.exceptions import NoScriptError, RedisError

from liveserver.bus.redis.deployment import Command, place
from liveserver.config import BusSettings
from liveserver.errors import BusError, BusRefused, ConfigError
from liveserver.instruments import DELAYS, Histogram

# What comes of taking an answer apart that is not of the kind it should be.
MALFORMED_REPLY_ERRORS = (ValueError, TypeError, LookupError, AttributeError, MemoryError, OverflowError)
UNSETTLED = "RESTARTED"  # the beginning of what a script says of an unsettled log, see log.lua
# What Redis says of a command that it does not have, or that this user may not use.
REFUSALS = ("NOPERM", "can't run this command", "unknown command", "Unknown Redis command")

T = TypeVar("T")


class Script:
    """A Lua script from this package: the settings, what it shares with others, and its own.

    Settings are constants of the source rather than arguments: sent once, not with every parcel.
    """

    def __init__(self, name: str, settings: Mapping[str, str | int], *shared: str) -> None:
        here = resources.files("liveserver.bus.redis") / "scripts"
        head = "".join(f"local {key} = {_lua(value)}\n" for key, value in settings.items())
        self.source = head + "".join(
            (here / f"{part}.lua").read_text("utf-8") for part in (*(shared or ("log",)), name)
        )
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()  # Redis' name for it


class Link:
    """The connections to one Redis, wherever it is. Made without touching the network; `close` ends them.

    `named` is the setting that has its URL.
    """

    def __init__(self, settings: BusSettings, scripts: Sequence[Script], named: str = "bus.url") -> None:
        self.timeout = float(settings.timeout)
        self._scripts = scripts
        self._named = named
        try:
            self._place = place(settings)
        except ValueError:
            # Not chained: the original quotes what may be a part of the password.
            raise ConfigError(
                named,
                "is not a URL like redis://127.0.0.1:6379/0, rediss://user:password@host:6379/0, "
                "redis+sentinel://host1,host2/name, redis+cluster://host1,host2 or unix:///run/redis.sock; "
                "percent-encode the password's special characters",
            ) from None
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
            f"Redis at {self._place.address} did not answer within {self.timeout:g} s; "
            "see whether it is overloaded or stopped, and try again"
        )

    def run(
        self,
        commands: Sequence[Command],
        *,
        transaction: bool,
        inspect: Callable[[Sequence[Any]], None] | None = None,
    ) -> list[Any]:
        """Return the replies to the commands, in one round trip. In a worker thread.

        Raises `RedisError` when any of them failed, after `inspect` has seen all replies. Scripts Redis does
        not know yet are loaded.
        """
        if not commands:
            return []
        try:
            answers = self._place.run(commands, transaction=transaction)
            if any(isinstance(answer, NoScriptError) for answer in answers):
                # Redis restarted, or never saw them. Those that ran will run again: scripts and
                # commands here are all made to be repeatable.
                self._place.load([script.source for script in self._scripts])
                answers = self._place.run(commands, transaction=transaction)
            if inspect:
                inspect(answers)
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
        except (RedisError, OSError) as error:
            if not str(error).startswith(UNSETTLED):
                self._place.drop()
            raise
        return answers

    def connection(self) -> Any:
        """A `redis.Connection` of its own, outside of the pool, not yet connected; for pub/sub.

        Any, as its methods are not annotated.
        """
        return self._place.connection()

    def renew(self) -> None:
        """A connection broke: find out anew where the servers are."""
        self._place.drop()

    def failed(self, error: BaseException) -> BusError:
        """What went wrong, for whoever reads the log: what to do, and no secrets."""
        # redis-py quotes the command, and with it the events, before these words.
        reason = str(error).rpartition("caused error: ")[2] or type(error).__name__
        for secret in self._place.secrets:
            reason = reason.replace(secret, "***")
        if any(word in reason for word in REFUSALS):
            return BusRefused(
                f"Redis at {self._place.address}: {reason}; the commands it needs are in docs/datacenters.md"
            )
        return BusError(
            f"Redis at {self._place.address}: {reason}; "
            f"see whether it runs and {self._named} is right, and try again"
        )

    def close(self) -> None:
        """Drop all connections of the pool; also those in use by threads left behind."""
        self._place.close()


def _lua(value: str | int) -> str:
    return str(value) if isinstance(value, int) else f"'{value}'"
