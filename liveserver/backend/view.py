"""A followed video in a backend's memory: totals by store, rules, and its rendered summary."""

from __future__ import annotations

from typing import Any

import msgspec
import trio

from liveserver.moderation.rules import Rules
from liveserver.state import Keyed

Reactions = dict[str, int]


class Known(msgspec.Struct):
    """A video's record in the database: totals by store, and how far its log has been read."""

    totals: dict[str, Reactions]
    epoch: str
    offset: int
    is_complete: bool
    rules: list[Keyed] = []


class View:
    """A followed video, in memory. `shown` is its rendered summary, or None if that is out of date.

    `is_level`: its log has been read up to its head.
    """

    __slots__ = (
        "asked_at",
        "caught_up",
        "comments",
        "epoch",
        "is_complete",
        "is_level",
        "is_state_read",
        "loading",
        "offset",
        "rules",
        "shown",
        "totals",
    )

    def __init__(self, known: Known, now: float) -> None:
        self.totals = known.totals
        self.epoch = known.epoch
        self.offset = known.offset
        self.is_complete = known.is_complete
        self.is_level = False
        self.asked_at = now
        self.is_state_read = False
        self.rules = Rules(known.rules)
        self.caught_up = trio.Event()
        self.comments: list[dict[str, Any]] | None = None  # the newest; None: to be read
        self.loading = trio.Lock()
        self.shown: bytes | None = None

    def merge(self, store: str, totals: Reactions) -> bool:
        """Merge a store's totals, by maximum; return whether any has changed."""
        known = self.totals.setdefault(store, {})
        changed = False
        for reaction, number in totals.items():
            if number > known.get(reaction, 0):
                known[reaction] = number
                changed = True
        if changed:
            self.shown = None
        return changed

    def reactions(self) -> Reactions:
        """Return the video's totals: the sum over its stores, most frequent first."""
        sums: Reactions = {}
        for totals in self.totals.values():
            for reaction, number in totals.items():
                sums[reaction] = sums.get(reaction, 0) + number
        return dict(sorted(sums.items(), key=lambda item: (-item[1], item[0])))

    def elsewhere(self, store: str) -> int:
        """Return the number of likes in all other stores."""
        return sum(sum(totals.values()) for name, totals in self.totals.items() if name != store)
