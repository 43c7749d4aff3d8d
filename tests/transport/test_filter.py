"""What a filter includes, and what it counts as left out."""

from __future__ import annotations

from liveserver.transport.filter import Filter, filter_of


def test_types_and_rate() -> None:
    both = Filter(frozenset({b"comment", b"like"}), 2)
    asked = [(b"comment", 1), (b"comment", 2), (b"like", 2), (b"poll", 0)]
    assert [both.includes(event, rank) for event, rank in asked] == [True, False, True, False]
    assert [both.omits(event, rank) for event, rank in asked] == [False, True, False, False]
    assert Filter(frozenset({b"like"}), 1).omits(b"comment", 1) is False  # not wanted at all
    assert Filter(frozenset({b"comment"})).includes(b"comment", 99)


def test_without_either_there_is_no_filter() -> None:
    assert filter_of(None, None) is None
    assert filter_of(None, 5) == Filter(rate=5)
