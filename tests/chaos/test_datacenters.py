"""The checker for several datacenters finds faults, and has no false positives."""

from __future__ import annotations

import pytest

from tests.chaos.datacenters import judge
from tests.chaos.history import Diary, Gap, Heard, Place, Received
from tests.chaos.viewer_processes import Notes


def judged(items: list[Received]) -> list[str]:
    """Three events were accepted, and the outcome of a fourth is unknown."""
    notes = Notes()
    for keys in (["p1-0", "p1-1"], ["p2-0"]):
        notes.send("v", keys).answered = notes.tick()
    notes.send("v", ["p2-1"])
    notes.diaries.append(Diary("viewer", "v", items))
    judge(notes)
    return notes.complaints


def heard(*keys: str) -> list[Received]:
    return [Heard("v", key, None) for key in keys]


@pytest.mark.parametrize("keys", [("p1-0", "p2-0", "p1-1"), ("p2-0", "p2-1", "p1-0", "p1-1")])
def test_any_order_between_publishers_is_right(keys: tuple[str, ...]) -> None:
    assert judged(heard(*keys)) == []


@pytest.mark.parametrize(
    ("items", "complaint"),
    [
        (heard("p1-0", "p2-0"), "never received 1 events, p1-1 for one"),
        (heard("p1-0", "p1-1", "p2-0", "p1-1"), "1 events twice"),
        (heard("p1-1", "p1-0", "p2-0"), "the events of p1 out of order"),
        ([*heard("p1-0", "p1-1", "p2-0"), Gap(Place("a", 1))], "1 gaps"),
    ],
)
def test_wrong_histories_are_reported(items: list[Received], complaint: str) -> None:
    assert any(complaint in each for each in judged(items))
