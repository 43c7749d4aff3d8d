"""The queues of hooks in memory, by a virtual clock."""

from __future__ import annotations

from liveserver.bus.hook_queue import Progress
from liveserver.bus.memory.hook_queue import MemoryHookQueue
from tests.bus.test_hook_queue import message


async def test_leases_and_postponements_end_by_the_clock() -> None:
    now = [100.0]
    queue = MemoryHookQueue(lambda: now[0], 10)
    assert await queue.lead("a", 10.0)
    assert await queue.put("a", [message("m1")], Progress()) == 0
    await queue.postpone("site", "v", 5.0)
    now[0] += 4.9
    assert (await queue.due("site", 10)).videos == []
    now[0] += 0.2
    assert (await queue.due("site", 10)) == (105_100, ["v"])
    assert not await queue.lead("b", 10.0)
    now[0] += 5
    assert await queue.put("a", [message("m2")], Progress()) is None, "its lease has ended"
    assert await queue.lead("b", 10.0)
    assert not await queue.lead("a", 10.0)
