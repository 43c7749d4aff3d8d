"""Turns of tasks whose next step takes long, so that many of them do not delay all others.

Trio runs each runnable task once a round. A thousand tasks with a millisecond of work each make a round of
a second, and a request takes several rounds.
"""

from __future__ import annotations

import trio


class Turns:
    """Gives one task a turn in each round of the scheduler, in order of arrival."""

    __slots__ = ("_turn",)

    def __init__(self) -> None:
        self._turn = trio.Lock()

    async def wait_turn(self) -> None:
        """Return when it is the task's turn."""
        async with self._turn:  # its next owner runs in the next round
            pass
