"""Settings of authentication that contradict each other, or open a node to the public by accident."""

from __future__ import annotations

import re

import pytest

from liveserver.config import load
from liveserver.config.auth_checks import has_nodes_secret
from liveserver.errors import ConfigError
from tests.auth.harness import KEY, NODES, SECRET

OUTSIDE = "listen.public=0.0.0.0:80"
BUS = "bus.kind=redis"
DISPATCHER, FRONTEND, BACKEND = (f'node.roles=["{role}"]' for role in ("dispatcher", "frontend", "backend"))
THERE = 'frontend.dispatchers=["http://127.0.0.1:1"]'
THERE_TOO = 'backend.dispatchers=["http://127.0.0.1:1"]'
TOKENS = ("auth.viewers=token", f"auth.secret={SECRET}")
NODES_SECRET = f"auth.nodes_secret={NODES}"
SITE = f"auth.publishers.site.key={KEY}"


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        ([OUTSIDE], "listen.public: 0.0.0.0:80 is reachable from outside, and publishing"),
        ([OUTSIDE, SITE], "listen.public: 0.0.0.0:80 is reachable from outside, and likes"),
        ([OUTSIDE, BUS, DISPATCHER], "set auth.publishers"),
        ([OUTSIDE, BACKEND, THERE_TOO], 'set auth.viewers = "token"'),
        (["listen.ops=0.0.0.0:90"], "listen.ops: 0.0.0.0:90 is reachable from outside, and the ops pages"),
        ([BUS, DISPATCHER, SITE], "auth.nodes_secret_file: is needed where auth.publishers are"),
        (["auth.viewers=token"], "auth.viewers: tokens need a key"),
        (["auth.viewers=some"], "auth.viewers: 'some' is not one of"),
        (["auth.secret=x", "auth.secret_file=y"], "auth.secret: is set as well as auth.secret_file"),
        (["auth.jwks=http://site.example/keys"], "auth.jwks: is a file, or a URL that begins with https://"),
        (["auth.cookie=a b"], "auth.cookie: 'a b' is not a cookie's name"),
        (["auth.audience=liveserver-nodes"], "auth.audience: liveserver-nodes is reserved"),
        (['auth.publishers.site.videos=["a"]'], "auth.publishers.site: needs a key_file, or a key"),
        (
            [SITE, 'auth.publishers.site.videos=["a*b"]'],
            "auth.publishers.site.videos[0]: 'a*b' is not a video",
        ),
        (
            [SITE, 'auth.publishers.site.scopes=["all"]'],
            "auth.publishers.site.scopes[0]: 'all' is not one of",
        ),
        (["auth.publishers.key=x"], "write it as section.name=value, auth.publishers.site.key_file"),
        (["edge.allow_credentials=true"], "edge.allow_credentials: needs edge.allow_origins by name"),
        (
            ['edge.allow_origins=["https://a.example/"]'],
            "edge.allow_origins: 'https://a.example/' is not an origin",
        ),
        (['edge.trusted_proxies=["all"]'], "edge.trusted_proxies: 'all' is not an address or network"),
        (["limits.likes_per_user=-1"], "limits.likes_per_user: -1 is not a number, at least 0"),
    ],
)
def test_conflicting_settings_are_refused_with_the_reason(overrides: list[str], complaint: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(complaint)):
        load(None, overrides, {})


@pytest.mark.parametrize(
    "overrides",
    [
        [OUTSIDE, BUS, FRONTEND, THERE],
        [OUTSIDE, BUS, DISPATCHER, SITE, NODES_SECRET],
        [OUTSIDE, BUS, DISPATCHER, NODES_SECRET],
        [OUTSIDE, BACKEND, THERE_TOO, *TOKENS],
        [OUTSIDE, SITE, *TOKENS, "listen.ops=0.0.0.0:90", f"auth.ops_key={KEY}"],
        [OUTSIDE, "listen.ops=0.0.0.0:90", "node.allow_unauthenticated=true"],
        ["auth.jwks=http://127.0.0.1:1/keys", "auth.viewers=token"],
    ],
)
def test_authentication_or_explicit_openness_allows_any_address(overrides: list[str]) -> None:
    load(None, overrides, {})


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (["auth.jwks=https://"], "auth.jwks: 'https://' is not a URL like"),
        (["auth.jwks=http://10.0.0.1/keys"], "auth.jwks: is a file, or a URL that begins with https://"),
        (["auth.nodes_secret=x", "auth.nodes_secret_file=y"], "auth.nodes_secret: is set as well as"),
        (["auth.ops_key=x", "auth.ops_key_file=y"], "auth.ops_key: is set as well as"),
        ([SITE, "auth.publishers.site.key_file=x"], "auth.publishers.site: needs a key_file, or a key"),
        (
            ["edge.allow_credentials=true", 'edge.allow_origins=["*"]'],
            "edge.allow_credentials: needs edge.allow_origins by name, without a *",
        ),
    ],
)
def test_settings_given_twice_or_half_are_refused(overrides: list[str], complaint: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(complaint)):
        load(None, overrides, {})


def test_requests_between_nodes_are_signed_with_a_secret_or_its_file() -> None:
    assert not has_nodes_secret(load(None, (), {}).auth)
    assert has_nodes_secret(load(None, [NODES_SECRET], {}).auth)
    assert has_nodes_secret(load(None, ["auth.nodes_secret_file=nodes"], {}).auth)
