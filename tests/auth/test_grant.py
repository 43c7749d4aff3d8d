"""Grants: which scopes, which videos, and in whose name."""

from __future__ import annotations

import pytest

from liveserver.auth.grant import HOST, LIKE, MODERATE, PUBLISH, WATCH, Grant, matches
from liveserver.errors import Forbidden

VIEWER = Grant(("match-*", "final"), frozenset({WATCH, LIKE}), user="ada", is_viewer=True)


@pytest.mark.parametrize(
    ("patterns", "video", "expected"),
    [
        (("*",), "any", True),
        (("match-*",), "match-1", True),
        (("match-*",), "match-", True),
        (("match-*",), "match", False),
        (("match",), "match-1", False),
        (("other", "match"), "match", True),
        (("*-match",), "a-match", False),  # only a star at the end is one
        ((), "match", False),
    ],
)
def test_patterns_are_names_or_prefixes(patterns: tuple[str, ...], video: str, expected: bool) -> None:
    assert matches(patterns, video) is expected


def test_scope_and_video_are_both_required() -> None:
    VIEWER.require(LIKE, "match-1")
    with pytest.raises(Forbidden, match="scope 'publish'"):
        VIEWER.require(PUBLISH, "match-1")
    with pytest.raises(Forbidden, match="other videos"):
        VIEWER.require(LIKE, "concert")


def test_a_viewers_token_acts_for_its_own_user_only() -> None:
    assert VIEWER.resolve_user(None) == "ada"
    assert VIEWER.resolve_user("ada") == "ada"
    with pytest.raises(Forbidden):
        VIEWER.resolve_user("ben")
    anonymous = Grant(user=None, is_viewer=True)
    with pytest.raises(Forbidden):
        anonymous.resolve_user("ben")
    assert Grant(name="shop").resolve_user("ben") == "ben"  # a publisher acts for its users


@pytest.mark.parametrize(
    ("scopes", "is_viewer", "role", "is_exempt"),
    [
        ({WATCH}, True, None, False),
        ({MODERATE}, True, "moderator", True),
        ({HOST}, True, "host", False),
        ({HOST, MODERATE}, True, "host", True),
        ({HOST, MODERATE}, False, None, False),  # a publisher's key
    ],
)
def test_roles_are_those_of_viewers_tokens(
    scopes: set[str], is_viewer: bool, role: str | None, is_exempt: bool
) -> None:
    grant = Grant(("v",), frozenset(scopes), is_viewer=is_viewer)
    assert (grant.role("v"), grant.is_exempt("v")) == (role, is_exempt)
    assert (grant.role("w"), grant.is_exempt("w")) == (None, False)
