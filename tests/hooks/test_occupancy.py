"""Which videos have viewers, by what nodes report, and by what they do not."""

from __future__ import annotations

from typing import Any

import msgspec
import trio
from trio.testing import MockClock

from liveserver.hooks.collector import Collector
from tests.hooks.harness import Stage, settings


async def kinds(stage: Stage, collector: Collector) -> list[tuple[str, int]]:
    """The messages since the last call."""
    await collector.collect()
    found: list[tuple[str, int]] = []
    for video in (await stage.queue.due("site", 100)).videos:
        for entry in await stage.queue.next("site", video, 100):
            await stage.queue.done("site", video, [entry])
            data: dict[str, Any] = msgspec.json.decode(entry.body)
            assert data["data"]["datacenter"] == "dc1"
            found.append((f"{data['type']} {data['data']['video']}", data["data"]["viewers"]))
    return found


async def test_occupied_and_vacated_after_the_last_one_has_left(autojump_clock: MockClock) -> None:
    stage = Stage(settings(vacated_after="5s"))
    collector = await stage.lead()
    await stage.bus.subscribe("fe1", {"v": 2, "empty": 0}, 30.0)
    assert await kinds(stage, collector) == [("video.occupied v", 2)]
    await stage.bus.subscribe("fe2", {"v": 1}, 30.0)
    await stage.bus.unsubscribe("fe1", ["v"])
    assert await kinds(stage, collector) == []
    await trio.sleep(6)
    assert await kinds(stage, collector) == [], "fe2 still has a viewer"
    await stage.bus.subscribe("fe2", {"v": 0}, 30.0)
    assert await kinds(stage, collector) == []
    await trio.sleep(4)
    await stage.bus.subscribe("fe2", {"v": 1}, 30.0)
    await trio.sleep(2)
    assert await kinds(stage, collector) == [], "it has come back within five seconds"
    await stage.bus.unsubscribe("fe2", ["v"])
    await kinds(stage, collector)
    await trio.sleep(5)
    assert await kinds(stage, collector) == [("video.vacated v", 0)]
    await stage.bus.subscribe("fe2", {"v": 3}, 30.0)
    assert await kinds(stage, collector) == [("video.occupied v", 3)]


async def test_vacated_when_the_leases_of_a_node_that_crashed_end(autojump_clock: MockClock) -> None:
    stage = Stage()
    collector = await stage.lead()
    await stage.bus.subscribe("fe1", {"v": 1}, 30.0)
    assert await kinds(stage, collector) == [("video.occupied v", 1)]
    found: list[tuple[str, int]] = []
    seconds = 0
    while not found:
        await trio.sleep(1)
        seconds += 1
        found = await kinds(stage, collector)
    assert found == [("video.vacated v", 0)]
    assert 30 <= seconds <= 40


async def test_another_leader_knows_what_is_occupied(autojump_clock: MockClock) -> None:
    stage = Stage()
    first = await stage.lead("a")
    await stage.bus.subscribe("fe1", {"v": 1, "w": 1}, 30.0)
    assert len(await kinds(stage, first)) == 2
    await stage.queue.resign("a")
    second = await stage.lead("b")
    await stage.bus.unsubscribe("fe1", ["w"])
    assert await kinds(stage, second) == []
    await trio.sleep(6)
    assert await kinds(stage, second) == [("video.vacated w", 0)]


async def test_what_is_reported_is_bounded_and_only_if_it_is_wanted(autojump_clock: MockClock) -> None:
    stage = Stage(settings(occupied_videos=2))
    collector = await stage.lead()
    await stage.bus.subscribe("fe1", {f"v{number}": 1 for number in range(5)} | {"canary.fe1": 1}, 30.0)
    assert len(await kinds(stage, collector)) == 2
    assert collector.occupancy is not None
    assert collector.occupancy.omitted == 3
    unwanted = Stage(settings({"site": {"events": ["comment.*"]}})).collector()
    assert unwanted.occupancy is None


async def test_viewers_elsewhere_count_unless_only_this_datacenter_s_do(autojump_clock: MockClock) -> None:
    from liveserver.viewer_count import ViewerCount

    for origins, expected in (("all", [("video.occupied v", 4)]), ("own", [])):
        stage = Stage(settings(origins=origins))
        collector = await stage.lead()
        await stage.bus.note_peer_counts([ViewerCount("v", "dc2", 4, 4, 30.0)])
        assert await kinds(stage, collector) == expected
