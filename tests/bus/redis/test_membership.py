"""This process among those that may know heads: what it says to Redis, and concludes from replies."""

from __future__ import annotations

import pytest

from liveserver.bus.redis.membership import REMEMBERED, Incarnation, Membership


def test_members_wait_by_their_own_monotonic_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("liveserver.bus.redis.membership.time.monotonic", lambda: now)
    member = Membership(5.0)
    member.observe(b"first - 0 x 1700000000000")
    now = 104.0
    member.observe(b"second - 0 x 1")
    assert member.arguments(knows_heads=True)[3] == ""
    now = 105.0
    assert member.arguments(knows_heads=True)[3] == "first"
    now = 109.0
    assert member.arguments(knows_heads=True)[3] == "first second"


def reply(name: str = "a", verdict: str = "-", generation: int = 0, made_in: str = "x") -> bytes:
    return f"{name} {verdict} {generation} {made_in} 1700000000000".encode()


def test_a_reply_is_an_incarnation_with_its_verdict_and_view() -> None:
    found = Incarnation.parse(reply("abc", "goes-on", 7, "m"))
    assert found == ("abc", "goes-on", "7 m", 1_700_000_000_000)
    assert found.generation == 7
    assert Incarnation.parse(reply()).verdict == ""


@pytest.mark.parametrize("malformed", [b"", b"a - 0 x", b"a - 0 x y", b"a - 0 x 1 2"])
def test_a_malformed_reply_is_an_error(malformed: bytes) -> None:
    with pytest.raises(ValueError, match=r"expected 5|unpack|invalid literal"):
        Incarnation.parse(malformed)


def test_a_malformed_reply_of_the_script_changes_nothing() -> None:
    member = Membership(5.0)
    assert member.observe(OSError("away")) is None
    assert (member.is_enrolled, member.latest("")) == (False, None)


def test_a_process_without_heads_is_new_and_others_name_the_incarnation_they_reported_to() -> None:
    member = Membership(5.0)
    member.observe(reply("a"))
    member.set_reported("a")
    assert member.arguments(knows_heads=False)[1] == "new"
    process, reported, view, waited = member.arguments(knows_heads=True)
    assert (process, reported, view, waited) == (member.process, "a", "0 x", "")
    assert member.has_reported("a")
    assert not member.has_reported("b")
    assert len({Membership(5.0).process for _ in range(9)}) == 9


def test_replies_that_overtake_each_other_do_not_take_the_view_back() -> None:
    member = Membership(5.0)
    for generation in (1, 3, 2):
        member.observe(reply("a", generation=generation, made_in=f"m{generation}"))
    assert member.arguments(knows_heads=True)[2] == "3 m3"
    member.observe(reply("b", generation=1, made_in="n"))
    assert member.arguments(knows_heads=True)[2] == "1 n", "another incarnation has a list of its own"


def test_each_shard_has_its_own_incarnations() -> None:
    member = Membership(0.0)
    member.observe(reply("a"), "!1")
    member.set_reported("a", "!1")
    assert not member.has_reported("a", "!2")
    assert member.latest("!2") is None
    assert member.arguments(knows_heads=True, shard="!2")[1:] == ("", "", "")
    assert member.arguments(knows_heads=True, shard="!1")[1:] == ("a", "0 x", "a")


def test_only_so_many_incarnations_are_remembered() -> None:
    member = Membership(0.0)
    for number in range(REMEMBERED + 5):
        member.observe(reply(f"n{number}"))
        member.set_reported(f"n{number}")
    assert len(member.arguments(knows_heads=True)[1].split()) == REMEMBERED
    assert not member.has_reported("n0")
    assert member.has_reported(f"n{REMEMBERED + 4}")
