"""What the bus' operations take and return: the numbers that follow from others."""

from __future__ import annotations

from liveserver.bus.interface import AppendRequest, AppendResult, Head, ReplicationBatch, Slice
from liveserver.cursor import Cursor


def test_events_neither_known_nor_older_than_the_state_are_accepted() -> None:
    request = AppendRequest("v", "t", [b"like {}"] * 5, [None] * 5)
    result = AppendResult("aaa", 1, 1, frozenset({0, 1}), Cursor(), frozenset({4}))
    assert result.accepted(request) == 2
    assert AppendResult("aaa", 1, 1, frozenset(), Cursor(), is_full=True).accepted(request) == 0


def test_reading_continues_at_the_head_unless_less_was_looked_at() -> None:
    head = Head("aaa", 9, Cursor())
    assert Slice(head, 1, []).end == 9
    assert Slice(head, 1, [], upto=4).end == 4


def test_a_replicated_batch_follows_what_is_before_it_or_before_ephemeral_events() -> None:
    batch = ReplicationBatch("v", "dc2", "bbb", 5, 7, [b"like {}"] * 3)
    assert (batch.after, batch.last) == (4, 7)
    sparse = ReplicationBatch("v", "dc2", "bbb", 5, 7, [], since=2)
    assert (sparse.after, sparse.last) == (2, 4)
