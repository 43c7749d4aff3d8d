"""Settings of authentication: contradictions are reported, without secrets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from liveserver.auth.authorizer import Authorizer
from liveserver.config import load
from liveserver.config.render import render
from liveserver.errors import ConfigError
from tests.auth.harness import KEY, NODES, SECRET, pem, rsa_key

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
        (["auth.secret=short"], "auth.secret: is too short"),
        (
            [f"auth.nodes_secret={SECRET}", f"auth.secret={SECRET}"],
            "auth.nodes_secret: is the viewers' secret",
        ),
        (["auth.secret_file=nowhere"], "auth.secret_file: nowhere cannot be read: No such file"),
        (["auth.secret_file=empty"], "auth.secret_file: empty is empty"),
        (["auth.secret_file=binary"], "auth.secret_file: binary is not text"),
        (["auth.public_key_file=words"], "auth.public_key_file: words is not a public key in PEM"),
        (["auth.public_key_file=nowhere"], "auth.public_key_file: nowhere cannot be read"),
        ([f'auth.publishers.site.key="{KEY}\'"'], "auth.publishers.site.key: has characters other than"),
        ([SITE, f"auth.publishers.two.key={KEY}"], "auth.publishers.two.key: is also another publisher's"),
    ],
)
def test_keys_that_cannot_be_used_are_said_and_not_shown(
    overrides: list[str], complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "words").write_text("BEGIN PUBLIC KEY")
    with pytest.raises(ConfigError, match=re.escape(complaint)) as caught:
        Authorizer(load(None, overrides, {}))
    assert not any(secret in str(caught.value) for secret in (SECRET, KEY))


def test_secrets_may_come_from_the_environment_whatever_they_look_like() -> None:
    digits = "1234567890" * 4
    settings = load(None, (), {"LIVESERVER_AUTH__SECRET": digits, "LIVESERVER_AUTH__NODES_SECRET": NODES})
    assert settings.auth.secret is not None
    assert settings.auth.secret.reveal() == digits
    published = load(None, (), {"LIVESERVER_AUTH__PUBLISHERS__SITE__KEY": digits})
    assert published.auth.publishers["site"].key is not None


def test_check_prints_no_secret(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(pem(rsa_key()))
    settings = load(None, [*TOKENS, SITE, NODES_SECRET, f"auth.public_key_file={tmp_path / 'key.pem'}"], {})
    printed = render(settings)
    assert "# secret is set, and not shown" in printed
    assert f'public_key_file = "{tmp_path / "key.pem"}"' in printed
    for text in (printed, repr(settings), str(settings)):
        assert not any(secret in text for secret in (SECRET, KEY, NODES))
