"""Nodes that deliver the hooks: one of them, in memory; and processes that are killed, with a real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
import trio
from trio.testing import MockClock

from liveserver.bus.interface import AppendRequest
from liveserver.bus.redis.bus import RedisBus
from liveserver.config import BusSettings, HistorySettings
from liveserver.errors import BusError, Unavailable
from liveserver.hooks.hooks import Hooks
from tests.conftest import Until
from tests.hooks.harness import FakeSink, Stage, line, settings
from tests.hooks.receiver import SECRET, ReceiverOfHooks
from tests.processes import NodeProcess


async def test_one_of_two_nodes_delivers_and_the_other_takes_over(autojump_clock: MockClock) -> None:
    stage = Stage(settings(lease="15s"))
    sinks = FakeSink(), FakeSink()
    nodes = [
        Hooks(f"n{i}", stage.bus, stage.queue, {"site": sink}, stage.settings) for i, sink in enumerate(sinks)
    ]
    async with trio.open_nursery() as nursery:
        first = trio.CancelScope()

        async def run_first() -> None:
            with first:
                await nodes[0].run()

        nursery.start_soon(run_first)
        await trio.sleep(1)
        nursery.start_soon(nodes[1].run)
        before = await stage.comment(count=5)
        await trio.sleep(120)
        assert (sinks[0].ids(), sinks[1].ids()) == (before, [])
        assert [node.statistics().leads for node in nodes] == [1, 0]
        first.cancel()
        after = await stage.comment(count=5)
        await trio.sleep(20)
        assert (sinks[0].ids(), sinks[1].ids()) == (before, after)
        assert nodes[1].statistics().queued == {"comment.created": 5}
        nursery.cancel_scope.cancel()


async def test_a_node_ends_at_once_where_another_has_taken_the_lead(autojump_clock: MockClock) -> None:
    stage = Stage(settings(lease="60s"))
    hooks = Hooks("n1", stage.bus, stage.queue, {"site": FakeSink()}, stage.settings)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hooks.run)
        await trio.sleep(1)
        assert hooks.statistics().leads == 1
        await stage.queue.resign(hooks._node)  # as if the bus had lost the lease
        assert await stage.queue.lead("n2", 600.0)
        await trio.sleep(21)
        assert hooks.statistics().leads == 0
        nursery.cancel_scope.cancel()


async def test_a_node_that_cannot_renew_its_lease_ends_before_it_does(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(settings(lease="15s"))
    sink = FakeSink()
    hooks = Hooks("n1", stage.bus, stage.queue, {"site": sink}, stage.settings)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hooks.run)
        await trio.sleep(1)

        async def fail(*arguments: object) -> bool:
            raise BusError("no answer")

        with monkeypatch.context() as patched:
            patched.setattr(stage.queue, "lead", fail)
            await trio.sleep(20)
            assert hooks.statistics().leads == 0
            with pytest.raises(Unavailable, match="no answer"):
                await hooks.check()
        names = await stage.comment()
        await trio.sleep(20)
        assert sink.ids() == names
        await hooks.check()
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def processes(url: str, receiver: str) -> AsyncIterator[list[NodeProcess]]:
    given = [
        "hooks.interval=50ms",
        "hooks.lease=3s",
        "frontend.lease=3s",
        "hooks.vacated_after=100ms",
        "hooks.retry_min=50ms",
        "hooks.retry_max=200ms",
        f"hooks.endpoints.site.url={receiver}",
        f"hooks.endpoints.site.secret={SECRET}",
    ]
    nodes = [NodeProcess(f"hooks{number}", "hooks", url, *given) for number in range(2)]
    try:
        yield nodes
    finally:
        for node in nodes:
            node.stop()


@pytest.mark.process
@pytest.mark.slow
async def test_nothing_is_lost_or_reordered_when_nodes_and_the_receiver_are_killed(
    redis_server: str, until: Until
) -> None:
    receiver = ReceiverOfHooks()
    published: dict[str, list[str]] = {"v": [], "w": []}
    async with (
        trio.open_nursery() as nursery,
        RedisBus.open("dc1", BusSettings(url=redis_server), HistorySettings()) as bus,
    ):
        await receiver.start(nursery)

        async def publish(count: int) -> None:
            for video, names in published.items():
                new = [f"{video}{len(names) + number}" for number in range(count)]
                lines = [line("comment", video, name) for name in new]
                await bus.append([AppendRequest(video, f"{video}{len(names)}", lines, [None] * count)])
                names += new

        async def everything_came() -> bool:
            return all(set(receiver.comments(video)) >= set(names) for video, names in published.items())

        def has(kind: str, video: str) -> bool:
            return any(each["type"] == kind and each["data"]["video"] == video for each in receiver.received)

        async def is_occupied() -> bool:
            return has("video.occupied", "watched")

        async def is_vacated() -> bool:
            return receiver.turns("watched")[-1] == "video.vacated"

        async with processes(redis_server, receiver.url) as (leader, other):
            leader.start()
            await leader.wait_log("hooks_lead")
            other.start()
            async with trio.open_nursery() as frontend:  # it crashes: it never says that it ends

                async def renew() -> None:
                    while True:
                        await bus.subscribe("fe1", {"watched": 3}, 1.5)
                        await trio.sleep(0.5)

                frontend.start_soon(renew)
                await publish(30)
                await until(everything_came)
                await until(is_occupied)
                frontend.cancel_scope.cancel()
            receiver.status = 503
            await publish(30)
            await leader.wait_log("hook_not_accepted")
            receiver.kill()
            await leader.kill()
            await publish(30)
            await other.wait_log("hooks_lead")
            receiver.status = 200
            await receiver.start(nursery)
            await publish(30)
            await until(everything_came)
            await until(is_vacated)
            assert await other.terminate() == 0
        for video, names in published.items():
            assert receiver.comments(video) == names
        # A frontend that renews late, on a busy machine, is reported gone and back: in turn, each once.
        assert len(set(receiver.ids)) == 120 * 2 + len(turns := receiver.turns("watched"))
        assert turns == ["video.occupied", "video.vacated"] * (len(turns) // 2)
        nursery.cancel_scope.cancel()


def test_statistics_are_numbers_that_metrics_can_show() -> None:
    stage = Stage()
    hooks = Hooks("n1", stage.bus, stage.queue, {"site": FakeSink()}, stage.settings)
    shown = msgspec.to_builtins(hooks.statistics())
    assert shown["endpoints"][0]["endpoint"] == "site"
    assert shown["leads"] == 0
