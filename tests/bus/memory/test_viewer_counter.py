"""A video's viewers in the memory bus: here and elsewhere, while they are known."""

from __future__ import annotations

from liveserver.bus.interface import ANNOUNCE
from liveserver.bus.memory.viewer_counter import ViewerCounter
from liveserver.viewer_count import ViewerCount


def test_leases_and_other_datacenters_count_while_they_hold() -> None:
    counter = ViewerCounter("v", "dc1")
    counter.note_peer_count(ViewerCount("v", "dc2", 5, 5, 10.0), now=0.0)
    nodes = {"fe1": (8.0, 2), "fe2": (20.0, 4)}
    totals = {now: counter.count(nodes, now) for now in (0.0, 8.0, 10.0, 20.0)}
    assert {now: (count.datacenter, count.total) for now, count in totals.items()} == {
        0.0: (6, 11), 8.0: (4, 9), 10.0: (4, 4), 20.0: (0, 0),
    }  # fmt: skip


def test_unchanged_counts_are_announced_again_to_the_feed_only() -> None:
    counter = ViewerCounter("v", "dc1")
    nodes = {"fe1": (100.0, 2)}
    assert counter.announce(nodes, 0.0, 8.0)[1:] == (True, True)
    assert counter.is_early(ANNOUNCE / 2)
    assert not counter.is_early(ANNOUNCE)
    assert counter.announce(nodes, 1.0, 8.0)[1:] == (False, False)
    assert counter.announce(nodes, 2.0, 8.0)[1:] == (False, True)  # a quarter of the time that it holds


def test_a_change_elsewhere_is_announced_to_the_nodes_only() -> None:
    counter = ViewerCounter("v", "dc1")
    nodes = {"fe1": (100.0, 2)}
    counter.announce(nodes, 0.0, 8.0)
    counter.note_peer_count(ViewerCount("v", "dc2", 5, 5, 10.0), now=0.5)
    count, is_new, for_feed = counter.announce(nodes, 1.0, 8.0)
    assert (count.total, is_new, for_feed) == (7, True, False)
