"""One video's log in memory: numbers without holes, and each origin's events once and in order."""

from __future__ import annotations

from liveserver.bus.interface import ReplicaPosition, ReplicationBatch
from liveserver.bus.memory.video_log import VideoLog
from liveserver.config import HistorySettings
from liveserver.cursor import Mark
from liveserver.event import Batch


def log(**settings: object) -> VideoLog:
    return VideoLog("v", "dc1", HistorySettings(**settings))  # type: ignore[arg-type]


def others(
    number: int,
    *names: str,
    epoch: str = "e2",
    instead: ReplicaPosition | None = None,
    since: int | None = None,
) -> ReplicationBatch:
    """Events of another datacenter, the first of which has this number there."""
    lines = [b"comment " + name.encode() for name in names]
    return ReplicationBatch("v", "dc2", epoch, number, number + 100, lines, instead, since)


def texts(batches: list[Batch]) -> list[str]:
    return [line.decode().partition(" ")[2] for batch in batches for line in batch.lines]


def test_events_are_numbered_by_place_and_by_origin() -> None:
    made = log()
    first = made.append([b"comment a", b"comment b"], 0)
    assert (first.first, first.last, first.number, first.origin) == (1, 2, 1, "dc1")
    relayed = made.replicate(others(1, "x"), 0)
    assert relayed is not None
    assert (relayed.first, relayed.number, relayed.origin_epoch, relayed.origin) == (3, 1, "e2", "dc2")
    assert made.next_number == 3
    assert made.append([b"comment c"], 0).first == 4
    assert made.cursor.get("dc1") == Mark(made.epoch, 3)
    assert made.cursor.get("dc2") == Mark("e2", 1)
    assert texts(made.read(0, 100, 0).batches) == ["a", "b", "x", "c"]


def test_repeats_are_dropped_overlaps_trimmed_and_jumps_refused() -> None:
    made = log()
    assert made.replicate(others(1, "a", "b"), 0)
    assert made.replicate(others(1, "a", "b"), 0) is None
    overlap = made.replicate(others(2, "b", "c"), 0)
    assert overlap is not None
    assert (overlap.number, texts([overlap])) == (3, ["c"])
    assert made.replicate(others(5, "e"), 0) is None
    assert made.replicate(others(1, "a", epoch="e3"), 0) is None, "another epoch is a jump"
    assert made.offset == 3


def test_a_jump_is_taken_instead_of_the_position_that_was_known() -> None:
    made = log()
    made.replicate(others(1, "a"), 0)
    here = made.position("dc2")
    assert here == ReplicaPosition(made.epoch, "e2", 1, 101)
    stale = ReplicaPosition(made.epoch, "e2", 0, 0)
    assert made.replicate(others(7, "g", instead=stale), 0) is None
    jumped = made.replicate(others(7, "g", instead=here), 0)
    assert jumped is not None
    assert made.position("dc2") == ReplicaPosition(made.epoch, "e2", 7, 107)
    assert made.position("dc3") == ReplicaPosition(made.epoch, "", 0, 0)


def test_missing_ephemeral_events_are_not_a_jump() -> None:
    made = log()
    made.replicate(others(1, "a"), 0)
    assert made.replicate(others(5, "e", since=2), 0) is None, "the second is missing, too"
    went_on = made.replicate(others(5, "e", since=1), 0)
    assert went_on is not None
    assert (went_on.first, went_on.number) == (2, 5)
    assert made.cursor.get("dc2") == Mark("e2", 5)


def test_events_age_and_the_oldest_number_tells_so() -> None:
    made = log(max_age=10.0)
    made.append([b"comment a"], 0)
    made.append([b"comment b"], 5)
    assert made.read(0, 100, 9.9).oldest == 1
    later = made.read(0, 100, 12)
    assert (later.oldest, texts(later.batches)) == (2, ["b"])
    made.trim(100)
    gone = made.read(0, 100, 100)
    assert (gone.oldest, gone.batches, gone.head.offset) == (3, [], 2)


def test_ephemeral_events_have_a_bound_of_their_own() -> None:
    made = log(ephemeral_events=2, ephemeral_types=["like"], max_events=100)
    for number in range(5):
        made.append([b"like l%d" % number], 0)
        made.append([b"comment c%d" % number], 0)
    found = made.read(0, 100, 0)
    assert [text for text in texts(found.batches) if text[0] == "c"] == [f"c{n}" for n in range(5)]
    assert len([text for text in texts(found.batches) if text[0] == "l"]) <= 2
    assert found.oldest == 1, "no other event is missing"
    assert made.head.kept is not None


def test_a_read_ends_where_its_limit_does() -> None:
    made = log(ephemeral_types=[])
    for number in range(5):
        made.append([b"comment %d" % number], 0)
    part = made.read(1, 2, 0)
    assert (texts(part.batches), part.upto, part.end) == (["1", "2"], 3, 3)
    rest = made.read(part.end, 10, 0)
    assert (texts(rest.batches), rest.upto, rest.end) == (["3", "4"], None, 5)


def test_two_logs_of_one_video_have_epochs_of_their_own() -> None:
    assert log().epoch != log().epoch
