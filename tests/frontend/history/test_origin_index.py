"""The index of an origin's events, held against a plain list of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from liveserver.frontend.history.origin_index import EpochIndex, NumberRange

STEPS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(1, 4)), min_size=1, max_size=8)


@given(STEPS, st.integers(0, 40), st.integers(0, 40))
def test_numbers_are_found_as_in_a_plain_list(
    steps: list[tuple[int, int, int]], base: int, wanted: int
) -> None:
    """Each step skips so many numbers and positions, and adds so many events."""
    index: EpochIndex | None = None
    plain: list[tuple[int, int]] = []
    number = position = 0
    for skipped_numbers, skipped_positions, count in steps:
        number += skipped_numbers
        position += skipped_positions
        if index is None:
            index = EpochIndex("e", [NumberRange(number, position, count)])
        else:
            index.extend(number, position, count)
        plain += [(number + each, position + each) for each in range(count)]
        number += count
        position += count
    assert index is not None
    index.trim(base)
    plain = [each for each in plain if each[1] >= base]
    assert [
        (held.number + each, held.position + each) for held in index.ranges for each in range(held.length)
    ] == plain
    if not plain:
        return
    assert (index.start, index.end) == (plain[0][1], plain[-1][1] + 1)
    behind, following = index.after(wanted)
    later = [each for each in plain if each[0] > wanted]
    earlier = [each for each in plain if each[0] <= wanted]
    assert (following and (following.number, following.position)) == (later[0] if later else None)
    assert behind == (earlier[-1][1] + 1 if earlier else None)


def test_consecutive_events_are_one_range() -> None:
    index = EpochIndex("e", [NumberRange(5, 10, 2)])
    index.extend(7, 12, 3)
    assert index.ranges == [NumberRange(5, 10, 5)]
    index.extend(10, 16, 1)
    assert len(index.ranges) == 2
