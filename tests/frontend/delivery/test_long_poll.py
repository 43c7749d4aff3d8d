"""Waiting long-polls: answered by a flush, at their deadline, or when their client ends its side."""

from __future__ import annotations

import math

import msgspec
import trio

from liveserver.frontend.delivery.long_poll import PollWaiter
from tests.frontend.delivery.harness import Peer, Room


def wait(room: Room, position: int, deadline: float = math.inf, headers: bytes = b"") -> PollWaiter:
    waiter = PollWaiter(Peer(), position, None, 100, deadline, headers, room.left.set)
    room.audience.wait(waiter)
    return waiter


def count(answer: bytes) -> int:
    return len(msgspec.json.decode(answer.partition(b"\r\n\r\n")[2])["events"])


async def test_a_flush_answers_all_at_once_with_the_same_page() -> None:
    room = Room(2)
    for _ in range(2):
        wait(room, 2)
    room.flush()
    assert room.scheduler.answers == []
    room.append(3, 2)
    room.flush()
    first, second = room.scheduler.answers
    assert first == second
    assert count(first) == 2
    assert room.audience.totals.count == 0
    assert room.left.is_set()


async def test_a_poll_is_answered_empty_at_its_deadline() -> None:
    room = Room(2)
    wait(room, 2, deadline=5.0)
    later = wait(room, 2, deadline=9.0, headers=b"x-one: 1\r\n")
    (segment,) = room.audience.poll_segments()
    assert [segment.expire(at) for at in (4.0, 5.0)] == [0, 1]
    assert [count(answer) for answer in room.scheduler.answers] == [0]
    assert segment.waiters == [later]
    assert segment.expire(9.0) == 1
    assert b"\r\nx-one: 1\r\n" in room.scheduler.answers[-1]


async def test_an_abandoned_poll_is_not_answered() -> None:
    room = Room(2)
    wait(room, 2).abandon()
    room.append(3, 1)
    room.flush()
    assert room.scheduler.answers == []
    assert room.audience.totals.count == 0


async def test_a_client_that_ends_its_side_is_answered_at_once() -> None:
    room = Room(2)
    waiter = wait(room, 2)
    waiter.end_early()
    assert isinstance(waiter.peer, Peer)
    assert count(waiter.peer.socket.sent) == 0
    assert waiter.is_written
    with trio.fail_after(1):
        await waiter.wait_written()
