"""One call at a time, shared by those that ask for it meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio


class SingleFlight:
    """Shares calls of a function among concurrent callers.

    A caller is served by a call that began after it came: what one that was already running has read may be
    older than what the caller knows of. So at most two calls serve however many come at once.
    """

    __slots__ = ("_begun", "_done", "_one")

    def __init__(self) -> None:
        self._one = trio.Lock()
        self._begun = self._done = 0  # by the number of the last call

    async def call(self, function: Callable[[], Awaitable[None]]) -> None:
        """Return when a call has succeeded that began after this one.

        Raises what `function` raises, if it is called here; the next caller that waits then calls it itself.
        """
        came = self._begun
        async with self._one:
            if self._done <= came:
                self._begun += 1
                await function()
                self._done = self._begun
