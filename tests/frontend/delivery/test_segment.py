"""A segment's flush: the data sent to its viewers and to joining ones."""

from __future__ import annotations

from liveserver.client.sse import SSEParser
from tests.frontend.delivery.harness import Room, Socket

VIEWERS = b'{"video":"v","here":2,"datacenter":2,"total":2}'


def ids(socket: Socket, kind: str) -> list[int]:
    return [int(event.id.rpartition("-")[2]) for event in socket.events() if event.type == kind]


async def test_a_joiner_ahead_of_a_cut_flush_is_not_sent_an_older_cursor() -> None:
    room = Room(8, max_write=200)
    _, behind = room.join(0)
    _, ahead = room.join(8)
    room.audience.set_viewer_count(VIEWERS)
    room.flush()
    reached = ids(behind, "like")[-1]
    assert 0 < reached < 8, "the flush is meant to be cut"
    assert ids(behind, "viewers") == [reached]
    assert ids(ahead, "viewers") == [8]
    room.append(9, 1)
    for _ in range(3):
        room.flush()
    assert ids(behind, "like") == list(range(1, 10))
    assert ids(ahead, "like") == [9]


async def test_a_joiner_that_is_level_is_sent_the_pending_count_once() -> None:
    room = Room(3)
    _, level = room.join(3)
    room.append(4, 2)
    _, joiner = room.join(0)
    room.audience.set_viewer_count(VIEWERS)
    room.flush()
    assert ids(joiner, "like") == [1, 2, 3, 4, 5]
    assert (ids(level, "viewers"), ids(joiner, "viewers")) == ([5], [5])
    room.flush()
    assert (ids(level, "viewers"), ids(joiner, "viewers")) == ([5], [5])


async def test_a_joiner_that_takes_part_of_the_count_lags_where_it_stands() -> None:
    room = Room(8, max_write=200)
    room.join(0)
    ahead, socket = room.join(8)
    room.audience.set_viewer_count(VIEWERS)
    socket.room = 5
    room.flush()
    assert room.scheduler.lagging == [ahead]
    assert ahead.position == 8
    assert ahead.unsent is not None
    assert SSEParser().feed(socket.sent + bytes(ahead.unsent))[-1].id == "dc1-aaa-8"


async def test_needed_is_the_position_of_the_slowest_segment() -> None:
    room = Room(8)
    room.scheduler.segment_size = 1
    room.join(2)
    room.join(6)
    assert room.audience.needed() == 2
    room.flush()
    assert room.audience.needed() == 8
