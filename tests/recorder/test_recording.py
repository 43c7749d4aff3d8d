"""Each event is recorded once, in the same bytes however it was read, and no retracted content."""

from __future__ import annotations

import gzip
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from liveserver import state
from liveserver.bus.interface import Head, Slice
from liveserver.cursor import Cursor
from liveserver.event import Batch
from liveserver.recorder.directory import Directory
from liveserver.recorder.recording import Recording
from liveserver.recorder.segments import DamagedRecording
from liveserver.recorder.store import ObjectStore

BEGIN = 1_763_862_000_000


def event(number: int, at: int = 0, kind: str = "comment", **more: Any) -> bytes:
    said = {"id": f"e{number}", "video": "v", "type": kind, "at": BEGIN + at} | more
    return f"{kind} ".encode() + msgspec.json.encode(said)


def retraction(number: int, target: int, at: int = 0) -> bytes:
    return event(number, at, "retract", data={"id": f"e{target}"})


def part(
    lines: Sequence[bytes], first: int = 1, *, epoch: str = "aaa", oldest: int = 1, origin: str = "dc1"
) -> Slice:
    last = first + len(lines) - 1
    head = Head(epoch, last, Cursor.parse(f"{origin}-{epoch}-{last}"))
    return Slice(head, oldest, [Batch("v", epoch, first, origin, epoch, first, list(lines))])


def recording(directory: Path, stretch: float = 10.0) -> Recording:
    return Recording(Directory(directory), "v", stretch)


def read(recorded: Recording) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for lines in recorded.between(0, float("inf")) for line in lines]


def ids(recorded: Recording) -> list[str]:
    return [each["id"] for each in read(recorded)]


def files(directory: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in (directory / "v").iterdir() if each.name != ".lock"}


def test_segments_are_gzipped_lines_and_the_index_says_where_things_are(tmp_path: Path) -> None:
    recorded = recording(tmp_path)
    index = recorded.append(
        part(
            [event(1, 0, position=500), event(2, 9_000), event(3, 21_000, position=21_500), event(4, 12_000)]
        )
    )
    assert [(each.events, each.first_at - BEGIN, each.last_at - BEGIN) for each in index.segments] == [
        (2, 0, 9_000),
        (2, 12_000, 21_000),  # the clocks of two dispatchers
    ]
    assert [(each.first_position, each.last_position) for each in index.segments] == [
        (500, 500),
        (21_500, 21_500),
    ]
    held = files(tmp_path)
    assert set(held) == {"index.json", *(each.file for each in index.segments)}
    lines = gzip.decompress(held[index.segments[0].file]).decode().splitlines()
    assert [msgspec.json.decode(line)["id"] for line in lines] == ["e1", "e2"]
    assert (index.epoch, index.offset, index.cursor) == ("aaa", 4, "dc1-aaa-4")
    assert recorded.index() == index


def test_the_same_part_again_changes_nothing(tmp_path: Path) -> None:
    recorded = recording(tmp_path)
    lines = [event(number, number * 1_000) for number in range(30)]
    recorded.append(part(lines))
    before = files(tmp_path)
    recorded.append(part(lines))
    recorded.append(part(lines[5:], 6))
    assert files(tmp_path) == before
    assert ids(recorded) == [f"e{number}" for number in range(30)]


def test_a_log_that_began_anew_doubles_nothing(tmp_path: Path) -> None:
    """Events of another datacenter are relayed again to a log that was lost."""
    recorded = recording(tmp_path)
    own, theirs = [event(1), event(2)], [event(11), event(12)]
    recorded.append(part(own))
    old = Batch("v", "aaa", 3, "dc2", "zzz", 1, theirs)
    recorded.append(Slice(Head("aaa", 4, Cursor()), 1, [old]))
    new = [
        Batch("v", "bbb", 1, "dc2", "zzz", 1, [*theirs, event(13)]),
        Batch("v", "bbb", 4, "dc1", "bbb", 1, [event(3)]),
    ]
    index = recorded.append(Slice(Head("bbb", 4, Cursor()), 1, new))
    assert ids(recorded) == ["e1", "e2", "e11", "e12", "e13", "e3"]
    assert (index.epoch, index.offset, index.cursor) == ("bbb", 4, "dc1-bbb-1~dc2-zzz-3")


