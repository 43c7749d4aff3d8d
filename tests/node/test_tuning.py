"""The collector: what lies in cycles is freed soon, and all that lives is seldom looked at."""

from __future__ import annotations

import gc
from math import prod

from liveserver.node.tuning import GC_THRESHOLDS

CYCLES = 100_000


class Cycle:
    """An object that only the collector frees."""

    alive = 0

    def __init__(self) -> None:
        self.itself = self
        Cycle.alive += 1

    def __del__(self) -> None:
        Cycle.alive -= 1


def test_cycles_do_not_pile_up() -> None:
    before = gc.get_threshold()
    gc.collect()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        most = 0
        for _ in range(CYCLES):
            Cycle()
            most = max(most, Cycle.alive)
    finally:
        gc.set_threshold(*before)
        gc.collect()
    assert most <= 12_000
    assert Cycle.alive == 0


def test_full_collections_are_rare() -> None:
    """They take 40 ms with 10,000 viewers."""
    assert prod(GC_THRESHOLDS) >= 50_000_000
