"""The contract of interface.py for every bus: viewer counts."""

from __future__ import annotations

import trio

from liveserver.viewer_count import AudienceReport, AudienceSize, ViewerCount
from tests.bus.harness import WholeBus, append, contents, take
from tests.conftest import Until


class Ear:
    """Keeps what it hears: `(datacenter, total)` of each tally of one video."""

    def __init__(self, video: str = "v") -> None:
        self.tallies: list[ViewerCount] = []
        self._video = video
        self._heard = trio.Event()

    def __call__(self, tally: ViewerCount) -> None:
        if tally.video == self._video:
            self.tallies.append(tally)
            self._heard.set()
            self._heard = trio.Event()

    @property
    def numbers(self) -> list[tuple[int, int]]:
        return [(tally.datacenter, tally.total) for tally in self.tallies]

    async def wait(self, datacenter: int, total: int) -> None:
        with trio.fail_after(60):
            while (datacenter, total) not in self.numbers:
                await self._heard.wait()


async def announced(bus: WholeBus, node: str, viewers: int, lease: float = 30.0) -> tuple[int, int]:
    """Report as a frontend does, until it is not too early; return the count in the answer."""
    with trio.fail_after(60):
        while not (report := (await bus.subscribe(node, {"v": viewers}, lease))["v"]).is_announced:  # noqa: ASYNC110
            await trio.sleep(0.02)
        return report.viewers.datacenter, report.viewers.total


async def noted(bus: WholeBus, tally: ViewerCount) -> None:
    """As a relay notes: again, until it is not too early."""
    with trio.fail_after(60):
        while await bus.note_peer_counts([tally]) != [True]:  # noqa: ASYNC110
            await trio.sleep(0.02)


async def test_every_node_of_a_video_receives_its_viewer_count(bus: WholeBus) -> None:
    one, two, stranger = Ear(), Ear(), Ear()
    async with bus.inbox("n1", one), bus.inbox("n2", two), bus.inbox("n3", stranger):
        await bus.subscribe("n3", {"w": 1}, 30)
        await bus.subscribe("n2", {"v": 0}, 30)
        assert await announced(bus, "n1", 3) == (3, 3)
        await two.wait(3, 3)
        assert await announced(bus, "n2", 2) == (5, 5)
        await one.wait(5, 5)
        await two.wait(5, 5)
        assert (one.numbers, two.numbers, stranger.numbers) == ([(3, 3), (5, 5)], [(3, 3), (5, 5)], [])
        assert await bus.count("v") == ViewerCount("v", "dc1", 5, 5)
        assert await bus.count("unknown") == ViewerCount("unknown", "dc1")


async def test_an_early_report_is_answered_with_the_last_count(bus: WholeBus) -> None:
    ear = Ear()
    async with bus.inbox("n1", ear):
        first = (await bus.subscribe("n1", {"v": 1}, 30))["v"]
        second = (await bus.subscribe("n1", {"v": 7}, 30))["v"]
        assert (first.is_announced, second.is_announced) == (True, False)
        assert second.viewers.datacenter == 1
        assert (await bus.count("v")).datacenter == 7
        assert await announced(bus, "n1", 9) == (9, 9)
        await ear.wait(9, 9)
        assert ear.numbers == [(1, 1), (9, 9)]


async def test_an_unchanged_count_is_not_announced(bus: WholeBus) -> None:
    ear = Ear()
    async with bus.inbox("n1", ear):
        await announced(bus, "n1", 1)
        for _ in range(3):
            await announced(bus, "n1", 1)
        await announced(bus, "n1", 2)
        await ear.wait(2, 2)
        assert ear.numbers == [(1, 1), (2, 2)]


async def test_a_dead_nodes_viewers_leave_with_its_lease(bus: WholeBus, until: Until) -> None:
    ear = Ear()
    async with bus.inbox("n1", ear):
        await bus.subscribe("dead", {"v": 100}, 0.3)
        assert (await bus.count("v")).datacenter == 100

        async def left() -> bool:
            return await announced(bus, "n1", 1) == (1, 1)

        await until(left)
        await ear.wait(1, 1)
        assert await bus.count("v") == ViewerCount("v", "dc1", 1, 1)


async def test_an_unsubscribed_node_is_not_counted(bus: WholeBus) -> None:
    async with bus.inbox("n1"):
        await announced(bus, "n1", 1)
        await bus.subscribe("n2", {"v": 5}, 30)
        await bus.unsubscribe("n2", ["v"])
        assert await announced(bus, "n1", 1) == (1, 1)


