"""The queues of hooks: messages that wait for their endpoints, and how far the logs were turned into them.

Guarantees of every implementation (tests/bus/test_contract_hooks.py):

1. *One leader.* `lead` gives one node at a time a lease; `put` of any other is refused. So what a log says is
   queued once, whatever happens to the node.
2. *Atomic.* `put` queues messages and moves the positions in the logs in one step.
3. *Ordered.* A video's messages for an endpoint leave its queue in the order in which they came, one by one.
4. *Bounded.* At most `limit` messages wait for an endpoint. What does not fit, and what is given up, leaves a
   *gap* in its place: an entry without a message.
5. *Everything expires*: after `ttl` seconds without a leader.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

GAP = "gap"  # how the ids of gaps begin


class HookMessage(msgspec.Struct, frozen=True):
    """A message for one endpoint. `id` has no spaces, `body` no line breaks."""

    endpoint: str
    video: str
    id: str
    body: bytes


class Entry(NamedTuple):
    """A message that waits, queued at `at` (milliseconds by the bus' clock). `raw` identifies it."""

    raw: bytes
    at: int
    id: str
    body: bytes

    @property
    def is_gap(self) -> bool:
        return not self.body

    @classmethod
    def parse(cls, raw: bytes) -> Entry:
        """Parse `at id body`."""
        at, name, body = raw.split(b" ", 2)
        return cls(raw, int(at), name.decode(), body)


class Due(NamedTuple):
    """Videos with messages to deliver now, those that waited longest first. `now` is in milliseconds."""

    now: int
    videos: list[str]


class Progress(msgspec.Struct, frozen=True):
    """What `put` changes beside the queues: positions in logs, and which videos are occupied."""

    positions: Mapping[str, str] = {}
    occupied: Collection[str] = ()
    vacated: Collection[str] = ()


class HookQueue(Protocol):
    """All operations raise `BusError`."""

    async def lead(self, node: str, lease: float) -> bool:
        """Lead for `lease` seconds, or longer; return False if another node leads."""
        ...

    async def resign(self, node: str) -> None:
        """Give up the lease."""
        ...

    async def positions(self, videos: Sequence[str]) -> dict[str, str]:
        """Return the positions in the logs of these videos, as `put` was given them; empty for none."""
        ...

    async def occupied(self) -> set[str]:
        """Return the videos that are occupied."""
        ...

    async def put(self, node: str, messages: Sequence[HookMessage], progress: Progress) -> int | None:
        """Queue messages; return how many did not fit, or None if the node does not lead."""
        ...

    async def due(self, endpoint: str, limit: int) -> Due:
        """Return videos with messages for an endpoint that are not postponed."""
        ...

    async def next(self, endpoint: str, video: str, limit: int) -> list[Entry]:
        """Return the next messages of a video, in order."""
        ...

    async def done(
        self, endpoint: str, video: str, entries: Sequence[Entry], *, leave_gap: bool = False
    ) -> None:
        """Remove the video's next messages, as far as they are these; put a gap in their place, if any.

        A video without messages is due no more.
        """
        ...

    async def postpone(self, endpoint: str, video: str, seconds: float) -> None:
        """Make a video's messages due later."""
        ...

    async def waiting(self, endpoints: Sequence[str]) -> dict[str, int]:
        """Return how many messages wait for each endpoint."""
        ...

    async def disabled(self) -> dict[str, str]:
        """Return the endpoints that are disabled, each with the `mark` given to `disable`."""
        ...

    async def disable(self, endpoint: str, mark: str) -> None:
        """Disable an endpoint."""
        ...

    async def enable(self, endpoint: str) -> None:
        """Enable an endpoint."""
        ...
