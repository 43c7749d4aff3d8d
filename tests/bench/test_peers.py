"""The peers of the comparison, and the load for each."""

from __future__ import annotations

import json
from operator import attrgetter

import pytest
import typer

from bench.peers.__main__ import chosen
from bench.peers.kinds import PEERS, Peer


def test_all_peers_are_measured_unless_some_are_named() -> None:
    assert chosen("") == list(PEERS)
    assert {peer.name for peer in chosen("nchan, node")} == {"nginx + nchan", "Node"}


def test_a_name_that_nobody_has_is_refused() -> None:
    with pytest.raises(typer.BadParameter, match="'apache' is in none of: liveserver,"):
        chosen("apache")


@pytest.mark.parametrize("peer", PEERS, ids=attrgetter("name"))
def test_each_gets_the_same_like(peer: Peer) -> None:
    like = json.loads(next(peer.stream.template.requests()).partition(b"\r\n\r\n")[2])
    assert (like["type"], like["data"]) == ("like", {"reaction": "heart"})
    assert like["user"].startswith("t")
    assert int(like["user"][1:]) > 10**15  # microseconds


def test_more_is_asked_than_can_be_given_but_not_more_than_is_kept() -> None:
    own = chosen("liveserver")[0]
    assert own.rate(own.demand, 10_000) == 600
    assert own.rate(own.demand, 100) == 600
    assert chosen("nchan")[0].rate(350_000, 10_000) == 35
