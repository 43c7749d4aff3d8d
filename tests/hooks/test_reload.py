"""Other endpoints while hooks are delivered: nothing lost, nothing twice, nothing half-taken."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import trio
from standardwebhooks import Webhook
from trio.testing import MockClock

from liveserver.auth.authorizer import Authorizer
from liveserver.bus.hook_queue import HookQueue
from liveserver.config import Settings
from liveserver.errors import ConfigError
from liveserver.hooks import role
from liveserver.hooks.role import HooksRunner
from liveserver.role import Process
from tests.conftest import Until
from tests.hooks.harness import FakeSink, Stage, settings
from tests.hooks.receiver import SECRET, ReceiverOfHooks
from tests.node.test_reload import Stage as NodeStage


class SlowSink(FakeSink):
    """Takes five seconds for each message."""

    async def deliver(self, delivery: Any) -> None:
        await trio.sleep(5)
        await super().deliver(delivery)


class World:
    """Runs the hooks of a process whose sinks are fakes, by the names of their endpoints."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, made: Settings, **sinks: FakeSink) -> None:
        self.stage = Stage(made)
        self.sinks = sinks
        self.open = 0
        monkeypatch.setattr(role, "open_sink", self._open)
        self.nursery: Any = None
        self.settings = made

    @asynccontextmanager
    async def _opened(self, name: str) -> AsyncIterator[FakeSink]:
        self.open += 1
        yield self.sinks[name]
        self.open -= 1

    def _open(self, name: str, made: Settings) -> Any:
        if name not in self.sinks:
            raise ConfigError(f"hooks.endpoints.{name}.url", "cannot be opened")
        return self._opened(name)

    @property
    def queue(self) -> HookQueue:
        return self.stage.queue

    @asynccontextmanager
    async def running(self) -> AsyncIterator[HooksRunner]:
        async with trio.open_nursery() as nursery:
            process = Process("n1", self.settings, Authorizer(self.settings, "n1"), nursery, self.stage.bus)
            runner = HooksRunner(process)
            await nursery.start(runner.run)
            await trio.sleep(1)
            yield runner
            nursery.cancel_scope.cancel()


async def test_what_is_being_delivered_is_answered_before_other_settings_take_over(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = SlowSink(), FakeSink()
    world = World(monkeypatch, settings(lease="15s"), site=old)
    async with world.running() as runner:
        names = await world.stage.comment(count=6)
        await trio.sleep(7)  # the second is under way
        other = settings({"site": {"url": "redis://elsewhere/0"}}, lease="15s")
        world.sinks["site"] = new
        runner.prepare(other)()
        names += await world.stage.comment(count=2)
        await trio.sleep(60)
        assert old.ids() == names[:2]
        assert new.ids() == names[2:]
        assert world.open == 1
        assert runner.hooks is not None
        counted = runner.hooks.statistics()
        assert (counted.leads, counted.queued) == (1, {"comment.created": 8})
        assert [each.delivered for each in counted.endpoints] == [8]
        assert [each.failures for each in counted.endpoints] == [0]
        await runner.hooks.check()


async def test_endpoints_come_and_go_and_kinds_change(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, more = FakeSink(), FakeSink()
    world = World(monkeypatch, settings(), site=site, more=more)
    async with world.running() as runner:
        first = await world.stage.comment()
        await trio.sleep(2)
        runner.prepare(settings({"site": {"events": ["moderation.*"]}, "more": {}}))()
        await trio.sleep(2)
        second = await world.stage.comment()
        await trio.sleep(2)
        runner.prepare(settings({"more": {}}))()
        third = await world.stage.comment()
        await trio.sleep(2)
        assert site.ids() == first
        assert more.ids() == second + third
        assert world.open == 1


async def test_settings_that_cannot_be_taken_change_nothing(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = FakeSink()
    world = World(monkeypatch, settings(), site=site)
    async with world.running() as runner:
        several: list[dict[str, dict[str, str]]] = [
            {"site": {}, "absent": {}},
            {"site": {"url": "https://example.org/", "secret": "x"}},
        ]
        for wrong in several:
            with pytest.raises(ConfigError):
                runner.prepare(settings(wrong))
        names = await world.stage.comment()
        await trio.sleep(2)
        assert site.ids() == names


async def test_the_same_settings_disturb_nothing_and_several_at_once_end_with_the_last(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, last = SlowSink(), FakeSink()
    world = World(monkeypatch, settings(), site=site, last=last)
    async with world.running() as runner:
        hooks = runner.hooks
        assert hooks is not None
        names = await world.stage.comment(count=2)
        await trio.sleep(2)
        runner.prepare(settings())()
        assert not hooks._ending.is_set()
        for interval in ("100ms", "200ms", "300ms"):
            runner.prepare(settings({"site": {}, "last": {}}, interval=interval))()
        await trio.sleep(30)
        assert site.ids() == names
        more = await world.stage.comment()
        await trio.sleep(30)
        assert last.ids() == more
        assert float(hooks._settings.interval) == 0.3


async def test_a_node_that_does_not_lead_takes_them_too(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = FakeSink()
    world = World(monkeypatch, settings(lease="15s"), site=site, other=FakeSink())
    assert await world.queue.lead("another", 20.0)
    async with world.running() as runner:
        runner.prepare(settings({"other": {}}, lease="15s"))()
        await world.stage.comment()
        await trio.sleep(60)
        assert site.ids() == []
        assert len(world.sinks["other"].ids()) == 1


async def test_a_running_node_takes_another_url_and_secret_from_its_file(tmp_path: Any, until: Until) -> None:
    """By `POST /v1/reload`; a file with a mistake changes nothing."""
    first, second = ReceiverOfHooks(), ReceiverOfHooks()
    other_secret = "whsec_" + "A" * 32
    second.webhook = Webhook(other_secret)
    stage = NodeStage(tmp_path / "liveserver.toml")

    def write(url: str, secret: str) -> None:
        endpoint = f'[hooks.endpoints.site]\nurl = "{url}"\nsecret = "{secret}"\n'
        roles = 'roles = ["frontend", "dispatcher", "backend", "hooks"]\n'
        stage.write(f'{roles}[hooks]\ninterval = "20ms"\n{endpoint}')

    async with trio.open_nursery() as nursery:
        await first.start(nursery)
        await second.start(nursery)
        write(first.url, SECRET)
        async with stage.serving():

            async def comment(receiver: ReceiverOfHooks, count: int) -> None:
                answer = await stage.client.post(f"{stage.url}/v1/videos/v/comments", json={"text": "hi"})
                assert answer.status_code == 201

                async def has_come() -> bool:
                    return len(receiver.received) == count

                await until(has_come)

            await comment(first, 1)
            write(second.url, "whsec_short")
            refused: httpx.Response = await stage.reload()
            assert refused.status_code == 409
            assert "hooks.endpoints.site.secret" in refused.json()["detail"]
            await comment(first, 2)
            write(second.url, other_secret)
            taken = await stage.reload()
            assert taken.json() == {"changed": ["hooks.endpoints"], "needs_restart": []}
            await comment(second, 1)
            assert len(first.received) == 2
        nursery.cancel_scope.cancel()
