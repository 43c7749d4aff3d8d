"""What the fan-out counts: disconnected viewers by reason, each frontend for itself."""

from __future__ import annotations

import pytest

from liveserver.frontend.delivery.statistics import FanOutStatistics
from liveserver.transport.form import Reason


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_is_counted_by_its_word(reason: Reason) -> None:
    counts = FanOutStatistics()
    counts.count_bye(reason)
    counts.count_bye(reason)
    assert {word: count for word, count in counts.byes.items() if count} == {reason.word: 2}
    assert set(counts.byes) == {each.word for each in Reason}, "also those that did not happen: a metric each"


def test_counts_of_one_frontend_are_not_anothers() -> None:
    one, other = FanOutStatistics(), FanOutStatistics()
    one.count_bye(Reason.SLOW)
    assert not any(other.byes.values())


def test_a_distribution_that_nothing_was_counted_in_is_empty() -> None:
    counts = FanOutStatistics()
    for found in (counts.delay, counts.publish_to_write):
        assert (sum(found.counts), found.sum) == (0, 0.0)
        assert len(found.counts) == len(found.bounds) + 1
