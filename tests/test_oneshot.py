"""A result that one task sets and another waits for."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from liveserver.errors import Unavailable
from liveserver.oneshot import Oneshot


async def test_a_waiting_task_gets_the_value() -> None:
    pending = Oneshot[int]()
    answers: list[int] = []

    async def ask() -> None:
        answers.append(await pending.wait())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        assert answers == []
        pending.resolve(7)
    assert answers == [7]


async def test_an_exception_is_raised_where_one_waits() -> None:
    pending = Oneshot[int]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_refused, pending)
        await trio.testing.wait_all_tasks_blocked()
        pending.resolve(Unavailable("not now"))


async def _refused(pending: Oneshot[int]) -> None:
    with pytest.raises(Unavailable, match="not now"):
        await pending.wait()


async def test_a_cancelled_waiter_is_not_woken() -> None:
    pending = Oneshot[int]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pending.wait)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    pending.resolve(7)
