"""The bounded mapping."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from liveserver.lru import LRU


def test_the_least_recently_used_entry_is_dropped() -> None:
    lru = LRU[str, int](2)
    lru.put("a", 1)
    lru.put("b", 2)
    assert lru.get("a") == 1
    assert lru.peek("b") == 2  # which does not count as a use
    lru.put("c", 3)
    assert "b" not in lru
    assert (lru.get("b"), list(lru), list(reversed(lru))) == (None, ["a", "c"], ["c", "a"])
    lru.put("a", 4)
    lru.remove("c")
    lru.remove("c")
    assert (len(lru), lru.get("a")) == (1, 4)
    lru.clear()
    assert len(lru) == 0


def test_a_smaller_size_holds_from_the_next_entry_on() -> None:
    lru = LRU[int, int](9)
    for number in range(9):
        lru.put(number, number)
    lru.size = 2
    lru.put(9, 9)
    assert list(lru) == [8, 9]


@given(st.integers(1, 5), st.lists(st.tuples(st.booleans(), st.integers(0, 7))))
def test_it_holds_the_entries_used_last(size: int, uses: list[tuple[bool, int]]) -> None:
    lru, order = LRU[int, int](size), list[int]()
    for is_put, key in uses:
        if is_put or key in order:
            if key in order:
                order.remove(key)
            order.append(key)
            del order[:-size]
        if is_put:
            lru.put(key, key)
        else:
            lru.get(key)
        assert list(lru) == order
