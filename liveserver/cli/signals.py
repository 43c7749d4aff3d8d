"""Ends a command on Ctrl-C or SIGTERM."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable

import trio


async def run_until_signal(work: Callable[[], Awaitable[None]]) -> bool:
    """Run `work` until it returns or SIGINT or SIGTERM arrives; return whether a signal ended it."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:

            async def listen() -> None:
                async for _ in signals:
                    working.cancel()

            working = trio.CancelScope()
            nursery.start_soon(listen)
            with working:
                await work()
            nursery.cancel_scope.cancel()
    return working.cancelled_caught
