"""The follower sees what is lost or doubled, however the bytes are cut, and counts the gaps it receives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.follower import Follower


def ready(number: int, *, resumed: bool = False) -> bytes:
    said = b"true" if resumed else b"false"
    return b'retry: 1\nid: dc1-a-%d\nevent: ready\ndata: {"resumed":%b}\n\n' % (number, said)


def like(number: int) -> bytes:
    return b'id: dc1-a-%d\nevent: like\ndata: {"type":"like","at":1,"data":{}}\n\n' % number


def gap(number: int) -> bytes:
    return b'id: dc1-a-%d\nevent: gap\ndata: {"cursor":"dc1-a-%d"}\n\n' % (number, number)


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"


def follow(*pieces: bytes) -> Follower:
    follower = Follower("one")
    follower.begin()
    for piece in pieces:
        follower.feed(piece)
    return follower


@given(st.lists(st.integers(1, 60), max_size=12))
def test_a_valid_stream_is_accepted_however_it_is_split(cuts: list[int]) -> None:
    stream = HEAD + ready(4) + b"".join(like(number) for number in range(5, 12)) + b":\n"
    pieces = []
    for cut in cuts:
        pieces.append(stream[:cut])
        stream = stream[cut:]
    follower = follow(*pieces, stream)
    assert (follower.number, follower.events, follower.faults) == (11, 7, [])


@pytest.mark.parametrize(
    "numbers",
    [(5, 7), (5, 5), (5, 6, 5), (6,), (5, 6, 8, 9)],
    ids=["hole", "twice", "back", "late", "inside"],
)
def test_a_hole_or_a_doubling_is_a_fault(numbers: tuple[int, ...]) -> None:
    assert follow(HEAD + ready(4), b"".join(map(like, numbers))).faults


def test_a_gap_is_counted_by_its_frame_and_excuses_what_it_covers() -> None:
    follower = follow(HEAD + ready(4), like(5) + gap(9) + like(10))
    assert follower.number == 10
    assert follower.gaps == 1
    assert follower.faults == []


def test_a_resumption_begins_where_it_was_asked_to() -> None:
    follower = follow(HEAD + ready(4), like(5))
    follower.begin()
    follower.feed(HEAD + ready(5, resumed=True) + like(6))
    assert (follower.resumed, follower.gaps, follower.faults) == (1, 0, [])
    follower.begin()
    follower.feed(HEAD + ready(3, resumed=True))
    assert follower.faults


def test_a_stream_that_is_not_resumed_needs_a_gap() -> None:
    follower = follow(HEAD + ready(4))
    follower.begin()
    follower.feed(HEAD + ready(9) + like(10))
    assert (follower.gaps, follower.faults) == (1, [])
