"""Events that a log of the memory bus holds: the newest, in order, and what is lost is known."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from liveserver.bus.memory.retained import RetainedBatches, merged
from liveserver.event import Batch

MUCH = 1 << 20  # bytes


def batch(first: int, count: int) -> Batch:
    lines = [b"t %d" % offset for offset in range(first, first + count)]
    return Batch("v", "e", first, "dc1", "e", first, lines)


def offsets(batches: list[Batch]) -> list[int]:
    """Return the offsets of all lines; each line says its own."""
    found = [each.first + index for each in batches for index in range(len(each.lines))]
    assert [b"t %d" % offset for offset in found] == [line for each in batches for line in each.lines]
    return found


@given(st.lists(st.integers(1, 5), max_size=10), st.integers(1, 12), st.integers(0, 50))
def test_the_newest_are_held(sizes: list[int], limit: int, after: int) -> None:
    held = RetainedBatches(limit, MUCH, is_dense=True)
    end = 0
    for size in sizes:
        held.append(batch(end + 1, size), 0.0)
        end += size
    assert held.lost == max(0, end - limit)
    assert offsets(held.after(after, 1000)) == list(range(max(held.lost, after) + 1, end + 1))


@given(st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=5), max_size=10), st.integers(1, 100))
def test_lines_are_bounded_in_bytes(batches: list[list[int]], most: int) -> None:
    held, lines = RetainedBatches(1000, most, is_dense=True), list[bytes]()
    for sizes in batches:
        new = [b"x" * size for size in sizes]
        held.append(Batch("v", "e", len(lines) + 1, "dc1", "e", len(lines) + 1, new), 0.0)
        lines += new
    newest = [line for each in held.after(0, 1000) for line in each.lines]
    assert newest == lines[len(lines) - len(newest) :]
    assert held.lost == len(lines) - len(newest)
    assert sum(map(len, newest)) <= most or len(newest) == 1
    one_more = lines[len(lines) - len(newest) - 1 :]
    assert len(newest) == len(lines) or sum(map(len, one_more)) > most


def test_bytes_that_were_trimmed_are_free_again() -> None:
    held = RetainedBatches(100, 40, is_dense=True)
    held.append(batch(1, 10), 1.0)  # of 31 bytes
    held.trim(1.0)
    held.append(batch(11, 10), 2.0)  # of 40 bytes
    assert offsets(held.after(0, 100)) == list(range(11, 21))


def test_old_events_are_dropped() -> None:
    held = RetainedBatches(100, MUCH, is_dense=True)
    for first, now in ((1, 1.0), (3, 2.0), (5, 3.0)):
        held.append(batch(first, 2), now)
    held.trim(2.0)
    assert held.lost == 4
    assert offsets(held.after(0, 100)) == [5, 6]


def test_a_read_is_bounded() -> None:
    held = RetainedBatches(100, MUCH, is_dense=True)
    for first in (1, 3, 5):
        held.append(batch(first, 2), 0.0)
    assert offsets(held.after(1, 2)) == [2, 3, 4]  # the last batch as a whole


def test_both_kinds_are_read_in_order_in_few_batches() -> None:
    read = merged([batch(1, 2), batch(5, 1)], [batch(3, 2), batch(9, 3)], 6)
    assert offsets(read) == [1, 2, 3, 4, 5, 9]
    assert [each.first for each in read] == [1, 9]
