"""Node tokens are accepted until they expire."""

from __future__ import annotations

import pytest
from trio.testing import MockClock

from liveserver.auth.authorizer import Authorizer
from liveserver.auth.nodes import NodeTokens
from liveserver.errors import ConfigError, Unauthorized
from tests.auth.harness import NODES, NOW, OTHER, SECRET, Clock, auth, settings, token


def shown(nodes: NodeTokens) -> dict[bytes, bytes]:
    return {name.encode(): value.encode() for name, value in nodes.signature.headers().items()}


async def test_a_signature_is_good_at_every_node_with_the_secret() -> None:
    one, two = (NodeTokens(auth(nodes_secret=NODES), name, Clock()) for name in ("n1", "n2"))
    two.check(shown(one))
    assert one.is_node(shown(two))
    other = NodeTokens(auth(nodes_secret=OTHER), "n3", Clock())
    with pytest.raises(Unauthorized, match="not signed with a key"):
        other.check(shown(one))
    with pytest.raises(Unauthorized, match=r"set auth\.nodes_secret"):
        one.check({})


async def test_a_node_token_is_renewed_at_half_its_lifetime_and_valid_to_its_end(
    autojump_clock: MockClock,
) -> None:
    nodes = NodeTokens(auth(nodes_secret=NODES, node_token_ttl="60s"), "n1", Clock())
    first = shown(nodes)
    autojump_clock.jump(29)
    assert shown(nodes) == first
    autojump_clock.jump(2)
    assert shown(nodes) != first
    nodes.check(first)
    autojump_clock.jump(40)
    with pytest.raises(Unauthorized, match="has expired"):
        nodes.check(first)


async def test_after_the_clock_was_set_back_it_is_made_anew() -> None:
    clock = Clock()
    nodes = NodeTokens(auth(nodes_secret=NODES), "n1", clock)
    first = shown(nodes)
    clock.ahead = -3600
    assert shown(nodes) != first
    nodes.check(shown(nodes))


async def test_no_viewers_token_is_a_nodes_and_the_other_way_round() -> None:
    nodes = NodeTokens(auth(nodes_secret=NODES), "n1", Clock())
    for claims in ({}, {"aud": "live"}):
        viewers = {b"authorization": b"Bearer " + token(NODES, **claims).encode()}
        with pytest.raises(Unauthorized, match="audience"):
            nodes.check(viewers)
    authorizer = Authorizer(settings(auth={"viewers": "token", "secret": SECRET}), clock=Clock())
    forged = token(SECRET, aud="liveserver-nodes", exp=NOW + 60)
    with pytest.raises(Unauthorized, match="audience"):
        await authorizer.viewer({b"authorization": b"Bearer " + forged.encode()})


def test_the_viewers_secret_is_not_the_nodes() -> None:
    with pytest.raises(ConfigError, match=r"auth\.nodes_secret: is the viewers' secret too"):
        Authorizer(settings(auth={"secret": SECRET, "nodes_secret": SECRET}))


def test_without_a_secret_nothing_is_shown() -> None:
    assert NodeTokens(auth(), "n1").signature.headers() == {}
