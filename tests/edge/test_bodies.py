"""The memory of bodies: counted as they come, given back as they go."""

from __future__ import annotations

import pytest

from liveserver.edge.bodies import SMALL, BodyMemory
from liveserver.errors import Unavailable


def test_small_bodies_are_not_counted() -> None:
    memory = BodyMemory(0)
    with memory.reserve() as body:
        body.add(SMALL)
        assert memory.used == 0
        with pytest.raises(Unavailable):
            body.add(1)


def test_large_bodies_are_counted_from_their_first_byte_until_they_end() -> None:
    memory = BodyMemory(3 * SMALL)
    with memory.reserve() as one:
        one.add(SMALL)
        one.add(SMALL)
        assert memory.used == 2 * SMALL
        with memory.reserve() as two, pytest.raises(Unavailable) as caught:
            two.add(2 * SMALL)
        assert caught.value.retry_after == 1
        assert memory.used == 2 * SMALL
    assert memory.used == 0


def test_a_body_that_fails_gives_its_memory_back() -> None:
    memory = BodyMemory(10 * SMALL)
    body = memory.reserve()
    with body:
        body.add(10 * SMALL)
        with pytest.raises(Unavailable):
            body.add(1)
    assert memory.used == 0
