"""How much memory the bodies of requests may take that are being received, all together.

What has arrived counts, not what was announced: a request that announces much and sends nothing takes
nothing. A small body does not count at all, so those are received also while large ones fill the limit.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from liveserver.errors import Unavailable

SMALL = 16 * 1024  # bytes


class BodyMemory:
    """At most `limit` bytes of bodies over `SMALL`. `used` is how many there are now."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def reserve(self) -> BodyReservation:
        """Return what one request takes of it; enter it while the body is held."""
        return BodyReservation(self)


class BodyReservation:
    """The share of one request."""

    __slots__ = ("_memory", "_size", "_taken")

    def __init__(self, memory: BodyMemory) -> None:
        self._memory = memory
        self._size = self._taken = 0

    def add(self, count: int) -> None:
        """Count bytes that have arrived. Raises `Unavailable` when there is no room for them."""
        self._size += count
        if self._size > SMALL:
            more = self._size - self._taken
            if self._memory.used + more > self._memory.limit:
                raise Unavailable("too many large requests are under way; try again", retry_after=1)
            self._memory.used += more
            self._taken = self._size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._memory.used -= self._taken
        self._taken = 0
