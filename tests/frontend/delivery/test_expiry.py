"""Connections whose grants expire, taken by the second, without a timer each."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from liveserver.frontend.delivery.expiry import Expiries
from liveserver.transport.form import Reason


class Held:
    """A connection with a grant."""

    is_gone = False

    def __init__(self, until: float) -> None:
        self.until = until

    def disconnect(self, reason: Reason, retry: int) -> None:
        raise AssertionError("only the fan-out disconnects")


def test_a_grant_is_over_in_the_second_after_it_ends_never_before() -> None:
    expiries, one = Expiries(), Held(10.2)
    assert expiries.next_at == math.inf
    expiries.add(one)
    assert expiries.next_at == 11
    assert expiries.take_due(10.99, 9) == []
    assert expiries.take_due(11, 9) == [one]
    assert (expiries.take_due(99, 9), expiries.next_at) == ([], math.inf)


def test_grants_without_an_end_are_not_kept() -> None:
    expiries, lasting = Expiries(), Held(math.inf)
    expiries.add(lasting)
    expiries.discard(lasting)
    assert expiries.next_at == math.inf


def test_so_many_are_taken_at_once_and_the_rest_is_still_due() -> None:
    expiries = Expiries()
    for _ in range(5):
        expiries.add(Held(3.0))
    expiries.add(Held(2.0))
    first = expiries.take_due(9.0, 4)
    assert (first[0].until, len(first), expiries.next_at) == (2.0, 4, 3)
    assert len(expiries.take_due(9.0, 4)) == 2


def test_viewers_that_left_do_not_expire_and_hold_no_memory() -> None:
    expiries, leaver, stayer = Expiries(), Held(1.5), Held(7.5)
    expiries.add(leaver)
    expiries.add(stayer)
    expiries.discard(leaver)
    expiries.discard(leaver)
    assert expiries.next_at == 8
    expiries.discard(Held(1.7))
    assert expiries.take_due(99.0, 9) == [stayer]
    assert not expiries._expirables
    assert not expiries._seconds


@given(
    st.lists(st.tuples(st.floats(0, 20), st.booleans()), max_size=30),
    st.lists(st.floats(0, 25), max_size=6).map(sorted),
)
def test_each_that_stays_is_taken_once_and_in_time(
    grants: list[tuple[float, bool]], looks: list[float]
) -> None:
    expiries, held = Expiries(), [(Held(until), leaves) for until, leaves in grants]
    for each, _ in held:
        expiries.add(each)
    for each, leaves in held:
        if leaves:
            expiries.discard(each)
    taken: list[object] = []
    for now in [*looks, 30.0]:
        due = expiries.take_due(now, 1_000)
        assert all(each.until <= now for each in due)
        taken += due
        assert not any(
            math.ceil(each.until) <= now for each, leaves in held if not leaves and each not in taken
        )
    assert len(taken) == len(set(map(id, taken))) == sum(not leaves for _, leaves in held)
