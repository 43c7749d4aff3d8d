"""What a backend takes from a video's log, and what it leaves there."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from liveserver import state
from liveserver.backend.received import (
    MAX_ID,
    MAX_REACTION,
    MAX_ROLE,
    MAX_STORE,
    MAX_TOTAL,
    ReceivedAct,
    ReceivedComment,
    ReceivedEvents,
    add_batches,
    add_state_lines,
    cleared_user,
)
from liveserver.event import Batch
from liveserver.state import MAX_VERSION


def empty() -> ReceivedEvents:
    return ReceivedEvents("v", comments=[], retracted=[], totals={}, rules=[], acts=[])


def batch(*lines: bytes) -> Batch:
    return Batch("v", "e", 1, "dc1", "e", 1, list(lines))


def comment(**more: Any) -> bytes:
    event = {"id": "c", "video": "v", "type": "comment", "at": 5, "data": {"text": "hi"}} | more
    return b"comment " + msgspec.json.encode(event)


def keyed(kind: str, key: str, data: Any, at: int = 5, **more: Any) -> bytes:
    head = state.head(kind, key, None, at, is_cleared=data is None, is_internal=False)
    event = {"id": f"{kind}{at}", "video": "v", "type": kind, "at": at} | more
    return head + b" " + msgspec.json.encode(event | ({} if data is None else {"data": data}))


def sums(store: str, **total: Any) -> bytes:
    return keyed("likes", f"likes/{store}", {"total": total})


def test_a_comment_is_taken_with_all_that_it_says() -> None:
    found = empty()
    add_batches(found, [batch(comment(user="ada", position=77, role="host"), comment(id="d"))])
    assert found.comments == [
        ReceivedComment("c", "ada", "hi", 5, 77, "host"),
        ReceivedComment("d", None, "hi", 5, None),
    ]


@pytest.mark.parametrize("role", ["r" * (MAX_ROLE + 1), "a\0", None])
def test_a_role_that_no_database_stores_is_left_out(role: str | None) -> None:
    found = empty()
    add_batches(found, [batch(comment(role=role))])
    assert [each.role for each in found.comments] == [None]


@pytest.mark.parametrize(
    ("position", "kept"), [(0, 0), (MAX_VERSION, MAX_VERSION), (-1, None), (MAX_VERSION + 1, None)]
)
def test_a_position_beyond_the_bounds_is_left_out(position: int, kept: int | None) -> None:
    found = empty()
    add_batches(found, [batch(comment(position=position))])
    assert [each.position for each in found.comments] == [kept]


def test_what_no_database_stores_is_removed_from_texts_and_users() -> None:
    found = empty()
    add_batches(found, [batch(comment(user="a\0da", data={"text": "\0h\0i"}))])
    assert found.comments == [ReceivedComment("c", "ada", "hi", 5)]


@pytest.mark.parametrize(
    ("name", "is_taken"), [("n" * MAX_ID, True), ("n" * (MAX_ID + 1), False), ("a\0", False)]
)
def test_ids_that_no_database_stores_are_skipped_in_every_kind_of_event(name: str, is_taken: bool) -> None:
    found = empty()
    retraction = b"retract " + msgspec.json.encode({"id": "r", "data": {"id": name}})
    act = b"pin " + msgspec.json.encode({"id": name, "at": 3, "by": "mo"})
    add_batches(found, [batch(comment(id=name), retraction, act)])
    assert [each.id for each in found.comments] == [name] * is_taken
    assert found.retracted == [name] * is_taken
    assert [each.id for each in found.acts] == [name] * is_taken


@pytest.mark.parametrize(
    "line",
    [
        b"comment not JSON",
        b'comment {"id":"c","at":1}',
        b'comment {"id":7,"at":1,"data":{"text":"t"}}',
        b'comment {"id":"c","at":"1","data":{"text":"t"}}',
        b'retract {"id":"r","data":{}}',
        b'retract {"id":"r"}',
        b'like {"id":"c","at":1,"data":{"text":"t"}}',
        b'like {"id":"c","at":1,"by":"mo" nonsense',
        b'like {"id":"c","by":"mo"}',
        b";likes;likes/s;-;1; nonsense",
        b';likes;likes/s;-;1;c {"id":"i","data":{"total":{"heart":1}}}',
        b';wave;hand;-;1; {"id":"i","data":{"total":{"heart":1}}}',
    ],
)
def test_other_events_change_nothing(line: bytes) -> None:
    found = empty()
    add_batches(found, [batch(line)])
    assert (found.comments, found.retracted, found.acts, found.rules) == ([], [], [], [])
    assert not any(found.totals.values())


def test_totals_only_grow_and_are_each_stores_own() -> None:
    found = empty()
    add_state_lines(found, [sums("a", heart=5, fire=1), sums("b", heart=2), sums("a", heart=3, fire=4)])
    assert found.totals == {"a": {"heart": 5, "fire": 4}, "b": {"heart": 2}}


def test_totals_beyond_the_bounds_are_skipped_each_by_itself() -> None:
    longest, too_long = "r" * MAX_REACTION, "r" * (MAX_REACTION + 1)
    found = empty()
    add_state_lines(
        found,
        [
            sums("a", **{longest: MAX_TOTAL, too_long: 1, "low": -1, "high": MAX_TOTAL + 1, "zero": 0}),
            sums("s" * MAX_STORE, heart=1),
            sums("s" * (MAX_STORE + 1), heart=1),
            sums("c", **{"he\0art": 1, "fire": 1}),
        ],
    )
    assert found.totals == {"a": {longest: MAX_TOTAL, "zero": 0}, "s" * MAX_STORE: {"heart": 1}}


def test_rules_are_kept_as_logged_and_acts_with_their_moderator() -> None:
    ban = keyed("ban", "ban/ada", {"user": "ada"}, by="mo")
    found = empty()
    add_batches(found, [batch(ban)])
    [rule] = found.rules
    assert (rule.event.key, rule.line) == ("ban/ada", ban)
    assert found.acts == [ReceivedAct("ban5", 5, ban.partition(b" ")[2])]
    add_state_lines(found, [ban])
    assert len(found.rules) == 2
    assert len(found.acts) == 1, "the state is not the feed"


def test_a_clearing_names_the_user_unless_it_is_malformed_or_undone() -> None:
    def cleared(data: Any) -> str | None:
        return cleared_user(state.read(keyed("clear", "clear/ada", data)))

    assert cleared({"user": "ada"}) == "ada"
    assert cleared(None) is None
    assert cleared({"user": 7}) is None
    assert cleared("ada") is None
