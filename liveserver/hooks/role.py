"""The hooks role of a process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import NamedTuple

import trio

from liveserver.bus.hook_queue import HookQueue
from liveserver.config import HookSettings, Settings
from liveserver.hooks.hooks import Hooks
from liveserver.hooks.sink import Sink
from liveserver.hooks.sinks import open_sink
from liveserver.hooks.webhook import read_keys
from liveserver.role import Process, Role

KEPT = 86_400.0  # seconds for which messages are kept beyond `hooks.give_up_after`


class _Plan(NamedTuple):
    """Settings, and the sinks that are to be opened for them; `keys` are the webhooks' secrets."""

    settings: Settings
    keys: Mapping[str, list[bytes]]
    sinks: Mapping[str, AbstractAsyncContextManager[Sink]]

    @property
    def identity(self) -> tuple[HookSettings, Mapping[str, list[bytes]]]:
        return self.settings.hooks, self.keys


def _plan(settings: Settings) -> _Plan:
    """Return the plan for these settings. Raises `ConfigError`."""
    endpoints = settings.hooks.endpoints
    keys = {
        name: read_keys(f"hooks.endpoints.{name}", endpoint)
        for name, endpoint in endpoints.items()
        if endpoint.url.startswith("http")
    }
    return _Plan(settings, keys, {name: open_sink(name, settings) for name in endpoints})


class HooksRunner:
    """Runs the hooks of a process, in `run`, and changes their settings."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._plan = self._next = _plan(process.settings)
        self.hooks: Hooks | None = None

    def prepare(self, settings: Settings) -> Callable[[], None]:
        """Return the function that puts other settings in force. Raises `ConfigError`."""
        plan = _plan(settings)

        def apply() -> None:
            if plan.identity != self._next.identity:
                self._next = plan
                if self.hooks is not None:
                    self.hooks.finish()

        return apply

    def _queue(self, settings: HookSettings) -> HookQueue:
        return self._process.bus.hook_queue(settings.give_up_after + KEPT, settings.queue_messages)

    async def run(self, task_status: trio.TaskStatus[Hooks] = trio.TASK_STATUS_IGNORED) -> None:
        """Deliver until cancelled; `task_status` is started with the hooks, which stay the same."""
        while True:
            plan = self._plan = self._next
            queue = self._queue(plan.settings.hooks)
            async with AsyncExitStack() as stack:
                sinks = {
                    name: await stack.enter_async_context(opening) for name, opening in plan.sinks.items()
                }
                if self.hooks is None:
                    self.hooks = Hooks(self._process.name, self._process.bus, queue, sinks, plan.settings)
                    task_status.started(self.hooks)
                else:
                    self.hooks.use(queue, sinks, plan.settings)
                if plan is self._next:
                    await self.hooks.run()


@asynccontextmanager
async def open_hooks_role(process: Process) -> AsyncIterator[Role]:
    """Open the role, which delivers until the end of the block. Raises `ConfigError`."""
    runner = HooksRunner(process)
    async with trio.open_nursery() as nursery:
        hooks: Hooks = await nursery.start(runner.run)
        yield Role(
            statistics={"hooks": hooks.statistics}, checks={"hooks": hooks.check}, reloads=[runner.prepare]
        )
        nursery.cancel_scope.cancel()
