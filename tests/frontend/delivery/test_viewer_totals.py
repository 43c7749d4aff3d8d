"""Viewers and waiting polls, counted; a poll's client is a viewer between two polls."""

from __future__ import annotations

import pytest
from trio.testing import MockClock

from liveserver.frontend.delivery.viewer_totals import SAMPLES, ViewerTotals
from liveserver.transport.filter import Filter


async def test_a_client_between_two_polls_is_watching() -> None:
    totals = ViewerTotals()
    totals.add()
    totals.add_poll()
    totals.remove_poll()
    assert (totals.count, totals.waiting, totals.watching) == (1, 0, 2)
    assert [totals.sample() for _ in range(SAMPLES)] == [2] * (SAMPLES - 1) + [1]


async def test_the_time_without_viewers_begins_when_the_last_one_leaves(mock_clock: MockClock) -> None:
    totals = ViewerTotals()
    totals.add()
    totals.add()
    mock_clock.jump(1)
    totals.remove()
    assert totals.empty_since == pytest.approx(0, abs=0.5)
    mock_clock.jump(1)
    totals.remove()
    assert totals.empty_since == pytest.approx(2, abs=0.5)


async def test_a_filter_is_in_use_while_a_viewer_has_it() -> None:
    totals, likes = ViewerTotals(), Filter(frozenset({b"like"}))
    totals.add_filter(likes)
    totals.add_filter(Filter(frozenset({b"like"})))
    totals.remove_filter(likes)
    assert totals.filters == {likes}
    totals.remove_filter(likes)
    assert not totals.filters
