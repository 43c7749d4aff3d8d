"""A question under way: one task waits for the answer that another gives.

What group commits are made of: hundreds wait, and one round trip answers them all.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import trio

T = TypeVar("T")


class Oneshot(Generic[T]):
    """One question. Whoever asked may go away; the answer is then given to nobody."""

    __slots__ = ("_answer", "_task")

    def __init__(self) -> None:
        self._task: trio.lowlevel.Task | None = None
        self._answer: T | Exception | None = None

    async def wait(self) -> T:
        """The answer. Raises it, if it is an exception. To be called once, before it is there."""
        self._task = trio.lowlevel.current_task()

        def gone(_: object) -> trio.lowlevel.Abort:
            self._task = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(gone)
        assert self._answer is not None
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    def resolve(self, answer: T | Exception) -> None:
        self._answer = answer
        if self._task is not None:
            trio.lowlevel.reschedule(self._task)
            self._task = None
