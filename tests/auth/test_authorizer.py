"""Authorization, for every configuration of a node and every way to send credentials."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from liveserver.auth.authorizer import RATE_LIMITS, VIEWER_LIMITS, Authorizer
from liveserver.auth.grant import COMMENT, HOST, LIKE, MODERATE, OPEN, PUBLISH, WATCH, Grant
from liveserver.auth.nodes import NodeTokens
from liveserver.errors import Forbidden, TooMany, Unauthorized, Unavailable
from tests.auth.harness import NOW, SECRET, settings, token

NODES = "another-secret-for-the-nodes-of-a-cluster"
KEY = "a-key-of-a-publisher"
TOKENS = {"viewers": "token", "secret": SECRET}
LOCKED = {"nodes_secret": NODES}
SITE = {"publishers": {"site": {"key": KEY, "videos": ["concert-*"], "scopes": ["publish", "like"]}}}
VIEWING = {WATCH, LIKE, COMMENT}
ALL = VIEWING | {MODERATE, HOST, PUBLISH}

# (settings, what is shown, what may be done with concert-1; None: refused)
TABLE = [
    ({}, None, ALL),
    (LOCKED, None, VIEWING),
    (SITE, None, VIEWING),
    (SITE | LOCKED, None, VIEWING),
    (SITE, KEY, {PUBLISH, LIKE}),
    (TOKENS, None, None),
    (TOKENS | LOCKED, None, None),
    (TOKENS, "token", VIEWING),
    (TOKENS, "moderator", {MODERATE}),
    (TOKENS, "host", {HOST}),
    (TOKENS | SITE, KEY, {PUBLISH, LIKE}),
    (TOKENS | SITE, "token", VIEWING),
    (TOKENS | SITE, "a-key-of-nobody-at-all", None),
]


@pytest.mark.parametrize(("auth", "shows", "scopes"), TABLE)
async def test_scopes_decide_which_backend_routes_are_allowed(
    auth: dict[str, object], shows: str | None, scopes: set[str] | None
) -> None:
    authorizer = Authorizer(settings(auth=auth), "n", lambda: NOW)
    text = {"token": token(), "moderator": token(scope="moderate"), "host": token(scope="host")}.get(
        shows or "", shows
    )
    headers = {} if text is None else {b"authorization": f"Bearer {text}".encode()}
    if scopes is None:
        with pytest.raises(Unauthorized):
            await authorizer.liker(headers)
        return
    grant = await authorizer.liker(headers)
    assert {scope for scope in ALL if grant.may(scope, "concert-1")} == scopes
    for scope in ALL - scopes:
        with pytest.raises(Forbidden):
            grant.require(scope, "concert-1")
    if shows == KEY:  # of some videos only, whatever is done
        assert not any(grant.may(scope, "private") for scope in ALL)


def test_only_a_viewers_own_token_exempts_and_gives_a_role() -> None:
    scopes = frozenset({COMMENT, MODERATE})
    moderator = Grant(("v*",), scopes, "mo", is_viewer=True)
    assert moderator.is_exempt("v1")
    assert moderator.role("v1") == "moderator"
    assert not moderator.is_exempt("w1")
    assert moderator.role("w1") is None
    assert Grant(scopes=scopes | {HOST}, is_viewer=True).role("v1") == "host"
    host = Grant(scopes=frozenset({COMMENT, HOST}), is_viewer=True)
    assert host.role("v1") == "host"
    assert not host.is_exempt("v1")
    for other in (OPEN, Grant(scopes=scopes, name="site")):
        assert not other.is_exempt("v1")
        assert other.role("v1") is None


async def test_an_address_may_open_new_videos_so_often_and_no_more(autojump_clock: MockClock) -> None:
    limits = {"new_videos_per_address": 1, "burst": "3s", "videos_per_node": 10}
    authorizer = Authorizer(settings(limits=limits), "n", lambda: NOW)
    for present in range(3):
        authorizer.check_new_video("192.0.2.1", present)
    with pytest.raises(TooMany, match="new videos from this address"):
        authorizer.check_new_video("192.0.2.1", 3)
    authorizer.check_new_video("192.0.2.2", 3)
    await trio.sleep(1)
    authorizer.check_new_video("192.0.2.1", 4)
    with pytest.raises(Unavailable, match=r"limits\.videos_per_node"):
        authorizer.check_new_video("192.0.2.3", 10)
    assert authorizer.statistics().limited["new_videos"] == 2


async def test_a_reload_changes_every_limit(autojump_clock: MockClock) -> None:
    """Each setting of limits.* that a table names, and the number of videos, is the new one afterwards."""
    names = [name for limiters in RATE_LIMITS.values() for _, name in limiters]
    authorizer = Authorizer(settings(), "n", lambda: NOW)
    limits = dict.fromkeys(names, 1) | {name: 1 for _, name in VIEWER_LIMITS}
    authorizer.reload(settings(limits=limits | {"burst": "1s", "videos_per_node": 1}))
    for name, limiters in RATE_LIMITS.items():
        rates = getattr(authorizer, name)
        for index in range(len(limiters)):
            names_of = [f"x{index}" if each == index else None for each in range(len(limiters))]
            rates.acquire(*names_of)
            with pytest.raises(TooMany):
                rates.acquire(*names_of)
    for index in range(len(VIEWER_LIMITS)):
        names_of = ["x" if each == index else None for each in range(len(VIEWER_LIMITS))]
        authorizer.viewers.acquire(*names_of)
        with pytest.raises(TooMany):
            authorizer.viewers.acquire(*names_of)
    with pytest.raises(Unavailable):
        authorizer.check_new_video("192.0.2.9", 1)
    assert all(authorizer.statistics().limited.values())


async def test_after_a_reload_this_node_signs_with_the_new_secret() -> None:
    """The signature object signs with it at once, and other nodes with the new secret accept it."""
    authorizer = Authorizer(settings(auth=LOCKED), "n", lambda: NOW)
    signature = authorizer.signature
    before = signature.headers()["authorization"]
    new = settings(auth={"nodes_secret": "the-next-secret-of-the-nodes-of-a-cluster"})
    authorizer.reload(new)
    after = {b"authorization": signature.headers()["authorization"].encode()}
    assert after[b"authorization"].decode() != before
    NodeTokens(new.auth, "other", lambda: NOW).check(after)
    with pytest.raises(Unauthorized):
        NodeTokens(settings(auth=LOCKED).auth, "other", lambda: NOW).check(after)