def test_what_the_log_had_lost_is_reported(tmp_path: Path) -> None:
    recorded = recording(tmp_path)
    recorded.append(part([event(1)]))
    index = recorded.append(part([event(9)], 9, oldest=9))
    assert [each.gap for each in index.segments] == [False, True]
    index = recorded.append(
        Slice(Head("aaa", 10, Cursor()), 9, [Batch("v", "aaa", 10, "dc1", "aaa", 20, [event(20)])])
    )
    assert [each.gap for each in index.segments] == [False, True, True]


def test_what_is_internal_is_not_recorded(tmp_path: Path) -> None:
    recorded = recording(tmp_path)
    ban = state.head("ban", "ban/ada", None, BEGIN, is_cleared=False, is_internal=True)
    pin = state.head("pin", "pin", 3, BEGIN, is_cleared=False, is_internal=False)
    lines = [
        ban + b' {"id":"b","type":"ban","key":"ban/ada","at":1,"data":{"reason":"x"}}',
        pin + b' {"id":"p","video":"v","type":"pin","key":"pin","at":%d,"data":1}' % BEGIN,
        b'canary {"id":"c","video":"v","type":"canary","at":%d}' % BEGIN,
        event(1),
    ]
    assert recorded.append(part(lines[2:3])).segments == []
    assert not (tmp_path / "v").exists()
    recorded.append(part(lines))
    assert ids(recorded) == ["p", "e1"]


def test_a_retraction_rewrites_the_segment_that_it_touches(tmp_path: Path) -> None:
    recorded = recording(tmp_path)
    lines = [event(number, number * 5_000, data={"text": f"text {number}"}) for number in range(10)]
    first = recorded.append(part(lines))
    before = files(tmp_path)
    index = recorded.append(part([retraction(20, 4, 50_000)], 11))
    after = files(tmp_path)
    gone = {each.file for each in first.segments} - set(after)
    assert len(gone) == 1
    assert b"text 4" in gzip.decompress(before[gone.pop()])
    assert not any(b"text 4" in gzip.decompress(held) for name, held in after.items() if name != "index.json")
    shown = read(recorded)
    assert [each["type"] for each in shown if each["id"] == "e4"] == ["retract"]
    assert [each["data"] for each in shown if each["type"] == "retract"] == [{"id": "e4"}, {"id": "e4"}]
    assert len(index.segments) == 6


def test_a_retraction_may_come_before_its_event(tmp_path: Path) -> None:
    recorded = recording(tmp_path)
    recorded.append(part([retraction(1, 5)]))
    recorded.append(
        part([event(5, data={"text": "secret"}), event(5, 1, data={"text": "secret"}), event(6)], 2)
    )
    assert [each["type"] for each in read(recorded)] == ["retract", "retract", "retract", "comment"]


def cleared(user: str, at: int) -> bytes:
    head = state.head("clear", f"clear/{user}", None, BEGIN + at, is_cleared=False, is_internal=True)
    said = {"id": f"c{at}", "type": "clear", "key": f"clear/{user}", "at": BEGIN + at, "data": {"user": user}}
    return head + b" " + msgspec.json.encode(said)


def test_all_comments_of_a_user_are_taken_back(tmp_path: Path) -> None:
    lines = [
        event(1, 0, user="ada", data={"text": "mean"}),
        event(2, 1, user="bob", data={"text": "kind"}),
        event(3, 2, "like", user="ada", data={"reaction": "heart"}),
        cleared("ada", 5_000),
        event(4, 4_000, user="ada", data={"text": "mean, late"}),
        event(5, 6_000, user="ada", data={"text": "sorry"}),
    ]
    one, several = recording(tmp_path / "one"), recording(tmp_path / "several")
    one.append(part(lines))
    for at, line in enumerate(lines, 1):
        several.append(part([line], at))
    assert [each["type"] for each in read(one)] == ["retract", "comment", "like", "retract", "comment"]
    assert files(tmp_path / "one") == files(tmp_path / "several")


def test_an_older_clearing_that_comes_later_shows_nothing_again(tmp_path: Path) -> None:
    mean = event(1, 4_000, user="ada", data={"text": "mean"})
    lines = [event(9), cleared("ada", 5_000), cleared("ada", 1_000), mean]
    one, several = recording(tmp_path / "one"), recording(tmp_path / "several")
    one.append(part(lines))
    for at, line in enumerate(lines, 1):
        several.append(part([line], at))
    assert [each["type"] for each in read(one)] == ["comment", "retract"]
    assert files(tmp_path / "one") == files(tmp_path / "several")


