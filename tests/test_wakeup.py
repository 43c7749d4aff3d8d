"""A wake-up is not lost, and wakes once."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from liveserver.wakeup import Wakeup


async def test_a_wakeup_wakes_the_waiting_task(nursery: trio.Nursery) -> None:
    wakeup, woken = Wakeup(), trio.Event()

    async def wait() -> None:
        await wakeup.wait()
        woken.set()

    nursery.start_soon(wait)
    await trio.testing.wait_all_tasks_blocked()
    assert not woken.is_set()
    wakeup.set()
    await woken.wait()


async def test_set_before_the_wait_it_returns_at_once_and_only_once(autojump_clock: MockClock) -> None:
    wakeup = Wakeup()
    wakeup.set()
    wakeup.set()
    await wakeup.wait()
    with pytest.raises(trio.TooSlowError), trio.fail_after(10):
        await wakeup.wait()


async def test_at_its_deadline_it_returns_and_is_armed_again(autojump_clock: MockClock) -> None:
    wakeup, begun = Wakeup(), trio.current_time()
    await wakeup.wait(begun + 5)
    assert trio.current_time() - begun == 5
    wakeup.set()
    await wakeup.wait(begun + 9)
    assert trio.current_time() - begun == 5
