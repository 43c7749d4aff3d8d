"""Group commit: fewer round trips, and each publisher gets its own result."""

from __future__ import annotations

import math

import trio
import trio.testing

from liveserver.bus import canary
from liveserver.bus.memory.bus import MemoryBus
from liveserver.config import DispatcherSettings, Duration, HistorySettings
from liveserver.dispatcher.publish import Publisher
from liveserver.errors import TooMany, Unavailable
from tests.dispatcher.harness import Stage, publishing, video_batch


async def test_accepted_means_logged() -> None:
    async with publishing() as stage:
        stage.bus.hold()
        await stage.publish("a", video_batch("v", "1", "2"))
        assert stage.results == {}
        assert stage.publisher.statistics().waiting == 2
        stage.bus.let_go()
        await stage.settle()
        assert stage.accepted("a") == (2, 0, {"v": 2})
        assert await stage.bus.lines("v") == ["1", "2"]
        statistics = stage.publisher.statistics()
        assert (statistics.accepted, statistics.commits, statistics.waiting) == (2, 1, 0)


async def test_publishes_during_a_commit_go_into_the_next_one() -> None:
    async with publishing() as stage:
        stage.bus.hold()
        for name in "abcd":
            await stage.publish(name, video_batch("v", name), video_batch(f"own-{name}", name))
        assert len(stage.bus.appended) == 1
        stage.bus.let_go()
        await stage.settle()
        first, second = stage.bus.appended
        assert [request.video for request in first] == ["v", "own-a"]
        assert [request.video for request in second] == ["v", "own-b", "own-c", "own-d"]
        assert second[0].lines == [b"like b", b"like c", b"like d"]
        assert await stage.bus.lines("v") == ["a", "b", "c", "d"]
        assert [stage.accepted(name)[2]["v"] for name in "abcd"] == [1, 2, 3, 4]


async def test_a_commit_has_so_many_events_but_never_half_a_request() -> None:
    async with publishing(commit_events=3) as stage:
        stage.bus.hold()
        await stage.publish("first", video_batch("v", "0"))
        for name, count in (("a", 2), ("b", 1), ("c", 5), ("d", 3), ("e", 1)):
            await stage.publish(name, video_batch("v", *[f"{name}{n}" for n in range(count)]))
        stage.bus.let_go()
        await stage.settle()
        assert [len(requests[0].lines) for requests in stage.bus.appended] == [1, 3, 5, 3, 1]


