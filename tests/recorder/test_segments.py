"""Segments of a recording: which events are together, their bytes, and what is left without a user."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveserver.recorder.segments import (
    MAX_EVENTS,
    DamagedRecording,
    decode,
    encode,
    erased,
    is_of,
    is_retraction,
    split,
    without_cleared,
    without_content,
)

STRETCH = 1_000


def line(at: int = 5, name: str = "e", kind: str = "comment", **more: Any) -> bytes:
    accepted = {"accepted": more.pop("accepted")} if "accepted" in more else {}
    user = {"user": more.pop("user")} if "user" in more else {}
    event = {"id": name, "video": "v", "type": kind, **user, "at": at, **accepted, **more}
    return json.dumps(event, separators=(",", ":")).encode()


def parts(clock: int, held: int, *times: int) -> tuple[int, list[int]]:
    """The clock afterwards, and how many events each part has."""
    after, found = split(clock, held, [line(at) for at in times], STRETCH)
    return after, [len(part) for part in found]


@pytest.mark.parametrize(
    ("clock", "held", "times", "after", "sizes"),
    [
        (0, 0, (1_000, 1_999), 1_999, [2]),  # the first segment of all
        (1_500, 3, (1_600, 1_999, 2_000, 2_001), 2_001, [2, 2]),
        (1_500, 3, (2_500,), 2_500, [0, 1]),
        (1_500, 3, (1_400, 900), 1_500, [2]),  # back and forth a little
        (5_500, 3, (3_500, 3_499), 3_499, [1, 1]),  # a clock was set
        (1_500, 0, (9_000, 9_001), 9_001, [2]),  # nothing is held: nothing begins anew
        (1_500, 2, (), 1_500, [0]),
    ],
)
def test_a_segment_is_a_stretch_of_time(
    clock: int, held: int, times: tuple[int, ...], after: int, sizes: list[int]
) -> None:
    assert parts(clock, held, *times) == (after, sizes)


def test_a_segment_has_at_most_so_many_events() -> None:
    assert parts(1_500, MAX_EVENTS - 1, 1_500, 1_500) == (1_500, [1, 1])
    assert parts(1_500, MAX_EVENTS, 1_500) == (1_500, [0, 1])


def test_the_time_is_when_it_was_accepted() -> None:
    clock, found = split(1_500, 1, [line(10, accepted=2_500)], STRETCH)
    assert (clock, [len(part) for part in found]) == (2_500, [0, 1])
    assert split(1_500, 1, [b"{}"], STRETCH) == (1_500, [[b"{}"]]), "a line without a time has the latest"


@given(st.lists(st.integers(0, 9_000), max_size=40), st.integers(0, 40))
def test_wherever_the_lines_are_cut_the_segments_are_the_same(times: list[int], cut: int) -> None:
    lines = [line(at, f"e{number}") for number, at in enumerate(times)]
    _, whole = split(0, 0, lines, STRETCH)
    clock, first = split(0, 0, lines[:cut], STRETCH)
    _, rest = split(clock, len(first[-1]), lines[cut:], STRETCH)
    joined = [*first[:-1], first[-1] + rest[0], *rest[1:]]
    assert joined == whole


def test_an_entry_says_what_the_file_has() -> None:
    lines = [line(7, position=30), line(3), line(5, data={"x": ',"position":99'}), line(9, position=20)]
    entry, content = encode(lines, gap=True)
    assert (entry.events, entry.bytes, entry.first_at, entry.last_at, entry.gap) == (
        4,
        len(content),
        3,
        9,
        True,
    )
    assert (entry.first_position, entry.last_position) == (20, 30), "not what the data says"
    assert decode(content) == lines
    assert encode(lines)[1] == content, "the same lines are the same bytes"
    assert encode(lines[:1])[0].file != entry.file
    assert (encode([])[0].first_at, encode([])[0].first_position, decode(encode([])[1])) == (0, None, [])


@pytest.mark.parametrize(
    "content", [b"", b"no gzip", gzip.compress(b"x" * 99, mtime=0)[:-9], b"\x1f\x8b\x08" + b"\xff" * 20]
)
def test_damage_is_reported(content: bytes) -> None:
    if content == b"":
        assert decode(content) == []
        return
    with pytest.raises(DamagedRecording, match="a segment is damaged"):
        decode(content)


def test_what_was_taken_back_keeps_its_place_and_retractions_stay() -> None:
    gone, kept = line(1, "gone", data={"text": "secret"}), line(2, "kept", data={"text": "hi"})
    retraction = line(3, "gone", "retract", data={"id": "other"})
    found = without_content([gone, kept, retraction], (b'{"id":"gone",',))
    assert found[1:] == [kept, retraction]
    assert b"secret" not in found[0]
    assert is_retraction(found[0])


def test_a_cleared_users_comments_are_gone_until_then() -> None:
    lines = [
        line(5, "a", user="ada", data={"text": "early"}),
        line(6, "b", user="ada", data={"text": "late"}),
        line(1, "c", user="bob", data={"text": "his"}),
        line(1, "d", "like", user="ada", data={"text": '"type":"comment"'}),
        b'{"type":"comment" nonsense',
    ]
    found = without_cleared(lines, {"ada": 5})
    assert found[1:] == lines[1:]
    assert b"early" not in found[0]


def test_a_user_is_named_by_what_is_theirs_and_by_sums() -> None:
    sums = line(1, "s", "likes", data={"users": ["ada", "bob"], "total": {"heart": 2}})
    theirs = line(1, "c", user="ada", data={"text": "hi"})
    act = line(1, "m", "pin", by="ada", data={"text": "x"})
    for each in (sums, theirs, act):
        assert is_of(each, "ada")
        assert not is_of(each, "eve")
    for other in (b"nonsense", b"[]", line(1, "x", "like", data={"users": ["ada"]})):
        assert not is_of(other, "ada")
    left = [json.loads(each) for each in erased([sums, theirs, act, b"nonsense"][:3], "ada")]
    assert left[0]["data"] == {"users": ["bob"], "total": {"heart": 2}}
    assert left[1]["type"] == "retract"
    assert left[2]["data"] == {"text": "x"}
    assert "by" not in left[2]
    assert "ada" not in json.dumps(left)
    assert erased([sums], "eve") == [sums]


def test_a_retraction_of_the_user_keeps_the_id_it_retracts() -> None:
    retraction = line(1, "r", "retract", user="ada", by="ada", data={"id": "c"})
    [left] = erased([retraction], "ada")
    assert json.loads(left) == {"id": "r", "video": "v", "type": "retract", "at": 1, "data": {"id": "c"}}
