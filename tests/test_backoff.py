"""Waits between attempts grow, are bounded and random, and begin anew after a success."""

from __future__ import annotations

import trio
import trio.testing

from liveserver.backoff import Backoff


def test_the_bound_doubles_up_to_the_longest_and_resets() -> None:
    backoff = Backoff(0.1, 1.0)
    bounds = [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    several = []
    for _ in range(200):
        backoff.reset()
        several.append([backoff.next() for _ in bounds])
    for waits, bound in zip(zip(*several, strict=True), bounds, strict=True):
        assert 0 <= min(waits) < 0.2 * bound
        assert 0.8 * bound < max(waits) <= bound


async def test_sleeping_takes_at_most_the_bound(autojump_clock: trio.testing.MockClock) -> None:
    backoff = Backoff(0.1, 1.0)
    began = trio.current_time()
    for _ in range(10):
        await backoff.sleep()
    assert 0 < trio.current_time() - began <= 0.1 + 0.2 + 0.4 + 0.8 + 6 * 1.0
