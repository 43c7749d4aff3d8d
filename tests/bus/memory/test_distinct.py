"""Different names are counted exactly while they fit, and estimated from then on."""

from __future__ import annotations

import pytest

from liveserver.bus.memory.distinct import KEPT, DistinctCounter


def names(count: int, start: int = 0) -> list[str]:
    return [f"user-{number}" for number in range(start, start + count)]


def test_names_count_once_however_often_they_come() -> None:
    counter = DistinctCounter()
    assert counter.count() == 0
    counter.add(["ada", "bob", "ada", ""])
    counter.add(["bob", "Ada", "ü"])
    assert counter.count() == 5
    counter.add(names(KEPT - 6))
    assert counter.count() == KEPT - 1, "exact as long as they fit"


@pytest.mark.parametrize("count", [KEPT, 2 * KEPT, 10 * KEPT])
def test_beyond_that_the_estimate_is_close_and_no_larger_in_memory(count: int) -> None:
    counter = DistinctCounter()
    counter.add(names(count))
    assert counter.count() == pytest.approx(count, rel=0.06)  # four standard errors
    before = counter.count()
    counter.add(names(count))
    assert counter.count() == before, "known names change nothing"
    assert len(counter._hashes) == len(counter._largest) == KEPT
    assert set(counter._hashes) == {-value for value in counter._largest}


def test_the_order_of_arrival_does_not_matter() -> None:
    one, other = DistinctCounter(), DistinctCounter()
    every = names(3 * KEPT)
    one.add(every)
    for start in range(0, len(every), 1_000):
        other.add(reversed(every[start : start + 1_000]))
    assert one.count() == other.count()
