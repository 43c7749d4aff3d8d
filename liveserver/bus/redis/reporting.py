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

from liveserver.bus.redis.commands import Commands, Opening
from liveserver.bus.redis.connection import MALFORMED_REPLY_ERRORS, UNSETTLED, Link
from liveserver.bus.redis.known_heads import KnownHeads
from liveserver.bus.redis.listener import MEMBER
from liveserver.bus.redis.membership import Incarnation, Membership
from liveserver.bus.redis.server import Command
from liveserver.bus.redis.sharded import Routes

BEAT = 1.0  # seconds
RETRY = 0.1  # seconds after a beat that failed
PAGE = 1_000  # videos reported in one pipeline
# Beats; in a cluster, two of so many check which members have ended, and which listen to the feed.
CHECK_EVERY = 5

log = structlog.get_logger(__name__)


class Reporter:
    """Runs the pipelines that open logs. `run`, `report` and `leave` block: call them in worker threads."""

    def __init__(
        self, link: Link, commands: Commands, known: KnownHeads, membership: Membership, routes: Routes
    ) -> None:
        self._link = link
        self._routes = routes
        self._commands = commands
        self._known = known
        self._membership = membership
        self._reporting = threading.Lock()
        self._must_report = False
        self._checked = False
        self._beats = 0
        self._silent: set[str] = set()  # members without a listener at the last check
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

    def opening(self, video: str) -> Opening:
        """Return the arguments with which a script opens this log. Raises `RedisError`."""
        epoch, known_epoch, known = self._known.opening(video)
        if self._commands.in_cluster:
            shard = self._link.shard_of(video)
            if self._membership.latest(shard) is None:
                self._run([], [])
            latest = self._membership.latest(shard)
            epoch += f" {latest.id} {latest.verdict} {self._routes.to(shard)}" if latest else " - "
        return epoch, known_epoch, known

    def report(self) -> None:
        """Report all known heads. Raises `RedisError`."""
        with self._reporting:
            incarnations: dict[str, set[str]] = {}

            def note(found: list[tuple[str, Incarnation]]) -> None:
                for shard, incarnation in found:
                    incarnations.setdefault(shard, set()).add(incarnation.id)

            note(self._run([], [])[0])
            videos = self._known.videos()
            for start in range(0, len(videos), PAGE):
                page = videos[start : start + PAGE]
                reports = [self._commands.report(video, self.opening(video)) for video in page]
                found, replies = self._run(reports, page)
                note(found)
                for video, reply in zip(page, replies, strict=True):
                    if reply:
                        epoch, offset = reply.decode().split(" ")
                        self._known.learn(video, epoch, int(offset))
            for shard, names in incarnations.items():
                if len(names) == 1:  # more: the server has restarted meanwhile, and all is reported again
                    self._membership.set_reported(names.pop(), shard)
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
        if self._membership.is_enrolled:
            process = self._membership.process
            leaves = [self._commands.prune(process, shard, leave=True) for shard in self._link.shards()]
            self._link.run(leaves, transaction=False)

    def _run(
        self, commands: Sequence[Command], videos: Collection[str], *, transaction: bool = False
    ) -> tuple[list[tuple[str, Incarnation]], list[Any]]:
        """Run them after incarnation.lua, on the servers of `videos`; without videos, on all servers."""
        knows_heads = bool(self._known)
        shards = list(dict.fromkeys(map(self._link.shard_of, videos))) if videos else self._link.shards()
        first = [
            self._commands.incarnation(
                shard, self._membership.arguments(knows_heads=knows_heads, shard=shard)
            )
            for shard in shards
        ]
        found: list[tuple[str, Incarnation]] = []

        def inspect(replies: Sequence[Any]) -> None:
            for shard, reply in zip(shards, replies, strict=False):
                if incarnation := self._membership.observe(reply, shard):
                    found.append((shard, incarnation))
                    if not knows_heads:
                        self._membership.set_reported(incarnation.id, shard)

        is_one = transaction or (bool(commands) and not self._commands.in_cluster)
        replies = self._link.run([*first, *commands], transaction=is_one, inspect=inspect)
        if any(not self._membership.has_reported(incarnation.id, shard) for shard, incarnation in found):
            self._must_report = True
            self._wake.set()
        return found, replies[len(first) :]

    def _remove_ended(self) -> None:
        """Remove members that have ended. Raises `RedisError`."""
        process = self._membership.process
        if not self._commands.in_cluster:
            self._link.run([self._commands.prune(process)], transaction=False)
            return
        self._beats += 1
        if self._beats % CHECK_EVERY > 1:  # two checks in a row
            return
        shards = self._link.shards()
        lists = self._link.run([self._commands.members(shard) for shard in shards], transaction=False)
        names = sorted({name.decode() for members in lists for name in members} - {process})
        counts = self._link.count_listeners([MEMBER + name for name in names]) if names else []
        silent = {name for name, count in zip(names, counts, strict=True) if not count}
        self._routes.check()
        if gone := sorted(silent & self._silent):
            prunes = [self._commands.prune(process, shard, gone=gone) for shard in shards]
            self._link.run(prunes, transaction=False)
        self._silent = silent

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
                self._remove_ended()
            except (RedisError, OSError, *MALFORMED_REPLY_ERRORS):
                pause = RETRY
            self._wake.wait(pause)
