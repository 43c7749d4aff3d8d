"""What holds for a video: a fold of its keyed events, in any order."""

from __future__ import annotations

import pytest

from liveserver.moderation.rules import BAN, Ban, banned, user_key


@pytest.mark.parametrize("user", ["ada", "a.b_c-9", "a" * 100])
def test_plain_users_are_their_own_keys(user: str) -> None:
    assert user_key(BAN, user) == BAN + user


@pytest.mark.parametrize("user", ["Ada", "", "a b", "a" * 101, "é", "\ud800", "a/b", ":x"])
def test_other_users_have_keys_of_plain_characters(user: str) -> None:
    key = user_key(BAN, user)
    assert key.startswith(BAN + ":")
    assert key.isascii()
    assert len(key) < 64
    assert key != user_key(BAN, user + "x")


def test_a_ban_ends_at_its_time() -> None:
    ban = Ban("ada", until=10_000)
    assert ban.holds_at(9_999)
    assert not ban.holds_at(10_000)
    assert Ban("ada").holds_at(2**53)


def test_a_banned_user_is_answered_until_when_and_why() -> None:
    answer = banned(Ban("ada", until=10_000, reason="spam"), now=8_500)
    assert "spam" in str(answer)
    assert answer.headers == (("retry-after", "2"),)
    assert (answer.until, answer.reason) == (10_000, "banned")
    assert banned(Ban("ada"), now=0).until is None
