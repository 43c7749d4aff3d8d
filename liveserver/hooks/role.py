"""The hooks role of a process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import trio

from liveserver.hooks.hooks import Hooks
from liveserver.hooks.sinks import open_sink
from liveserver.role import Process, Role

KEPT = 86_400.0  # seconds for which messages are kept beyond `hooks.give_up_after`


@asynccontextmanager
async def open_hooks_role(process: Process) -> AsyncIterator[Role]:
    """Open the role, which delivers until the end of the block. Raises `ConfigError`."""
    settings = process.settings
    queue = process.bus.hook_queue(settings.hooks.give_up_after + KEPT, settings.hooks.queue_messages)
    async with AsyncExitStack() as stack:
        sinks = {
            name: await stack.enter_async_context(open_sink(name, settings))
            for name in settings.hooks.endpoints
        }
        hooks = Hooks(process.name, process.bus, queue, sinks, settings)
        async with trio.open_nursery() as nursery:  # which ends before the sinks
            nursery.start_soon(hooks.run)
            yield Role(statistics={"hooks": hooks.statistics}, checks={"hooks": hooks.check})
            nursery.cancel_scope.cancel()