@pytest.mark.parametrize("gone", [retraction(3, 1, 5_000), cleared("u", 5_000)])
def test_a_pin_of_a_comment_that_is_gone_has_no_text(gone: bytes, tmp_path: Path) -> None:
    mean = event(1, 0, user="u", data={"text": "mean"})
    head = state.head("pin", "pin", None, BEGIN + 1, is_cleared=False, is_internal=False)
    said = {"text": "mean", "comment": "e1", "user": "u"}
    pin = event(2, 1_000, "pin", key="pin", data=said).replace(b"pin", head, 1)
    one, several = recording(tmp_path / "one"), recording(tmp_path / "several")
    one.append(part([mean, gone, pin]))
    for at, each in enumerate([mean, pin, gone], 1):
        several.append(part([each], at))
    for recorded in (one, several):
        assert [each["data"] for each in read(recorded) if each["type"] == "pin"] == [None]
        assert "mean" not in str(read(recorded))


LINES = st.lists(
    st.tuples(
        st.sampled_from(["comment", "comment", "like", "retract"]),
        st.integers(-2_000, 9_000),
        st.integers(0, 40),
        st.booleans(),
    ),
    min_size=1,
    max_size=40,
)


def made(steps: list[tuple[str, int, int, bool]]) -> list[bytes]:
    at, lines = 0, []
    for number, (kind, later, target, is_old) in enumerate(steps):
        at += later
        if kind == "retract":
            lines.append(retraction(100 + number, target, at))
        elif is_old:  # done long before it was accepted
            lines.append(event(number, at - 60_000, kind, accepted=BEGIN + at, data={"text": "x"}))
        else:
            lines.append(event(number, at, kind, data={"text": "y"}))
    return lines


@hypothesis_settings(max_examples=hypothesis_settings().max_examples // 2)
@given(steps=LINES, cuts=st.lists(st.integers(1, 8), min_size=40, max_size=40))
def test_the_same_feed_gives_the_same_bytes_however_it_is_read(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int, bool]], cuts: list[int]
) -> None:
    lines = made(steps)
    whole, cut = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("cut")
    recording(whole).append(part(lines))
    at = 0
    for size in cuts:
        if lines[at : at + size]:
            recording(cut).append(part(lines[at : at + size], at + 1))
        at += size
    assert files(whole) == files(cut)


class Killed(BaseException):
    """The process ended."""


