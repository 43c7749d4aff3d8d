"""Retracted ids: a bounded set, found by how an event's JSON begins."""

from __future__ import annotations

import msgspec
import pytest

from liveserver.event import Event
from liveserver.frontend.history.redaction import FEW, RetractedIds, was_cleared
from liveserver.moderation.rules import Rules


def retraction(target: str) -> bytes:
    data = msgspec.Raw(msgspec.json.encode({"id": target}))
    return msgspec.json.encode(Event(f"r-{target}", "v", "retract", at=1, data=data))


def comment(name: str) -> bytes:
    return msgspec.json.encode(Event(name, "v", "comment", at=1))


@pytest.mark.parametrize("name", ["e1", 'a"b', "back\\slash", "é"])
@pytest.mark.parametrize("count", [1, FEW + 1])
def test_targets_are_found_whatever_their_ids(name: str, count: int) -> None:
    retracted = RetractedIds(100)
    names = [name, *(f"other-{number}" for number in range(count - 1))]
    prefixes = [prefix for each in names if (prefix := retracted.add(retraction(each)))]
    for is_target in (retracted.has_target, retracted.matcher(prefixes)):
        assert is_target(comment(name))
        assert not is_target(comment(name + "2"))
        assert not is_target(comment(name[:-1]))


def test_the_newest_ids_are_remembered() -> None:
    retracted = RetractedIds(2)
    assert not retracted
    for name in ("a", "b", "c"):
        retracted.add(retraction(name))
    assert [retracted.has_target(comment(name)) for name in ("a", "b", "c")] == [False, True, True]


def test_a_retraction_of_nothing_adds_nothing() -> None:
    retracted = RetractedIds(2)
    assert retracted.add(b'{"id":"r","data":{}}') is None
    assert not retracted


def test_comments_up_to_a_clearing_are_gone() -> None:
    rules = Rules()
    rules.cleared["ada"] = 10
    seen = {
        at: was_cleared(rules, msgspec.json.encode({"id": "e", "user": "ada", "at": at})) for at in (10, 11)
    }
    assert seen == {10: True, 11: False}
    assert not was_cleared(rules, b'{"id":"e","at":1}')
    assert not was_cleared(rules, b"{")
