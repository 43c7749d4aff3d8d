"""A re-armed event: one task waits for it again and again, others set it."""

from __future__ import annotations

import math

import trio


class Wakeup:
    """Wakes the one task that waits. Set while nothing waits, the next `wait` returns at once."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = trio.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self, deadline: float = math.inf) -> None:
        """Return once set since the last `wait`, or at `deadline` (Trio's time); then it is armed again."""
        if deadline == math.inf:
            await self._event.wait()
        else:
            with trio.move_on_at(deadline):
                await self._event.wait()
        self._event = trio.Event()
