"""Lagging viewers: who is furthest behind, and who of them keeps reading."""

from __future__ import annotations

from trio.testing import MockClock

from liveserver.cursor import Cursor
from liveserver.frontend.delivery.lagging import LaggingViewers
from liveserver.frontend.delivery.viewer import READING_PAUSE, StreamViewer, Viewer
from liveserver.transport.sse import SSE
from tests.frontend.delivery.harness import Peer, Room


def viewer_at(room: Room, position: int, seen: Cursor | None = None) -> Viewer:
    return StreamViewer(Peer(), room.audience, SSE, position, seen, position)


async def test_the_one_furthest_behind_counts(mock_clock: MockClock) -> None:
    room, lagging = Room(10), LaggingViewers()
    assert lagging.behind(10) == lagging.reading_behind(10) == 10
    first, second = viewer_at(room, 3), viewer_at(room, 6)
    lagging.add(first)
    lagging.add(second)
    assert (len(lagging), set(lagging)) == (2, {first, second})
    assert lagging.behind(10) == lagging.reading_behind(10) == 3
    mock_clock.jump(2 * READING_PAUSE)
    lagging.note_reading(second, 2 * READING_PAUSE)
    assert (lagging.behind(10), lagging.reading_behind(10)) == (3, 6)
    lagging.discard(first)
    lagging.discard(first)
    assert lagging.behind(10) == 6


async def test_a_viewer_whose_events_are_withheld_does_not_read(mock_clock: MockClock) -> None:
    room, lagging = Room(10), LaggingViewers()
    withheld = viewer_at(room, 3, Cursor.parse("dc1-aaa-5"))
    lagging.add(withheld)
    lagging.note_reading(withheld, 0.0)
    assert (lagging.behind(10), lagging.reading_behind(10)) == (3, 10)
    moved = viewer_at(room, 2)
    lagging.take(moved)
    assert (lagging.behind(10), lagging.reading_behind(10)) == (2, 10)
