"""Which videos moved, and what a cursor does not cover."""

from __future__ import annotations

import pytest

from liveserver.bus.following import MovedVideos, unseen
from liveserver.bus.interface import ActiveVideos
from liveserver.cursor import Cursor
from liveserver.event import Batch
from tests.bus.harness import WholeBus, append


def batch(number: int, *lines: str, epoch: str = "a", since: int | None = None) -> Batch:
    return Batch("v", "x", number, "dc1", epoch, number, [line.encode() for line in lines], since)


async def test_each_move_is_found_and_pages_are_followed(
    bus: WholeBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("liveserver.bus.following.PAGE", 2)
    moved = MovedVideos(bus.active_since)
    assert await moved.next() == []
    for video in "abcde":
        await append(bus, video, "{}")
    assert set(await moved.next()) == set("abcde")
    await append(bus, "b", "{}")
    assert "b" in await moved.next()


async def test_a_clock_that_is_behind_begins_anew() -> None:
    clock = {"now": 5_000}

    async def list_active(since: int, limit: int) -> ActiveVideos:
        at = clock["now"]
        return ActiveVideos(["v"] if at >= since else [], at if at >= since else since, at)

    moved = MovedVideos(list_active)
    assert await moved.next() == ["v"]
    clock["now"] = 1_000
    assert await moved.next() == ["v"]


def test_events_covered_by_the_cursor_are_cut_off() -> None:
    found = unseen(Cursor.parse_trusted("dc1-a-2"), [batch(1, "e1", "e2", "e3"), batch(4, "e4")])
    assert [line for each in found.batches for line in each.lines] == [b"e3", b"e4"]
    assert [each.number for each in found.batches] == [3, 4]
    assert str(found.cursor) == "dc1-a-4"
    assert not found.has_jump


def test_a_jump_is_a_loss_unless_what_is_missing_was_ephemeral() -> None:
    cursor = Cursor.parse_trusted("dc1-a-2")
    lost = unseen(cursor, [batch(5, "e5")])
    ephemeral = unseen(cursor, [batch(5, "e5", since=2)])
    assert (lost.has_jump, lost.has_loss) == (True, True)
    assert (ephemeral.has_jump, ephemeral.has_loss) == (True, False)


def test_events_of_an_epoch_that_is_over_are_left_out() -> None:
    found = unseen(Cursor.parse_trusted("dc1-bbbbbbbb-1"), [batch(1, "old", epoch="aaaaaaaa")])
    assert found.batches == []
