"""Acts as events: each names who did it, and is newer than what is known of its key."""

from __future__ import annotations

import msgspec
import pytest

from liveserver.moderation import acts
from liveserver.moderation.acts import Act
from liveserver.moderation.rules import Ban, Pinned, Rules, VideoSettings, Waiting

COMMENT = Waiting("Abc", "hello", 5, "ada", "host")


def folded(*several: Act) -> Rules:
    rules = Rules()
    for at, act in enumerate(several, 1):
        assert rules.fold(act.stamped(at, -1).keyed())
    return rules


@pytest.mark.parametrize(
    ("now", "known", "at"), [(100, -1, 100), (100, 99, 100), (100, 100, 101), (100, 500, 501)]
)
def test_the_time_is_now_unless_something_later_is_known(now: int, known: int, at: int) -> None:
    stamped = Act("v", "pin", "pin").stamped(now, known)
    assert stamped.at == at
    assert stamped.id


def test_an_act_that_is_stamped_again_keeps_its_id() -> None:
    act = Act("v", "pin", "pin")
    first = act.stamped(1, -1)
    assert (act.id, act.at) == ("", 0), "the act itself stays as it is"
    assert first.stamped(1, 7).id == first.id != act.stamped(1, -1).id


def test_a_publication_has_what_was_given_and_null_for_what_is_cleared() -> None:
    act = acts.lift_ban("v", "mo", "ada").stamped(7, -1)
    assert act.publication() == {
        "id": act.id, "video": "v", "type": "ban", "at": 7, "data": None, "key": "ban/ada", "user": "ada",
        "by": "mo",
    }  # fmt: skip


def test_followers_of_the_log_receive_the_same() -> None:
    event = acts.ban("v", "mo", Ban("ada", 9, "spam")).stamped(7, -1).keyed()
    assert (event.key, event.at, event.is_cleared, event.is_internal) == ("ban/ada", 7, False, True)
    assert msgspec.json.decode(event.data)["data"] == {"user": "ada", "until": 9, "reason": "spam"}
    unpinned = acts.pin("v", "mo", None, None).stamped(7, -1).keyed()
    assert (unpinned.key, unpinned.is_cleared, unpinned.is_internal) == ("pin", True, False)


def test_what_acts_say_is_what_holds() -> None:
    settings = VideoSettings("slow", 5, "closed", True)
    pinned = Pinned("look", "c1", "ada")
    rules = folded(
        acts.change_settings("v", "mo", settings),
        acts.ban("v", "mo", Ban("ada")),
        acts.pin("v", "mo", "host", pinned),
        acts.wait("v", COMMENT),
    )
    assert (rules.settings, rules.pinned) == (settings, pinned)
    assert rules.bans == {"ada": Ban("ada")}
    assert rules.waiting == {"Abc": COMMENT}
    for at, act in enumerate(
        (
            acts.lift_ban("v", "mo", "ada"),
            acts.pin("v", "mo", None, None),
            acts.decide("v", "mo", COMMENT, "approved"),
        ),
        9,
    ):
        rules.fold(act.stamped(at, -1).keyed())
    assert (rules.bans, rules.pinned, rules.waiting) == ({}, None, {})


def test_clearing_a_user_unpins_and_rejects_what_is_theirs_and_no_more() -> None:
    others = Waiting("o", "stays", 6, "bob")
    rules = folded(
        acts.wait("v", COMMENT), acts.wait("v", others), acts.pin("v", "mo", None, Pinned("x", None, "ada"))
    )
    found = acts.clear_all("v", "mo", "ada", rules)
    assert [(act.type, act.key, act.data) for act in found] == [
        ("clear", "clear/ada", {"user": "ada"}), ("pin", "pin", None), ("waiting", "waiting/abc", None),
    ]  # fmt: skip
    assert {act.by for act in found} == {"mo"}
    assert [act.type for act in acts.clear_all("v", "mo", "eve", rules)] == ["clear"]


def test_an_approved_comment_is_its_users_and_names_no_moderator() -> None:
    shown = acts.show("v", COMMENT)
    assert (shown.id, shown.type, shown.key, shown.user, shown.role, shown.by) == (
        "Abc", "comment", None, "ada", "host", None,
    )  # fmt: skip
    assert shown.data == {"text": "hello"}


def test_announcements_and_audits_have_no_key() -> None:
    announced = acts.announce("v", "mo", "moderator", "soon")
    assert (announced.key, announced.role, announced.data) == (None, "moderator", {"text": "soon"})
    audited = acts.audit("v", "mo", "disconnect", user="ada")
    assert (audited.key, audited.data) == (None, {"act": "disconnect", "user": "ada"})
