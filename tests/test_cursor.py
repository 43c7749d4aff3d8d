"""Cursors: rendering and parsing are inverse; other text is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveserver.cursor import MAX_BYTES, Cursor, CursorError, Mark, is_newer_epoch

_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
origins = st.text(_CHARACTERS, min_size=1, max_size=16)
epochs = st.text(_CHARACTERS, min_size=1, max_size=12)
numbers = st.integers(0, 10**15 - 1)
marks = st.builds(Mark, epochs, numbers)
cursors = st.builds(lambda tree: Cursor(tree.items()), st.dictionaries(origins, marks, max_size=5))
few_origins = st.sampled_from(["dc1", "dc2", "dc10", "d", "a"])
few_marks = st.builds(Mark, st.text("ab", min_size=1, max_size=2), st.integers(0, 9))
short_cursors = st.builds(lambda tree: Cursor(tree.items()), st.dictionaries(few_origins, few_marks))


@given(cursors.filter(lambda cursor: 0 < len(str(cursor)) <= MAX_BYTES))
def test_a_written_cursor_is_read_back(cursor: Cursor) -> None:
    again = Cursor.parse(str(cursor))
    assert again == cursor
    assert (str(again), hash(again), repr(again)) == (str(cursor), hash(cursor), repr(cursor))


@given(st.text("dc12-~09a", max_size=40) | st.text(max_size=40))
def test_only_what_would_be_written_is_read(text: str) -> None:
    try:
        cursor = Cursor.parse(text)
    except CursorError:
        return
    assert str(cursor) == text


@pytest.mark.parametrize(
    "text",
    [
        "", "dc1", "dc1-a", "dc1-a-", "dc1-a-01", "dc1-a--1", "dc1-a-+1", "dc1-a-1~", "~dc1-a-1",
        "dc1-a-1~~dc2-b-1",
        "dc1-a-1\n", " dc1-a-1", "DC1-a-1", "dc1-A-1", "dc1-a-1_0", "dc1-a-١", "dc1-a-1e3",
        "dc1-a-1000000000000000",
        "dc2-a-1~dc1-a-1", "dc1-a-1~dc1-a-1", "dc1-a-1~dc1-b-2", "now", "earliest",
        "a" * 17 + "-a-1", "dc1-" + "a" * 13 + "-1", "~".join(f"dc{i}-aaaaaaaaaa-1" for i in range(1, 9)),
    ],
)  # fmt: skip
def test_malformed(text: str) -> None:
    with pytest.raises(CursorError):
        Cursor.parse(text)


def test_the_longest() -> None:
    text = "~".join(f"dc{i}-aaaaaaaaa-{10**6 + i}" for i in range(1, 5))
    text += "~" + "e" * 16 + "-" + "f" * 12 + "-0"
    assert len(text) <= MAX_BYTES
    assert str(Cursor.parse(text)) == text


@given(short_cursors, st.sampled_from(["dc1", "dc2", "dc10", "d", "zz"]), epochs, numbers)
def test_around_is_advanced(cursor: Cursor, origin: str, epoch: str, number: int) -> None:
    before, after = cursor.around(origin, epoch)
    assert before + str(number) + after == str(cursor.advanced(origin, epoch, number))


@given(cursors, origins, epochs, numbers)
def test_advanced_changes_one_origin(cursor: Cursor, origin: str, epoch: str, number: int) -> None:
    text = str(cursor)
    after = cursor.advanced(origin, epoch, number)
    assert after.get(origin) == Mark(epoch, number)
    assert {**dict(cursor), origin: Mark(epoch, number)} == dict(after)
    assert [name for name, _ in after] == sorted(dict(after))
    assert str(cursor) == text


@given(
    short_cursors, st.sampled_from(["dc1", "dc2"]), st.text("ab", min_size=1, max_size=1), st.integers(0, 9)
)
def test_covers(cursor: Cursor, origin: str, epoch: str, number: int) -> None:
    mark = cursor.get(origin)
    assert cursor.covers(origin, epoch, number) == (
        mark is not None and mark[0] == epoch and mark[1] >= number
    )


@given(short_cursors, short_cursors)
def test_merged_has_seen_what_either_has(one: Cursor, other: Cursor) -> None:
    both = one.merged(other)
    for origin, (epoch, number) in one:
        assert both.covers(origin, epoch, number)
    for origin, (epoch, number) in other:
        mine = one.get(origin)
        assert both.covers(origin, epoch, number) or (mine is not None and mine.epoch != epoch)
    assert both.merged(one) == both
    assert one.merged(one) == one
    assert one.merged(Cursor()) == Cursor().merged(one) == one


ordered_marks = st.builds(Mark, st.sampled_from(["0aaaaaaa", "0aaaaaab", "0aaaaaac"]), st.integers(0, 5))
ordered_cursors = st.builds(lambda tree: Cursor(tree.items()), st.dictionaries(few_origins, ordered_marks))


@given(ordered_cursors, ordered_cursors)
def test_the_newer_of_two_ordered_epochs_wins(one: Cursor, other: Cursor) -> None:
    both = one.merged(other)
    assert both == other.merged(one)
    for origin, mark in both:
        assert mark == max(each for each in (one.get(origin), other.get(origin)) if each is not None)


def test_the_empty_cursor_is_read_where_it_is_trusted_only() -> None:
    assert Cursor.parse_trusted(str(Cursor())) == Cursor()
    with pytest.raises(CursorError):
        Cursor.parse("")


def test_without_takes_one_origin_away() -> None:
    cursor = Cursor([("dc1", Mark("a", 1)), ("dc2", Mark("b", 2))])
    assert str(cursor.without("dc1")) == "dc2-b-2"
    assert cursor.without("dc3") == cursor
    assert is_newer_epoch("a", "b") is None


def test_a_cursor_is_equal_to_cursors_only() -> None:
    assert Cursor() != ""
    assert Cursor([("a", Mark("x", 1))]) != Cursor([("a", Mark("x", 2))])
