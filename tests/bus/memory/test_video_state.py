"""The lines of a video's state: the newest of each key, within bounds."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from liveserver import state
from liveserver.bus.memory import video_state
from liveserver.bus.memory.video_state import PURGE_PAUSE, RELAYED_ROOM, VideoState
from liveserver.config import HistorySettings
from liveserver.units import Duration, Size

NOW = 1_763_862_000_000


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of day is `NOW`."""
    monkeypatch.setattr(video_state, "time", SimpleNamespace(time=lambda: NOW / 1000))


def line(
    key: str, at: int = NOW, *, size: int = 0, is_cleared: bool = False, version: int | None = None
) -> bytes:
    head = state.head("t", key, version, at, is_cleared=is_cleared, is_internal=False)
    return head + b' {"id":"%b-%d","data":"%b"}' % (key.encode(), at, b"x" * size)


def bounded(keys: int = 3, size: int = 1_000_000, max_age: float = 60.0) -> VideoState:
    return VideoState(HistorySettings(state_keys=keys, state_size=Size(size), max_age=Duration(max_age)))


def test_the_newest_line_of_each_key_is_kept() -> None:
    kept = bounded()
    assert kept.fold(line("a", 5))
    assert kept.fold(line("b", 1))
    assert not kept.fold(line("a", 4)), "it is stale"
    assert not kept.fold(line("a", 5)), "the same again is stale, too"
    assert kept.fold(line("a", 1, version=0)), "a version is newer than none"
    assert kept.lines() == [line("a", 1, version=0), line("b", 1)]


@pytest.mark.parametrize("other", [b"like {}", b";nonsense", b';t;;-;1; {"id":"i"}'])
def test_lines_without_a_key_are_no_part_of_it(other: bytes) -> None:
    kept = bounded(keys=0)
    assert kept.fold(other)
    assert kept.has_room([other], 0)
    assert kept.lines() == []


def test_a_cleared_key_stays_without_its_data_and_keeps_older_events_out() -> None:
    kept = bounded()
    kept.fold(line("a", 5, size=500))
    kept.fold(line("a", 6, is_cleared=True, size=500))
    [tombstone] = kept.lines()
    assert len(tombstone) < 100
    assert state.read(tombstone).is_cleared
    assert not kept.fold(line("a", 5))


def test_keys_are_bounded_but_known_ones_may_change() -> None:
    kept = bounded(keys=2)
    assert kept.has_room([line("a"), line("b")], 0)
    assert not kept.has_room([line("a"), line("b"), line("c")], 0)
    assert kept.has_room([line("a", 1), line("a", 2), line("b")], 0), "a key counts once"
    for key in ("a", "b"):
        kept.fold(line(key, 1))
    assert not kept.has_room([line("c")], 0)
    assert kept.has_room([line("a", 2)], 0)


def test_sizes_are_bounded_by_what_they_grow() -> None:
    exact = len(line("a", 1, size=100)) + len("a")
    assert bounded(size=exact).has_room([line("a", 1, size=100)], 0)
    assert not bounded(size=exact - 1).has_room([line("a", 1, size=100)], 0)
    kept = bounded(size=exact)
    kept.fold(line("a", 1, size=100))
    assert not kept.has_room([line("a", 2, size=101)], 0)
    assert kept.has_room([line("a", 2, size=100)], 0)
    kept.fold(line("a", 2, size=10))
    assert kept.has_room([line("a", 3, size=100)], 0), "what shrank may grow again"


def test_old_tombstones_make_room_and_young_ones_do_not() -> None:
    kept = bounded(keys=2, max_age=60.0)
    kept.fold(line("old", NOW - 121_000, is_cleared=True))
    kept.fold(line("young", NOW - 100_000, is_cleared=True))
    assert kept.has_room([line("c")], 0.0)
    kept.fold(line("c"))
    assert not kept.has_room([line("d")], PURGE_PAUSE + 1)
    assert {state.read(each).key for each in kept.lines()} == {"young", "c"}


def test_tombstones_are_looked_through_only_once_in_a_while() -> None:
    kept = bounded(keys=1, max_age=60.0)
    assert not kept.has_room([line("a"), line("b")], 100.0)  # looked through
    kept.fold(line("old", NOW - 121_000, is_cleared=True))
    assert not kept.has_room([line("a")], 100.0 + PURGE_PAUSE / 2)
    assert kept.has_room([line("a")], 100.0 + PURGE_PAUSE)


def test_state_of_other_datacenters_has_a_larger_bound() -> None:
    kept = bounded(keys=1)
    for number in range(2 * RELAYED_ROOM):
        kept.fold_relayed(line(f"k{number}"))
    assert len(kept.lines()) == RELAYED_ROOM
    kept = bounded(size=100)
    for number in range(100):
        kept.fold_relayed(line(f"k{number}", size=50))
    assert 3 < len(kept.lines()) < 10


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(1, 9), st.integers(0, 30), st.booleans()), max_size=20
    )
)
def test_the_size_is_that_of_the_lines_and_keys(folded: list[tuple[str, int, int, bool]]) -> None:
    kept = bounded(size=10**6)
    for key, at, size, is_cleared in folded:
        kept.fold(line(key, at, size=size, is_cleared=is_cleared))
    exact = sum(len(each) + len(state.read(each).key) for each in kept.lines())
    assert kept._size == exact
