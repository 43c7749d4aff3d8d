"""This process as a member: one of those that may have learned numbers of a log.

Rules (scripts/incarnation.lua has the other half, proof/numbering.pml checks both):

1. With each pipeline that opens logs, Redis learns which process calls, and answers which incarnation it
   is and whether all members have reported to it.
2. To an incarnation that is new here everything that is known is reported, whoever notices it first: a call,
   or the beat of a process that listens. It is repeated until it succeeds; nothing is appended before.
3. Waiting for the other members is measured here, by a monotonic clock, from the incarnation's first answer.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from typing import Any, NamedTuple

REMEMBERED = 16  # incarnations; in a cluster each server has its own


class Incarnation(NamedTuple):
    """What incarnation.lua returns. `now` is Redis' clock in ms, without its steps."""

    id: str
    verdict: str
    view: str
    now: int

    @property
    def generation(self) -> int:
        """Of the view: how often the members have changed."""
        return int(self.view.partition(" ")[0])

    @classmethod
    def parse(cls, reply: bytes) -> Incarnation:
        """Raises `ValueError`."""
        name, verdict, generation, made_in, now = reply.decode().split(" ")
        return cls(name, "" if verdict == "-" else verdict, f"{generation} {made_in}", int(now))


class Membership:
    """Used by several threads. `settling` is how long the other members are waited for, in seconds."""

    def __init__(self, settling: float) -> None:
        self.process = secrets.token_hex(6)
        self.settling = settling
        self._lock = threading.Lock()
        self._first_seen: OrderedDict[str, float] = OrderedDict()
        self._reported: OrderedDict[str, None] = OrderedDict()
        self._view = self._view_of = ""
        self._generation = 0
        self.is_enrolled = False

    def arguments(self, *, knows_something: bool) -> tuple[str, str, str, str]:
        """Return what incarnation.lua is called with."""
        now = time.monotonic()
        with self._lock:
            waited = [name for name, first in self._first_seen.items() if now - first >= self.settling]
            reported = " ".join(self._reported) if knows_something else "new"
            return self.process, reported, self._view, " ".join(waited)

    def observe(self, reply: Any) -> Incarnation | None:
        """Take in the reply of incarnation.lua; None if it is none."""
        if not isinstance(reply, bytes):
            return None
        incarnation = Incarnation.parse(reply)
        with self._lock:
            self.is_enrolled = True
            self._first_seen.setdefault(incarnation.id, time.monotonic())
            while len(self._first_seen) > REMEMBERED:
                self._first_seen.popitem(last=False)
            is_later = incarnation.generation > self._generation  # replies may overtake each other
            if is_later or incarnation.id != self._view_of:
                self._view, self._view_of = incarnation.view, incarnation.id
                self._generation = incarnation.generation
        return incarnation

    def has_reported(self, incarnation: str) -> bool:
        return incarnation in self._reported

    def reported(self, incarnation: str) -> None:
        """All that is known has been reported to this incarnation."""
        with self._lock:
            self._reported[incarnation] = None
            while len(self._reported) > REMEMBERED:
                self._reported.popitem(last=False)
