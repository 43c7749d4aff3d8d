"""Limits the total memory of request bodies that are being received.

Received bytes are counted, not announced ones: a request that announces a large body and sends nothing uses
nothing. Small bodies are not counted, so they are accepted even while large ones reach the limit.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from liveserver.errors import Unavailable

SMALL = 16 * 1024  # bytes


class BodyMemory:
    """At most `limit` bytes of bodies larger than `SMALL`. `used` is the present total."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def reserve(self) -> BodyReservation:
        """Return a request's reservation, a context manager to hold while the body is in use."""
        return BodyReservation(self)


class BodyReservation:
    """The memory of one request's body."""

    __slots__ = ("_memory", "_size", "_taken")

    def __init__(self, memory: BodyMemory) -> None:
        self._memory = memory
        self._size = self._taken = 0

    def add(self, count: int) -> None:
        """Count received bytes. Raises `Unavailable` if they exceed the limit."""
        self._size += count
        if self._size > SMALL:
            more = self._size - self._taken
            if self._memory.used + more > self._memory.limit:
                raise Unavailable("too many large requests in progress; try again", retry_after=1)
            self._memory.used += more
            self._taken = self._size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._memory.used -= self._taken
        self._taken = 0
