"""A result that one task waits for and another provides.

Used by group commits: hundreds of tasks wait, and one round trip resolves all of them.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import trio

T = TypeVar("T")


class Oneshot(Generic[T]):
    """One result. If the waiting task is cancelled, the result is discarded."""

    __slots__ = ("_answer", "_task")

    def __init__(self) -> None:
        self._task: trio.lowlevel.Task | None = None
        self._answer: T | Exception | None = None

    async def wait(self) -> T:
        """Wait for the result and return it; raise it if it is an exception.

        To be called once, before `resolve`.
        """
        self._task = trio.lowlevel.current_task()

        def on_cancel(_: object) -> trio.lowlevel.Abort:
            self._task = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(on_cancel)
        assert self._answer is not None
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    def resolve(self, answer: T | Exception) -> None:
        """Provide the result."""
        self._answer = answer
        if self._task is not None:
            trio.lowlevel.reschedule(self._task)
            self._task = None
