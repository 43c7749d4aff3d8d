"""This process as a member: one of the processes that may know heads of logs.

Rules (scripts/incarnation.lua implements the other half; proof/numbering.pml checks both):

1. Each pipeline that opens logs carries the calling process; Redis replies with its incarnation and with
   whether all members have reported to it.
2. All known heads are reported to a new incarnation, whether a call or the periodic beat of a listening
   process notices it first. The report is repeated until it succeeds; nothing is appended before.
3. The wait for the other members is measured here, by a monotonic clock, from the incarnation's first reply.
"""

from __future__ import annotations

import secrets
import threading
import time
from typing import Any, NamedTuple

from liveserver.lru import LRU

REMEMBERED = 16  # incarnations; in a cluster each server has one


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


class Membership:
    """This process' membership. Thread-safe. `settling` is how long to wait for other members, in seconds."""

    def __init__(self, settling: float) -> None:
        self.process = secrets.token_hex(6)
        self.settling = settling
        self._lock = threading.Lock()
        self._first_seen = LRU[str, float](REMEMBERED)  # incarnation → when, by a monotonic clock
        self._reported = LRU[str, bool](REMEMBERED)
        self._view = self._view_of = ""
        self._generation = 0
        self.is_enrolled = False

    def arguments(self, *, knows_something: bool) -> tuple[str, str, str, str]:
        """Return the arguments of incarnation.lua."""
        now = time.monotonic()
        with self._lock:
            waited = [name for name, first in self._first_seen.items() if now - first >= self.settling]
            reported = " ".join(self._reported) if knows_something else "new"
            return self.process, reported, self._view, " ".join(waited)

    def observe(self, reply: Any) -> Incarnation | None:
        """Record and return a reply of incarnation.lua; None if it is malformed."""
        if not isinstance(reply, bytes):
            return None
        incarnation = Incarnation.parse(reply)
        with self._lock:
            self.is_enrolled = True
            if incarnation.id not in self._first_seen:
                self._first_seen.put(incarnation.id, time.monotonic())
            is_later = incarnation.generation > self._generation  # replies may overtake each other
            if is_later or incarnation.id != self._view_of:
                self._view, self._view_of = incarnation.view, incarnation.id
                self._generation = incarnation.generation
        return incarnation

    def has_reported(self, incarnation: str) -> bool:
        return incarnation in self._reported

    def reported(self, incarnation: str) -> None:
        """Record that all known heads have been reported to this incarnation."""
        with self._lock:
            self._reported.put(incarnation, True)
