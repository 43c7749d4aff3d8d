"""The relay's buffer: bounded, in order, one batch per run."""

from __future__ import annotations

from liveserver.bus.interface import ReplicationBatch
from liveserver.dispatcher.relay.buffer import OVERHEAD, RelayBuffer
from liveserver.event import Batch


def batch(number: int, count: int = 1, video: str = "v", epoch: str = "aaa", size: int = 10) -> Batch:
    line = b"like " + b"x" * (size - 5)
    return Batch(video, epoch, number + 100, "dc2", epoch, number, [line] * count)


def shapes(parcels: list[ReplicationBatch]) -> list[tuple[str, str, int, int, int]]:
    return [(each.video, each.epoch, each.number, each.last, each.offset) for each in parcels]


def test_consecutive_batches_are_merged() -> None:
    waiting = RelayBuffer(10_000)
    for each in (batch(1, 2), batch(3), batch(1, video="w"), batch(4, 3)):
        assert waiting.put(each, 0.0)
    assert shapes(waiting.next_batches(100)) == [("v", "aaa", 1, 6, 106), ("w", "aaa", 1, 1, 101)]
    assert not waiting.has_next


def test_a_jump_and_a_new_epoch_begin_another_batch() -> None:
    waiting = RelayBuffer(10_000)
    for each in (batch(1), batch(3), batch(4), batch(5, epoch="bbb")):
        waiting.put(each, 0.0)
    assert shapes(waiting.next_batches(100)) == [
        ("v", "aaa", 1, 1, 101), ("v", "aaa", 3, 4, 104), ("v", "bbb", 5, 5, 105),
    ]  # fmt: skip


def test_the_bound_includes_videos_being_backfilled() -> None:
    waiting = RelayBuffer(3 * (10 + OVERHEAD))
    assert waiting.put(batch(1, 2), 0.0)
    assert not waiting.put(batch(3, 2), 0.0)
    assert waiting.put(batch(3), 0.0)
    waiting.next_batches(100)
    assert waiting.events == 3
    assert not waiting.put(batch(4), 0.0)
    waiting.done()
    assert waiting.events == 0
    assert waiting.put(batch(4, 3), 0.0)


def test_about_so_many_are_taken_and_videos_take_turns() -> None:
    waiting = RelayBuffer(100_000)
    for number in range(1, 7):
        waiting.put(batch(number), 0.0)
    waiting.put(batch(1, video="w"), 0.0)
    assert shapes(waiting.next_batches(4)) == [("v", "aaa", 1, 4, 104)]
    assert shapes(waiting.next_batches(2)) == [("w", "aaa", 1, 1, 101), ("v", "aaa", 5, 5, 105)]
    assert shapes(waiting.next_batches(2)) == [("v", "aaa", 6, 6, 106)]


def test_held_videos_are_not_taken() -> None:
    waiting = RelayBuffer(10_000)
    waiting.put(batch(1), 0.0)
    waiting.hold("v")
    waiting.put(batch(1, video="w"), 0.0)
    assert shapes(waiting.next_batches(100)) == [("w", "aaa", 1, 1, 101)]
    assert not waiting.has_next
    waiting.put(batch(2), 0.0)
    waiting.release("v")
    assert shapes(waiting.next_batches(100)) == [("v", "aaa", 1, 2, 102)]


def test_statistics_name_the_age_of_the_oldest_batch() -> None:
    waiting = RelayBuffer(10_000)
    assert waiting.since() is None
    waiting.put(batch(1), 3.0)
    waiting.put(batch(1, video="w"), 4.0)
    waiting.hold("v")
    waiting.next_batches(100)
    assert waiting.since() == 3.0
    waiting.release("v")
    waiting.done()
    waiting.next_batches(100)
    waiting.put(batch(2), 7.0)
    assert waiting.since() == 3.0
    waiting.done()
    assert waiting.since() == 7.0
