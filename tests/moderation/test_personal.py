"""What events say about a user, and what is left of them without it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveserver.moderation.personal import does_name, is_about, user_keys, without_user

USERS = st.sampled_from(["ada", "Ada", "bob", "a/b"])
EVENTS = st.fixed_dictionaries(
    {"id": st.just("e"), "type": st.sampled_from(["comment", "ban", "likes"]), "at": st.just(5)},
    optional={
        "user": USERS,
        "by": USERS,
        "data": st.one_of(st.none(), st.just("text"), st.fixed_dictionaries({"user": USERS})),
        "key": st.sampled_from(["settings", *sorted(user_keys("ada") | user_keys("Ada"))]),
    },
)


def test_a_user_is_named_by_three_keys_also_one_that_keys_cannot_have() -> None:
    assert {"ban/ada", "clear/ada", "revoked/user/ada"} == user_keys("ada")
    assert len(user_keys("Ada")) == 3
    assert not user_keys("Ada") & user_keys("ada")


@pytest.mark.parametrize(
    "event",
    [
        {"user": "ada", "data": {"text": "hi"}},
        {"data": {"user": "ada"}},
        {"key": "ban/ada"},
        {"key": "clear/ada", "data": None},
        {"key": "revoked/user/ada"},
    ],
)
def test_content_belongs_to_the_user_who_caused_it_or_is_named_in_it(event: dict[str, Any]) -> None:
    assert is_about(event, "ada")
    assert not is_about(event, "bob")
    left = without_user(event | {"by": "mo", "id": "e"}, "ada")
    assert left["data"] is None
    assert (left["by"], left["id"]) == ("mo", "e")
    assert "user" not in left
    assert "key" not in left


def test_a_moderators_act_loses_only_the_name() -> None:
    event = {"by": "mo", "user": "ada", "data": {"user": "ada"}, "key": "ban/ada"}
    assert not is_about(event, "mo")
    assert does_name(event, "mo")
    assert without_user(event, "mo") == {"user": "ada", "data": {"user": "ada"}, "key": "ban/ada"}


def test_sums_name_users_that_they_do_not_belong_to() -> None:
    sums = {"type": "likes", "key": "likes/store", "data": {"users": ["ada"], "total": {"heart": 1}}}
    assert not is_about(sums, "ada")
    assert without_user(sums, "ada") == sums


@given(EVENTS, USERS)
def test_nothing_names_the_user_afterwards_and_others_lose_nothing(event: dict[str, Any], user: str) -> None:
    before = dict(event)
    left = without_user(event, user)
    assert event == before
    assert not does_name(left, user)
    if not does_name(event, user):
        assert left == event
    assert all(left[name] == event[name] for name in ("id", "type", "at"))