async def test_a_commit_without_an_answer_is_repeated_with_the_same_tokens(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with publishing() as stage:
        stage.bus.failures, stage.bus.is_late = 3, True
        await stage.publish("a", video_batch("v", "1", known=False), video_batch("w", "1", known=False))
        await trio.sleep(5)
        assert stage.accepted("a") == (1 + 1, 0, {"v": 1, "w": 1})
        assert await stage.bus.lines("v") == ["1"]
        assert len(stage.bus.appended) == 4
        assert all(requests == stage.bus.appended[0] for requests in stage.bus.appended)
        await stage.publish("b", video_batch("v", "1", known=False))
        assert stage.bus.appended[-1][0].token != stage.bus.appended[0][0].token
        assert stage.publisher.statistics().failures == 0


async def test_without_an_answer_for_too_long_publishers_get_503(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with publishing(commit_timeout=Duration(10), commit_events=1) as stage:
        stage.bus.failures = math.inf
        await stage.publish("a", video_batch("v", "1"))
        await stage.publish("b", video_batch("v", "2"))
        await trio.sleep(5)
        await stage.publish("c", video_batch("v", "3"))
        await trio.sleep(30)
        for name in "abc":
            result = stage.results[name]
            assert isinstance(result, Unavailable)
            assert dict(result.headers)["retry-after"] == "1"
        assert 9 < stage.at["a"] <= 10
        assert stage.at["b"] <= 10.5  # not one time-out after the other
        assert 14 < stage.at["c"] <= 15.5
        assert stage.publisher.statistics().failures == 3
        stage.bus.failures = 0
        await stage.publish("d", video_batch("v", "4"))
        await stage.settle()
        assert stage.accepted("d") == (1, 0, {"v": 1})


async def test_repeats_wait_a_little_longer_each_time(autojump_clock: trio.testing.MockClock) -> None:
    async with publishing(commit_timeout=Duration(10)) as stage:
        stage.bus.failures = math.inf
        await stage.publish("a", video_batch("v", "1"))
        await trio.sleep(11)
        assert 20 < len(stage.bus.appended) < 200


async def test_the_queue_is_bounded() -> None:
    async with publishing(queue_events=5) as stage:
        stage.bus.hold()
        await stage.publish("a", video_batch("v", "1", "2"))
        await stage.publish("b", video_batch("v", "3", "4", "5"))
        await stage.publish("c", video_batch("v", "6"))
        assert isinstance(stage.results["c"], Unavailable)
        assert stage.publisher.statistics().waiting == 5
        stage.bus.let_go()
        await stage.settle()
        await stage.publish("d", video_batch("v", "6", "7", "8", "9", "10"))
        assert stage.accepted("d") == (5, 0, {"v": 10})


async def test_a_publisher_that_disconnects_affects_no_other() -> None:
    async with publishing() as stage:
        stage.bus.hold()
        scopes = [await stage.publish(name, video_batch("v", name)) for name in "abc"]
        for gone in (0, 1):  # one whose commit is under way, one that waits for the next
            scopes[gone].cancel()
        await stage.settle()
        stage.bus.let_go()
        await stage.settle()
        assert list(stage.results) == ["c"]
        assert stage.accepted("c") == (1, 0, {"v": 3})
        assert await stage.bus.lines("v") == ["a", "b", "c"]
        assert stage.publisher.statistics().waiting == 0


async def test_a_publisher_may_go_just_when_it_is_answered() -> None:
    async with publishing() as stage:
        stage.bus.hold()
        scope = await stage.publish("a", video_batch("v", "1"))
        stage.bus.let_go()
        await trio.lowlevel.checkpoint()
        scope.cancel()
        await stage.settle()
        await stage.publish("b", video_batch("v", "1"))
        assert stage.accepted("b") == (0, 1, {"v": 1})


async def test_order_is_kept_from_commit_to_commit() -> None:
    async with publishing(commit_events=7) as stage:
        for number in range(50):
            if number % 10 == 0:
                stage.bus.hold()
            await stage.publish(str(number), video_batch("v", str(number)))
            if number % 10 == 9:
                stage.bus.let_go()
        await stage.settle()
        assert await stage.bus.lines("v") == [str(number) for number in range(50)]
        assert [stage.accepted(str(number))[2]["v"] for number in range(50)] == list(range(1, 51))


async def test_a_video_that_is_held_back_waits_and_others_do_not(mock_clock: trio.testing.MockClock) -> None:
    async with publishing() as stage:
        await stage.publish("a", video_batch("v", "a"))
        await stage.bus.hold_back(["v"], 0.5)
        await stage.publish("b", video_batch("v", "b"))
        assert stage.accepted("b")[0] == 1, "the hold is learnt from an append"
        await stage.publish("c", video_batch("v", "c"))
        await stage.publish("both", video_batch("v", "d"), video_batch("w", "1"))
        await stage.publish("behind", video_batch("w", "2"))
        await stage.publish("other", video_batch("x", "1"))
        assert "c" not in stage.results
        assert "behind" not in stage.results, "it would overtake the request before it"
        assert stage.accepted("other")[0] == 1
        mock_clock.jump(0.6)
        await stage.settle()
        assert await stage.bus.lines("v") == ["a", "b", "c", "d"]
        assert await stage.bus.lines("w") == ["1", "2"]
        assert stage.publisher.statistics().waiting == 0


async def test_a_request_held_back_for_too_long_is_refused_whole(mock_clock: trio.testing.MockClock) -> None:
    async with publishing(max_hold=Duration(1)) as stage:
        await stage.publish("a", video_batch("v", "a"))
        await stage.bus.hold_back(["v"], 60)
        await stage.publish("b", video_batch("v", "b"))
        await stage.publish("c", video_batch("v", "c"), video_batch("w", "1"))
        await stage.publish("d", video_batch("x", "1"))
        mock_clock.jump(0.9)
        await stage.settle()
        assert "c" not in stage.results
        mock_clock.jump(0.2)
        await stage.settle()
        problem = stage.results["c"]
        assert isinstance(problem, TooMany)
        assert problem.retry_after == 1
        assert await stage.bus.lines("w") == []
        assert await stage.bus.lines("v") == ["a", "b"]
        statistics = stage.publisher.statistics()
        assert (statistics.held, statistics.waiting) == (1, 0)


async def test_a_commit_turns_over_an_eighth_of_a_log_at_most() -> None:
    async with publishing() as stage:
        stage.publisher._video_events = stage.publisher._small = 4
        stage.bus.hold()
        await stage.publish("first", video_batch("v", "0"))
        for name, count in (("a", 2), ("b", 2), ("c", 1), ("d", 9), ("e", 1)):
            await stage.publish(name, video_batch("v", *[f"{name}{n}" for n in range(count)]))
        stage.bus.let_go()
        await stage.settle()
        assert [len(requests[0].lines) for requests in stage.bus.appended] == [1, 4, 1, 9, 1]


async def test_others_run_between_two_commits() -> None:
    """The memory bus' append does not switch tasks; without a checkpoint viewers would wait for all."""
    bus = MemoryBus("dc1", HistorySettings(), 100)
    publisher = Publisher(bus, "dc1", DispatcherSettings(commit_events=1))
    answered: list[int] = []
    async with trio.open_nursery() as nursery:

        async def publish(number: int) -> None:
            await publisher.publish([video_batch("v", str(number))])
            answered.append(number)

        for number in range(20):
            nursery.start_soon(publish, number)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(publisher.run)
        while not answered:
            await trio.lowlevel.checkpoint()
        assert len(answered) < 10
        await trio.testing.wait_all_tasks_blocked()
        assert len(answered) == 20
        nursery.cancel_scope.cancel()


async def test_canaries_are_not_counted_as_publishes(nursery: trio.Nursery) -> None:
    stage = Stage(nursery)
    nursery.start_soon(stage.publisher.run)
    await stage.publish("canary", video_batch(f"{canary.PREFIX}fe1", "tweet"))
    await stage.publish("like", video_batch("v", "a", "b"))
    await stage.settle()
    assert stage.accepted("canary")[0] == 1
    assert stage.publisher.statistics().accepted == 2


async def test_commits_to_many_nodes_are_apart(mock_clock: trio.testing.MockClock) -> None:
    """What is published in between shares the next one; the first is not delayed."""
    async with publishing() as stage:
        stage.bus.nodes = 1_000
        await stage.publish("first", video_batch("v", "0"))
        assert stage.accepted("first")[0] == 1
        for name in "abc":
            await stage.publish(name, video_batch("v", name))
        assert len(stage.bus.appended) == 1
        mock_clock.jump(0.019)
        await stage.settle()
        assert len(stage.bus.appended) == 1
        mock_clock.jump(0.002)
        await stage.settle()
        assert [len(requests[0].lines) for requests in stage.bus.appended] == [1, 3]
        mock_clock.jump(1.0)
        await stage.publish("late", video_batch("v", "late"))
        assert stage.accepted("late")[0] == 1


async def test_commits_to_few_nodes_follow_each_other(mock_clock: trio.testing.MockClock) -> None:
    async with publishing() as stage:
        stage.bus.nodes = 40
        for number in range(5):
            await stage.publish(str(number), video_batch("v", str(number)))
        assert len(stage.bus.appended) == 5


async def test_the_rest_after_a_commit_is_bounded(mock_clock: trio.testing.MockClock) -> None:
    async with publishing() as stage:
        stage.bus.nodes = 1_000_000
        await stage.publish("a", video_batch("v", "a"))
        await stage.publish("b", video_batch("v", "b"))
        mock_clock.jump(0.11)
        await stage.settle()
        assert stage.accepted("b")[0] == 1