async def test_counts_of_other_datacenters_are_valid_for_their_announced_time(
    bus: WholeBus, until: Until
) -> None:
    ear, feed = Ear(), Ear()
    async with bus.inbox("n1", ear), bus.feed(feed):
        await announced(bus, "n1", 1)
        await noted(bus, ViewerCount("v", "dc2", 10, 99, 30))
        await ear.wait(1, 11)
        await bus.note_peer_counts(
            [ViewerCount("v", "dc2", 20, 99, 30), ViewerCount("v", "dc3", 300, 0, 0.1)]
        )
        assert (await bus.count("v")).total in (21, 321)

        async def over() -> bool:
            return await announced(bus, "n1", 1) == (1, 21)

        await until(over)
        await ear.wait(1, 21)
        # Of the others nothing is passed on, or it would go round.
        assert {tally.datacenter for tally in feed.tallies} == {1}
        assert {tally.origin for tally in feed.tallies} == {"dc1"}
        assert await bus.note_peer_counts([]) == []


async def test_the_feed_gets_the_count_again_before_the_hold_is_over(bus: WholeBus, until: Until) -> None:
    feed = Ear()
    async with bus.feed(feed):
        await announced(bus, "n1", 4, lease=2)
        await feed.wait(4, 4)
        assert feed.tallies[0].hold == 2

        async def again() -> bool:
            await bus.subscribe("n1", {"v": 4}, 2)
            return len(feed.tallies) > 1

        await until(again)
        assert feed.numbers == [(4, 4), (4, 4)]
        await announced(bus, "n1", 0, lease=2)
        await feed.wait(0, 0)


async def test_tallies_and_events_come_by_the_same_way(bus: WholeBus) -> None:
    ear = Ear()
    async with bus.inbox("n1", ear) as inbox:
        await announced(bus, "n1", 1)
        await append(bus, "v", "a")
        assert contents(await take(inbox, 1)) == ["a"]
        await ear.wait(1, 1)


async def test_answers_are_found_beside_the_nodes_that_are_asked(bus: WholeBus) -> None:
    assert await bus.answers("v", "q1") == ({}, frozenset())
    await bus.subscribe("n1", {"v": 1}, 30)
    await bus.subscribe("n2", {"v": 1, "w": 1}, 30)
    await bus.answer("v", "q1", "n1", b"\x00 one", 10)
    await bus.answer("v", "q2", "n1", b"other", 10)
    assert await bus.answers("v", "q1") == ({"n1": b"\x00 one"}, frozenset({"n1", "n2"}))
    await bus.answer("v", "q1", "n2", b"", 10)
    assert (await bus.answers("v", "q1"))[0] == {"n1": b"\x00 one", "n2": b""}
    await bus.unsubscribe("n2", ["v"])
    assert (await bus.answers("v", "q1"))[1] == frozenset({"n1"})
    assert await bus.answers("w", "q1") == ({}, frozenset({"n2"}))
    await bus.answer("w", "q1", "n2", b"soon over", 0.001)
    await trio.sleep(0.05)
    assert (await bus.answers("w", "q1"))[0] == {}


async def test_an_audience_counts_each_user_once_and_keeps_the_peak(bus: WholeBus) -> None:
    assert await bus.audience("v") == AudienceSize(0, 0)
    await bus.add_audiences([], 30)
    await bus.add_audiences([AudienceReport("v", ["ada", "bob"], 2), AudienceReport("w", [], 7)], 30)
    await bus.add_audiences([AudienceReport("v", ["bob", "zoë"], 1)], 30)
    assert await bus.audience("v") == AudienceSize(3, 2)
    assert await bus.audience("w") == AudienceSize(0, 7)
    await bus.add_audiences([AudienceReport("v", [], 12)], 30)
    assert await bus.audience("v") == AudienceSize(3, 12)


async def test_a_large_audience_is_estimated_in_bounded_memory(bus: WholeBus) -> None:
    users = [f"user-{number}" for number in range(20_000)]
    for start in (0, 5_000, 10_000):  # the second half of each is there again
        await bus.add_audiences([AudienceReport("v", users[start : start + 10_000], 1)], 30)
    assert abs((await bus.audience("v")).unique - 20_000) < 0.05 * 20_000


async def test_an_audience_expires_unless_it_is_added_to(bus: WholeBus) -> None:
    await bus.add_audiences([AudienceReport("v", ["ada"], 3), AudienceReport("w", ["ada"], 3)], 0.001)
    await bus.add_audiences([AudienceReport("w", ["bob"], 1)], 30)
    await bus.add_audiences([AudienceReport("w", ["cleo"], 1)], 0.001)  # does not end it earlier
    await trio.sleep(0.05)
    assert await bus.audience("v") == AudienceSize(0, 0)
    found = await bus.audience("w")
    assert found.unique in (2, 3)  # the first of them may have been over before the second came
    await bus.add_audiences([AudienceReport("v", ["bob"], 1)], 30)
    assert await bus.audience("v") == AudienceSize(1, 1)
