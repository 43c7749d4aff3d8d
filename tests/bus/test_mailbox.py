"""A bounded buffer of batches, whose listener is notified when something may be missing."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from liveserver.bus.mailbox import Mailbox
from liveserver.event import Batch
from liveserver.viewer_count import ViewerCount


def batches(*numbers: int) -> list[Batch]:
    return [Batch("v", "e", number, "dc1", "e", number, [b"like {}"]) for number in numbers]


async def received(mailbox: Mailbox) -> list[int]:
    return [batch.first for batch in await anext(mailbox)]


async def test_batches_come_together_and_in_order(autojump_clock: MockClock) -> None:
    mailbox = Mailbox(10)
    mailbox.put(batches(1, 2))
    mailbox.put(batches(3))
    assert await received(mailbox) == [1, 2, 3]
    with trio.move_on_after(60) as waiting:
        await anext(mailbox)
    assert waiting.cancelled_caught, "there is nothing more, and nothing was missed"


async def test_batches_that_do_not_fit_are_dropped_and_reported_behind_the_queued_ones() -> None:
    mailbox = Mailbox(3)
    mailbox.put(batches(1, 2))
    mailbox.put(batches(3, 4, 5))
    assert mailbox.statistics() == type(mailbox.statistics())(waiting=3, received=5, dropped=2)
    assert await received(mailbox) == [1, 2, 3]
    mailbox.put(batches(6))
    assert await anext(mailbox) == []
    assert await received(mailbox) == [6]


async def test_a_miss_without_batches_is_reported_once_and_immediately(autojump_clock: MockClock) -> None:
    mailbox = Mailbox(3)
    mailbox.mark_missed()
    mailbox.mark_missed()
    assert await anext(mailbox) == []
    with trio.move_on_after(60) as waiting:
        await anext(mailbox)
    assert waiting.cancelled_caught


async def test_a_listener_that_waits_is_woken() -> None:
    mailbox = Mailbox(3)
    found: list[list[int]] = []

    async def listen() -> None:
        found.append(await received(mailbox))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        await wait_all_tasks_blocked()
        mailbox.put(batches(1))
    assert found == [[1]]


async def test_once_closed_iteration_ends_whatever_is_waiting() -> None:
    mailbox = Mailbox(3)
    mailbox.put(batches(1))
    mailbox.close()
    with pytest.raises(StopAsyncIteration):
        await anext(mailbox)


async def test_counts_are_passed_on_at_once() -> None:
    found: list[ViewerCount] = []
    mailbox = Mailbox(2, None, found.append)
    mailbox.put_counts(
        [ViewerCount("v", "dc1", 1, 1), ViewerCount("v", "dc1", 2, 2), ViewerCount("w", "dc1")]
    )
    assert [(count.video, count.total) for count in found] == [("v", 2), ("w", 0)], "only the newest of each"
    mailbox.close()
    mailbox.put_counts([ViewerCount("v", "dc1", 3, 3)])
    assert len(found) == 2


async def test_counts_of_more_videos_than_fit_wait_for_the_next_announcement() -> None:
    found: list[str] = []
    mailbox = Mailbox(2, None, lambda count: found.append(count.video))
    mailbox.put_counts([ViewerCount(name, "dc1") for name in "abcd"])
    assert found == ["a", "b"]


async def test_threads_fill_it_and_trio_is_woken_once() -> None:
    counts: list[int] = []
    mailbox = Mailbox(1_000, trio.lowlevel.current_trio_token(), lambda count: counts.append(count.total))

    def fill() -> None:
        for number in range(1, 101):
            mailbox.put(batches(number))
        mailbox.put_counts([ViewerCount("v", "dc1", 7, 7)])

    await trio.to_thread.run_sync(fill)
    found: list[int] = []
    while len(found) < 100:
        found += await received(mailbox)
    assert found == list(range(1, 101))
    await wait_all_tasks_blocked()
    assert counts == [7]


def test_after_the_end_of_trio_a_thread_may_still_put() -> None:
    made: list[Mailbox] = []

    async def main() -> None:
        made.append(Mailbox(3, trio.lowlevel.current_trio_token()))

    trio.run(main)
    made[0].put(batches(1))
    assert made[0].statistics().received == 1
