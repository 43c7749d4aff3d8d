"""The users who watch a video at a node, by their tokens."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from liveserver.auth.grant import HOST, MODERATE, OPEN, WATCH, Grant
from liveserver.frontend.users import watching_users


def grant(user: str | None, *scopes: str, videos: tuple[str, ...] = ("*",)) -> Grant:
    return Grant(videos, frozenset((WATCH, *scopes)), user, is_viewer=True)


def channel(*streams: Grant | None, polls: tuple[tuple[Grant | None, ...], ...] = ()) -> Any:
    def holders(grants: tuple[Grant | None, ...]) -> list[Any]:
        return [SimpleNamespace(grant=each) for each in grants]

    segments = [SimpleNamespace(waiters=holders(each)) for each in polls]
    audience = SimpleNamespace(viewers=lambda: holders(streams), poll_segments=lambda: segments)
    return SimpleNamespace(video="v", audience=audience)


def test_streams_and_waiting_polls_are_counted_and_each_user_is_listed_once() -> None:
    found = watching_users(
        channel(
            grant("ada"), grant("bob"), grant("ada"), polls=((grant("cem"), grant("ada")), (grant("bob"),))
        )
    )
    assert found == ({"ada": None, "bob": None, "cem": None}, 6, 0)


def test_viewers_without_a_user_are_a_number() -> None:
    assert watching_users(channel(None, OPEN, grant(None), grant("ada"), polls=((None,),))) == (
        {"ada": None},
        5,
        4,
    )
    assert watching_users(channel()) == ({}, 0, 0)


def test_a_role_shows_whichever_of_a_users_tokens_has_it() -> None:
    for order in (1, -1):
        tokens = [grant("ada"), grant("ada", MODERATE), grant("ada")][::order]
        assert watching_users(channel(*tokens))[0] == {"ada": "moderator"}
    assert watching_users(channel(grant("hugo", HOST)))[0] == {"hugo": "host"}
    assert watching_users(channel(grant("mo", MODERATE, videos=("w",))))[0] == {"mo": None}, (
        "of this video only"
    )
