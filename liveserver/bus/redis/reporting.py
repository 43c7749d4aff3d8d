"""Reports the known heads to each incarnation of Redis, and keeps this process a member while it listens.

While there is a listener, one thread per bus runs once a second (a "beat"): it notices a new incarnation
when there are no other calls, and removes members that have ended. Without a listener the calls suffice.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from typing import Any

import structlog
from redis.exceptions import RedisError, ResponseError

from liveserver.bus.redis.commands import Commands
from liveserver.bus.redis.connection import MALFORMED_REPLY_ERRORS, UNSETTLED, Link
from liveserver.bus.redis.deployment import Command
from liveserver.bus.redis.known_heads import KnownHeads
from liveserver.bus.redis.membership import Incarnation, Membership

BEAT = 1.0  # seconds
RETRY = 0.1  # seconds after a beat that failed
PAGE = 1_000  # videos reported in one pipeline

log = structlog.get_logger(__name__)


class Reporter:
    """Runs the pipelines that open logs. `run`, `report` and `leave` block: call them in worker threads."""

    def __init__(self, link: Link, commands: Commands, known: KnownHeads, membership: Membership) -> None:
        self._link = link
        self._commands = commands
        self._known = known
        self._membership = membership
        self._reporting = threading.Lock()
        self._must_report = False
        self._checked = False
        self._wake = threading.Event()
        self._stop: threading.Event | None = None  # of the beating thread
        self._listeners = 0

    def run(
        self, commands: Sequence[Command], videos: Collection[str], *, transaction: bool = False
    ) -> list[Any]:
        """Return the replies to `commands`, which open the logs of `videos`.

        They are one transaction with incarnation.lua, so that no restart comes between them. In a cluster
        that would be one transaction per slot: there log.lua checks the incarnation itself, and `transaction`
        decides. Raises `RedisError`; if Redis waits for reports, after sending this process'.
        """
        try:
            return self._run(commands, videos, transaction=transaction)[1]
        except ResponseError as error:
            if str(error).startswith(UNSETTLED):
                self.report()
            raise

    def report(self) -> None:
        """Report all known heads. Raises `RedisError`."""
        with self._reporting:
            videos = self._known.videos()
            incarnations: set[str] = set()
            for start in range(0, len(videos), PAGE):
                page = videos[start : start + PAGE]
                reports = [self._commands.report(video, self._known.opening(video)) for video in page]
                found, replies = self._run(reports, page)
                incarnations |= {incarnation.id for incarnation in found}
                for video, reply in zip(page, replies, strict=True):
                    if reply:
                        epoch, offset = reply.decode().split(" ")
                        self._known.learn(video, epoch, int(offset))
            # More than one incarnation of one server: it has restarted meanwhile, and all is reported again.
            if len(incarnations) == 1 or self._commands.in_cluster:
                for name in incarnations:
                    self._membership.reported(name)
            self._run([], [])

    def start(self) -> None:
        """Add a listener; start the thread with the first."""
        self._listeners += 1
        if self._stop is None:
            self._stop = threading.Event()
            threading.Thread(target=self._beat, args=[self._stop], name="beat", daemon=True).start()

    def stop(self) -> None:
        """Remove a listener; stop the thread with the last."""
        self._listeners -= 1
        if not self._listeners and self._stop is not None:
            self._stop.set()
            self._wake.set()
            self._stop = None

    def wake(self) -> None:
        """Report at once; called when listening has begun or resumed."""
        self._must_report = True
        self._wake.set()

    def leave(self) -> None:
        """Leave the members, so that no other process waits for this one. Raises `RedisError`."""
        if self._membership.is_enrolled and not self._commands.in_cluster:
            self._link.run([self._commands.prune(self._membership.process, leave=True)], transaction=False)

    def _run(
        self, commands: Sequence[Command], videos: Collection[str], *, transaction: bool = False
    ) -> tuple[list[Incarnation], list[Any]]:
        knows_something = bool(self._known)
        first = self._commands.incarnation(
            videos, self._membership.arguments(knows_something=knows_something)
        )
        found: list[Incarnation] = []

        def inspect(replies: Sequence[Any]) -> None:
            for reply in replies[: len(first)]:
                if incarnation := self._membership.observe(reply):
                    found.append(incarnation)
                    if not knows_something:
                        self._membership.reported(incarnation.id)

        is_one = transaction or (bool(commands) and not self._commands.in_cluster)
        replies = self._link.run([*first, *commands], transaction=is_one, inspect=inspect)
        if any(not self._membership.has_reported(incarnation.id) for incarnation in found):
            self._must_report = True
            self._wake.set()
        return found, replies[len(first) :]

    def _check_commands(self) -> None:
        """Log once which commands are missing. Raises `RedisError`."""
        if not self._checked:
            (missing,) = self._link.run([self._commands.missing()], transaction=False)
            self._checked = True
            if missing:
                names = sorted({name.decode() for name in missing})
                log.error("redis_commands_missing", commands=names, see="docs/datacenters.md#redis")

    def _beat(self, stop: threading.Event) -> None:
        while not stop.is_set():
            pause = BEAT
            try:
                self._wake.clear()
                self._check_commands()
                self._run([], [])
                if self._must_report:
                    self._must_report = False
                    try:
                        self.report()
                    except BaseException:
                        self._must_report = True
                        raise
                if not self._commands.in_cluster:
                    self._link.run([self._commands.prune(self._membership.process)], transaction=False)
            except (RedisError, OSError, *MALFORMED_REPLY_ERRORS):
                pause = RETRY
            self._wake.wait(pause)
