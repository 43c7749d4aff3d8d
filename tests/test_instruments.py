"""Histograms: where a value is counted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from liveserver.instruments import Histogram


@given(st.lists(st.floats(0, 100)))
def test_each_value_is_in_the_first_bucket_that_holds_it(values: list[float]) -> None:
    bounds = (0.5, 1, 20)
    histogram = Histogram(bounds)
    for value in values:
        histogram.observe(value)
    read = histogram.read()
    for index, bound in enumerate(bounds):
        assert sum(read.counts[: index + 1]) == sum(value <= bound for value in values)
    assert sum(read.counts) == len(values)
    assert read.sum == sum(values)


def test_statistics_are_snapshots() -> None:
    histogram = Histogram((1,))
    before = histogram.read()
    histogram.observe(1)
    assert (before.counts, histogram.read().counts) == ([0, 0], [1, 0])