class MortalStore(Directory):
    """Ends before or after the `last`th change, or in the middle of it."""

    def __init__(self, root: Path, last: int, how: str) -> None:
        super().__init__(root)
        self.root, self.left, self.how = root, last, how

    def _die(self) -> bool:
        self.left -= 1
        return self.left == 0

    def write(self, name: str, content: bytes) -> None:
        dies = self._die()
        if dies and self.how == "before":
            raise Killed
        if dies and self.how == "within":
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_name(".writing-killed").write_bytes(content[: len(content) // 2])
            raise Killed
        super().write(name, content)
        if dies:
            raise Killed

    def delete(self, name: str) -> None:
        dies = self._die()
        if dies and self.how != "after":
            raise Killed
        super().delete(name)
        if dies:
            raise Killed


@pytest.mark.parametrize("how", ["before", "within", "after"])
def test_killed_at_any_step_each_event_is_there_once(tmp_path: Path, how: str) -> None:
    chance = random.Random(5)
    lines = [
        retraction(number, chance.randrange(number + 5), number * 700)
        if number % 7 == 3
        else event(number, number * 700, data={"text": f"t{number}"})
        for number in range(20)
    ]
    parts = [part(lines[at : at + 5], at + 1) for at in range(0, 20, 5)]
    never = tmp_path / "never"
    for each in parts:
        recording(never).append(each)
    for last in range(1, 24):
        directory = tmp_path / f"{how}-{last}"
        store: ObjectStore = MortalStore(directory, last, how)
        done = 0
        while done < len(parts):
            try:
                Recording(store, "v", 10.0).append(parts[done])
                done += 1
            except Killed:
                store = Directory(directory)
                index = Recording(store, "v", 10.0).index()
                assert index.offset in (done * 5, done * 5 + 5)
                assert len(ids(Recording(store, "v", 10.0))) == index.offset
        assert files(directory) == files(never)


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = recording(tmp_path)
    recorded.append(part([event(1)]))
    before = files(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            recorded.append(part([event(2)], 2))
        assert files(tmp_path) == before
    recorded.append(part([event(2)], 2))
    assert ids(recorded) == ["e1", "e2"]


def test_reading_between_times_and_positions(tmp_path: Path) -> None:
    recorded = recording(tmp_path)
    recorded.append(
        part([event(number, number * 1_000, position=number * 1_000 + 500) for number in range(60)])
    )

    def found(first: float, last: float, **by: bool) -> list[str]:
        return [
            msgspec.json.decode(line)["id"] for lines in recorded.between(first, last, **by) for line in lines
        ]

    assert found(BEGIN + 9_000, BEGIN + 12_000) == ["e9", "e10", "e11"]
    assert found(9_000, 12_000, by_position=True) == ["e9", "e10", "e11"]
    assert found(0, 0) == found(BEGIN + 60_000, float("inf")) == []


def test_a_segment_that_is_rewritten_while_it_is_read(tmp_path: Path) -> None:
    recorded = recording(tmp_path)
    recorded.append(part([event(number, number * 5_000) for number in range(6)]))
    reading = recorded.between(0, float("inf"))
    next(reading)
    recorded.append(part([retraction(9, 4, 26_000)], 7))
    rest = [msgspec.json.decode(line) for lines in reading for line in lines]
    assert [(each["id"], each["type"]) for each in rest] == [
        ("e2", "comment"), ("e3", "comment"), ("e4", "retract"), ("e5", "comment"), ("e9", "retract"),
    ]  # fmt: skip


def test_what_is_damaged_is_reported(tmp_path: Path) -> None:
    recorded = recording(tmp_path)
    index = recorded.append(part([event(1)]))
    segment = tmp_path / "v" / index.segments[0].file
    for content in (b"", b"no gzip", segment.read_bytes()[:-5]):
        segment.write_bytes(content)
        with pytest.raises(DamagedRecording, match="damaged"):
            read(recorded)
    segment.unlink()
    with pytest.raises(DamagedRecording, match="missing"):
        read(recorded)
    (tmp_path / "v" / "index.json").write_text("{}")
    with pytest.raises(DamagedRecording, match=r"index\.json"):
        recorded.index()


def test_a_users_data_is_exported_and_erased(tmp_path: Path) -> None:
    recorded = recording(tmp_path)
    sums = b'{"added":{"heart":2},"total":{"heart":9},"users":["ada","bob"]}'
    lines = [
        event(1, user="ada", data={"text": "mine"}, position=5),
        event(2, user="bob", data={"text": "about ada"}),
        event(3, 1, "likes", data=msgspec.Raw(sums)),
        event(4, 2, "retract", user="ada", data={"id": "e9"}),
    ]
    recorded.append(part(lines))
    assert [msgspec.json.decode(line)["id"] for line in recorded.of_user("ada")] == ["e1", "e3", "e4"]
    assert recorded.erase("ada") == 3
    assert list(recorded.of_user("ada")) == []
    shown = read(recorded)
    assert [each.get("user") for each in shown] == [None, "bob", None, None]
    assert shown[2]["data"] == {"added": {"heart": 2}, "total": {"heart": 9}, "users": ["bob"]}
    assert shown[3]["data"] == {"id": "e9"}
    assert b"mine" not in b"".join(
        map(gzip.decompress, (held for name, held in files(tmp_path).items() if "gz" in name))
    )
    assert recorded.erase("ada") == 0
    recorded.append(part([event(5)], 5))
    assert ids(recorded)[-1] == "e5"


def test_what_moderators_did_about_a_user_is_erased(tmp_path: Path) -> None:
    recorded = recording(tmp_path)
    recorded.append(
        part(
            [
                event(1, 0, "pin", key="pin", data={"text": "hers", "user": "ada"}),
                event(2, 0, "announcement", by="ada", data={"text": "to all"}),
                event(3, 0, "retract", by="ada", data={"id": "e9"}),
            ]
        )
    )
    assert len(list(recorded.of_user("ada"))) == 3
    assert recorded.erase("ada") == 3
    pin, announcement, retraction = read(recorded)
    assert (pin["type"], announcement["data"], retraction["data"]) == (
        "retract", {"text": "to all"}, {"id": "e9"},
    )  # fmt: skip
    assert b"ada" not in b"".join(
        gzip.decompress(held) if "gz" in name else held for name, held in files(tmp_path).items()
    )


@pytest.mark.parametrize("video", ["", "..", "../x", "a/b", ".v", "v\n"])
def test_names_that_are_no_videos(tmp_path: Path, video: str) -> None:
    with pytest.raises(ValueError, match="not a video"):
        Recording(Directory(tmp_path), video, 10.0)
