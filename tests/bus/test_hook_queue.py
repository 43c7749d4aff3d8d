"""The contract of hook_queue.py for every bus: one leader, atomic, ordered, bounded."""

from __future__ import annotations

import pytest

from liveserver.bus.hook_queue import HookMessage, HookQueue, Progress
from tests.bus.harness import WholeBus
from tests.conftest import Until


@pytest.fixture
def queue(bus: WholeBus) -> HookQueue:
    return bus.hook_queue(60.0, 6)


def message(name: str, video: str = "v", endpoint: str = "site") -> HookMessage:
    return HookMessage(endpoint, video, name, b'{"of":"%b"}' % name.encode())


async def names(queue: HookQueue, video: str = "v", endpoint: str = "site") -> list[str]:
    found = await queue.next(endpoint, video, 100)
    return ["gap" if entry.is_gap else entry.id for entry in found]


async def test_one_node_leads_until_its_lease_ends(queue: HookQueue, until: Until) -> None:
    assert await queue.lead("a", 30.0)
    assert not await queue.lead("b", 0.1)
    assert await queue.lead("a", 0.1), "the leader renews its lease"

    async def b_leads() -> bool:
        return await queue.lead("b", 30.0)

    await until(b_leads)
    assert not await queue.lead("a", 30.0)
    await queue.resign("a")  # of no effect: it does not lead
    assert not await queue.lead("a", 30.0)
    await queue.resign("b")

    async def a_leads() -> bool:
        return await queue.lead("a", 30.0)

    await until(a_leads)


async def test_only_the_leader_queues_and_moves_positions(bus: WholeBus) -> None:
    queue = bus.hook_queue(60.0, 6)
    progress = Progress({"v": "epoch 3 dc1-epoch-3"}, ["v", "w"])
    assert await queue.put("a", [message("m1")], progress) is None
    assert await queue.positions(["v"]) == {"v": ""}
    assert await names(queue) == []
    assert await queue.lead("a", 30.0)
    assert await queue.put("a", [message("m1")], progress) == 0
    assert await queue.positions(["v", "w"]) == {"v": "epoch 3 dc1-epoch-3", "w": ""}
    assert await queue.occupied() == {"v", "w"}
    assert await queue.put("a", [], Progress(vacated=["w"])) == 0
    assert await queue.occupied() == {"v"}
    assert await queue.put("b", [message("m2")], Progress()) is None


async def test_messages_leave_in_order_and_only_the_first_one(queue: HookQueue, until: Until) -> None:
    await queue.lead("a", 30.0)
    await queue.put("a", [message("m1"), message("m2"), message("n1", "w")], Progress())
    assert await queue.waiting(["site", "other"]) == {"site": 3, "other": 0}
    assert set((await queue.due("site", 10)).videos) == {"v", "w"}
    assert (await queue.due("other", 10)).videos == []
    first, second = await queue.next("site", "v", 10)
    assert (first.id, first.body) == ("m1", b'{"of":"m1"}')
    await queue.done("site", "v", [second])  # not the first: a node that led before may say so
    assert await names(queue) == ["m1", "m2"]
    await queue.done("site", "v", [first])
    await queue.done("site", "v", [first])
    assert await names(queue) == ["m2"]
    await queue.postpone("site", "v", 0.2)
    await queue.postpone("site", "unknown", 0.2)
    assert (await queue.due("site", 10)).videos == ["w"]

    async def is_due_again() -> bool:
        return "v" in (await queue.due("site", 10)).videos

    await until(is_due_again)
    await queue.done("site", "v", [second])
    assert (await queue.due("site", 10)).videos == ["w"]
    assert await queue.waiting(["site"]) == {"site": 1}


async def test_batches_that_do_not_fit_leave_one_gap(bus: WholeBus) -> None:
    queue = bus.hook_queue(60.0, 6)
    await queue.lead("a", 30.0)
    many = [message(f"m{number}") for number in range(9)]
    assert await queue.put("a", [*many, message("x", endpoint="other")], Progress()) == 3
    assert await names(queue) == [*(f"m{number}" for number in range(6)), "gap"]
    assert await names(queue, endpoint="other") == ["x"], "another endpoint has room of its own"
    for entry in await queue.next("site", "v", 4):
        await queue.done("site", "v", [entry])
    assert await queue.put("a", [message("later")], Progress()) == 0
    assert await names(queue) == ["m4", "m5", "gap", "later"]


async def test_dropped_batches_leave_one_gap_in_their_place(bus: WholeBus) -> None:
    queue = bus.hook_queue(60.0, 6)
    await queue.lead("a", 30.0)
    await queue.put("a", [message(f"m{number}") for number in range(5)], Progress())
    first, second, *_ = await queue.next("site", "v", 3)
    await queue.done("site", "v", [first, second], leave_gap=True)
    assert await names(queue) == ["gap", "m2", "m3", "m4"]
    gap, third, fourth = await queue.next("site", "v", 3)
    await queue.done("site", "v", [gap, third], leave_gap=True)
    assert await names(queue) == ["gap", "m3", "m4"]
    await queue.done("site", "v", [fourth], leave_gap=True)  # not the first
    gap, *_ = await queue.next("site", "v", 1)
    await queue.done("site", "v", [gap, first], leave_gap=False)
    assert await names(queue) == ["m3", "m4"]
    assert await queue.waiting(["site"]) == {"site": 2}


async def test_endpoints_are_disabled_until_they_are_enabled(bus: WholeBus) -> None:
    queue = bus.hook_queue(60.0, 6)
    await queue.disable("site", "url")
    assert await queue.disabled() == {"site": "url"}
    await queue.enable("site")
    assert await queue.disabled() == {}
