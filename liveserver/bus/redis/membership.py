"""This process as a member: one of the processes that may know heads of logs.

Rules (scripts/incarnation.lua implements the other half; proof/numbering.pml checks both):

1. Each pipeline that opens logs carries the calling process; Redis replies with its incarnation and with
   whether all members have reported to it.
2. All known heads are reported to a new incarnation, whether a call or the periodic beat of a listening
   process notices it first. The report is repeated until it succeeds; nothing is appended before.
3. The wait for the other members is measured here, by a monotonic clock, from the incarnation's first reply.
4. In a cluster each server has its own list of members, named by a *shard*; whether its logs go on after it
   has restarted, or its replica was promoted, is decided there. A process is a member of all of them, since
   it hears of all videos on whichever server it listens. Without a cluster there is one shard, named "".
"""

from __future__ import annotations

import secrets
import threading
import time
from typing import Any, NamedTuple

from liveserver.lru import LRU

REMEMBERED = 16  # incarnations of a shard
SHARDS = 1_000


class Incarnation(NamedTuple):
    """The reply of incarnation.lua. `now` is Redis' clock in ms, without its steps."""

    id: str
    verdict: str
    view: str
    now: int

    @property
    def generation(self) -> int:
        """The view's generation: how often the members have changed."""
        return int(self.view.partition(" ")[0])

    @classmethod
    def parse(cls, reply: bytes) -> Incarnation:
        """Parse the script's reply. Raises `ValueError`."""
        name, verdict, generation, made_in, now = reply.decode().split(" ")
        return cls(name, "" if verdict == "-" else verdict, f"{generation} {made_in}", int(now))


class _Shard:
    """The state of one shard."""

    def __init__(self) -> None:
        self.first_seen = LRU[str, float](REMEMBERED)  # incarnation → when, by a monotonic clock
        self.reported = LRU[str, bool](REMEMBERED)
        self.view = self.view_of = ""
        self.generation = 0
        self.incarnation: Incarnation | None = None  # the latest reply


class Membership:
    """This process' membership. Thread-safe. `settling` is how long to wait for other members, in seconds."""

    def __init__(self, settling: float) -> None:
        self.process = secrets.token_hex(6)
        self.settling = settling
        self._lock = threading.Lock()
        self._shards = LRU[str, _Shard](SHARDS)  # their names change when slots move
        self.is_enrolled = False

    def arguments(self, *, knows_heads: bool, shard: str = "") -> tuple[str, str, str, str]:
        """Return the arguments of incarnation.lua."""
        now = time.monotonic()
        with self._lock:
            state = self._shard(shard)
            waited = [name for name, first in state.first_seen.items() if now - first >= self.settling]
            reported = " ".join(state.reported) if knows_heads else "new"
            return self.process, reported, state.view, " ".join(waited)

    def observe(self, reply: Any, shard: str = "") -> Incarnation | None:
        """Record and return a reply of incarnation.lua; None if it is malformed."""
        if not isinstance(reply, bytes):
            return None
        incarnation = Incarnation.parse(reply)
        with self._lock:
            state = self._shard(shard)
            self.is_enrolled = True
            state.incarnation = incarnation
            if incarnation.id not in state.first_seen:
                state.first_seen.put(incarnation.id, time.monotonic())
            is_later = incarnation.generation > state.generation  # replies may overtake each other
            if is_later or incarnation.id != state.view_of:
                state.view, state.view_of = incarnation.view, incarnation.id
                state.generation = incarnation.generation
        return incarnation

    def latest(self, shard: str) -> Incarnation | None:
        """Return this shard's latest reply; None if there was none."""
        with self._lock:
            return self._shard(shard).incarnation

    def has_reported(self, incarnation: str, shard: str = "") -> bool:
        with self._lock:
            return incarnation in self._shard(shard).reported

    def set_reported(self, incarnation: str, shard: str = "") -> None:
        """Record that all known heads have been reported to this incarnation."""
        with self._lock:
            self._shard(shard).reported.put(incarnation, True)

    def _shard(self, name: str) -> _Shard:
        state = self._shards.get(name)
        if state is None:
            state = _Shard()
            self._shards.put(name, state)
        return state
