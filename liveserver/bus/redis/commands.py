"""The Redis bus' scripts, with their settings, and its commands. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from liveserver.bus.interface import ANNOUNCE, AppendRequest, ReplicationBatch
from liveserver.bus.redis.connection import Script
from liveserver.bus.redis.hook_queue import HookScripts
from liveserver.bus.redis.replies import keys, ms, position_text
from liveserver.bus.redis.server import Command
from liveserver.config import HistorySettings
from liveserver.config.checks import TOKEN_WINDOW
from liveserver.event import SKIPPED
from liveserver.viewer_count import AudienceReport, ViewerCount

EMPTY = 120.0  # seconds that a log without events lasts beyond its leases
SLACK = 7_200.0  # seconds that a key outlives the rows in it: steps of the clock end keys, but not rows
USERS = 1_000  # added to a video's audience by one command
LEAP = 10.0  # seconds that the clock may advance between two beats, which are one apart; more is a step

# The commands that the scripts use, with harmless arguments; see scripts/commands.lua.
USED = (
    "INFO replication", "TIME", "EXISTS KEY", "GET KEY", "SET KEY 1 PX 1000", "DEL KEY", "PTTL KEY",
    "PEXPIRE KEY 1000", "PUBLISH KEY 0", "PUBSUB NUMSUB KEY", "DEL KEY",
    "HSET KEY 1 1", "HSETNX KEY 1 1", "HGET KEY 1", "HMGET KEY 1", "HGETALL KEY", "HKEYS KEY", "HLEN KEY",
    "HSTRLEN KEY 1", "HVALS KEY", "HINCRBY KEY 1 1", "HDEL KEY 1", "DEL KEY",
    "ZADD KEY 1 1", "ZRANGE KEY 0 0", "ZRANGEBYSCORE KEY 0 0", "ZREM KEY 2", "ZREMRANGEBYSCORE KEY 0 0",
    "DEL KEY", "PFADD KEY 1", "PFCOUNT KEY",
    "DEL KEY", "XADD KEY 1-0 1 1", "XRANGE KEY - + COUNT 1", "XTRIM KEY MAXLEN 1", "DEL KEY",
)  # fmt: skip

# The form of a log's keys. To be raised only when programs of the present form could not go on with them:
# then one release reads both and writes this one, and the next writes the new one (docs/upgrading.md).
FORM = 1

# The arguments with which a script opens a log: an epoch in case it begins anew, and the known head, as
# epoch and offset. In a cluster the server's incarnation, its verdict and how to publish follow the epoch
# (log.lua).
Opening: TypeAlias = tuple[str, str, int]


class Commands:
    """One datacenter's commands; `scripts` are the scripts that Redis must have loaded for them."""

    def __init__(self, datacenter: str, history: HistorySettings, *, in_cluster: bool) -> None:
        self.in_cluster = in_cluster
        settings: dict[str, str | int] = {
            "ORIGIN": datacenter,
            "FORM": FORM,
            "EVENTS": history.max_events,
            "EPHEMERAL_EVENTS": history.ephemeral_events,
            "EPHEMERAL": f" {' '.join((*history.ephemeral_types, SKIPPED))} ",
            "AGE": ms(history.max_age),
            "IDLE": ms(history.idle_ttl),
            "IDS": ms(history.dedup_window),
            "TOKENS": ms(TOKEN_WINDOW),
            "EMPTY": ms(EMPTY),
            "SLACK": ms(SLACK),
            "LEAP": ms(LEAP),
            "ANNOUNCE": ms(ANNOUNCE),
            "CLUSTER": int(in_cluster),
            "STATE_KEYS": history.state_keys,
            "STATE_BYTES": int(history.state_size),
        }
        self._append = Script("append", settings, "log", "publish", "appended", "state")
        self._relay = Script("relay", settings, "log", "publish", "appended", "state")
        self._subscribe = Script("subscribe", settings, "log", "publish", "tally")
        self._count = Script("count", settings, "log", "publish", "tally")
        self._note_peer_count = Script("note_peer_count", settings, "log", "publish", "tally")
        self._add_audience = Script("add_audience", settings)
        self._merge = Script("merge", settings, "log", "state")
        self._head = Script("head", settings)
        self._active = Script("active", settings)
        self._missing = Script("commands", settings)
        self._active_since = Script("active_since", settings)
        self._incarnation = Script("incarnation", settings)
        self._prune = Script("prune", settings)
        self._report = Script("report", settings)
        self._join_group = Script("join_group", settings)
        self.hooks = HookScripts(settings)
        # The first is loaded first: if Redis has the others, it has this one, too.
        self.scripts = (
            self._incarnation, self._append, self._relay, self._subscribe, self._head, self._active,
            self._join_group, self._count, self._note_peer_count, self._prune, self._report,
            self._active_since, self._missing, self._merge, self._add_audience,
            *self.hooks.all,
        )  # fmt: skip

    def incarnation(self, shard: str, arguments: Iterable[str]) -> Command:
        return _call(self._incarnation, _server_keys(shard), *arguments)

    def members(self, shard: str) -> Command:
        return ("HKEYS", _server_keys(shard)[1])

    def prune(
        self, process: str, shard: str = "", *, leave: bool = False, gone: Iterable[str] = ()
    ) -> Command:
        """Return the removal of ended members: in a cluster `gone`, elsewhere the script finds them."""
        return _call(self._prune, _server_keys(shard), process, "leave" if leave else "", *gone)

    def missing(self) -> Command:
        """Return the command whose reply names the missing commands."""
        return _call(self._missing, ["ls:commands"], *USED)

    def report(self, video: str, opening: Opening) -> Command:
        return _call(self._report, keys(video, "log", "meta"), *opening)

    def append(self, request: AppendRequest, opening: Opening) -> Command:
        names = keys(
            request.video, "log", "meta", "nodes", "viewers", "state", f"ids:t:{request.token}", "held"
        )
        ids = [name or "" for name in request.ids] if any(request.ids) else []
        counts = len(request.lines), len(ids), int(request.is_keyed)
        return _call(self._append, names, request.video, *opening, *counts, *request.lines, *ids)

    def hold_back(self, video: str, seconds: float) -> Command:
        return ("SET", *keys(video, "held"), 1, "PX", ms(seconds))

    def active(self, videos: Iterable[str]) -> Command:
        return _call(self._active, ["ls:active"], *videos)

    def relayed(self, videos: Iterable[str]) -> Command:
        return _call(self._active, ["ls:relayed"], *videos)

    def watched(self, videos: Iterable[str], *, left: bool = False) -> Command:
        return _call(self._active, ["ls:left" if left else "ls:watched"], *videos)

    def watched_since(self, since: int, limit: int, *, left: bool = False) -> Command:
        return _call(self._active_since, ["ls:left" if left else "ls:watched"], since, limit)

    def relay(self, batch: ReplicationBatch, opening: Opening) -> Command:
        names = keys(batch.video, "log", "meta", "nodes", "viewers", "state")
        where = batch.origin, batch.epoch, batch.number, batch.offset
        return _call(
            self._relay,
            names,
            batch.video,
            *opening,
            *where,
            position_text(batch.instead),
            batch.after,
            *batch.lines,
        )

    def subscribe(self, node: str, video: str, viewers: int, lease: float, opening: Opening) -> Command:
        names = keys(video, "log", "meta", "nodes", "viewers", "tally", "state")
        return _call(self._subscribe, names, *opening, node, viewers, ms(lease), video)

    def merge(self, video: str, lines: Sequence[bytes]) -> Command:
        return _call(self._merge, keys(video, "state"), *lines)

    def state(self, video: str) -> Command:
        return ("HVALS", *keys(video, "state"))

    def hold(self, video: str, name: str, token: str, seconds: float) -> list[Command]:
        """Return the commands that take the hold, and read its holder and its remaining time."""
        (key,) = keys(video, f"hold:{name}")
        return [("SET", key, token, "NX", "PX", ms(seconds)), ("GET", key), ("PTTL", key)]

    def shorten(self, video: str, name: str, seconds: float) -> Command:
        return ("PEXPIRE", *keys(video, f"hold:{name}"), ms(seconds))

    def count(self, video: str) -> Command:
        return _call(self._count, keys(video, "nodes", "viewers", "tally"))

    def note_peer_count(self, count: ViewerCount, route: str) -> Command:
        names = keys(count.video, "nodes", "viewers", "tally")
        return _call(
            self._note_peer_count, names, count.video, count.origin, count.datacenter, ms(count.hold), route
        )

    def add_audience(self, report: AudienceReport, ttl: float) -> Iterator[Command]:
        names = keys(report.video, "unique", "peak")
        for start in range(0, max(1, len(report.users)), USERS):
            users = report.users[start : start + USERS]
            yield _call(self._add_audience, names, ms(ttl), report.peak, *users)

    def audience(self, video: str) -> list[Command]:
        unique, peak = keys(video, "unique", "peak")
        return [("PFCOUNT", unique), ("GET", peak)]

    def head(self, video: str, opening: Opening) -> Command:
        return _call(self._head, keys(video, "log", "meta"), *opening)

    def read(self, video: str, after: int, limit: int, opening: Opening) -> list[Command]:
        """Return three commands, whose replies are the arguments of `replies.log_slice`.

        The script creates the log if there is none; separate XRANGEs are cheaper for Redis than
        returning the entries from Lua.
        """
        first, last = after + 1, "+" if limit else after  # nothing, if the limit is 0
        ranges = [
            ("XRANGE", log, first, last, "COUNT", max(1, limit)) for log in keys(video, "log", "ephemeral")
        ]
        return [self.head(video, opening), *ranges]

    def active_since(self, since: int, limit: int, *, relayed: bool = False) -> Command:
        return _call(self._active_since, ["ls:relayed" if relayed else "ls:active"], since, limit)

    def join_group(self, group: str, node: str, lease: float) -> Command:
        return _call(self._join_group, [f"ls:dispatchers:{group}"], node, ms(lease))

    def group(self, group: str) -> Command:
        # Those whose lease is over are removed whenever a member renews its own.
        return ("ZRANGE", f"ls:dispatchers:{group}", 0, -1)

    def leave_group(self, group: str, node: str) -> Command:
        return ("ZREM", f"ls:dispatchers:{group}", node)


def _call(script: Script, names: list[str], *arguments: str | bytes | int) -> Command:
    return ("EVALSHA", script.sha, len(names), *names, *arguments)


def _server_keys(shard: str) -> list[str]:
    """Return the keys of incarnation.lua: run and members."""
    return [f"ls:{{{shard}}}:{name}" if shard else f"ls:{name}" for name in ("run", "members")]
