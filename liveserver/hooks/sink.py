"""The interface of a receiver of messages: a webhook, a stream, a broker."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from liveserver.errors import LiveserverError


class Delivery(NamedTuple):
    """A message to deliver. `id` is the same for each attempt; `body` is one JSON object."""

    id: str
    kind: str
    video: str
    body: bytes


class SinkError(LiveserverError):
    """A message was not accepted, or may not have been; to be tried again.

    `is_refused`: the endpoint answered, and does not want this message; otherwise it is in trouble itself.
    `retry_after`: the least seconds to wait, if it said so.
    """

    def __init__(self, reason: str, *, is_refused: bool = False, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.is_refused = is_refused
        self.retry_after = retry_after


class EndpointGone(SinkError):
    """The endpoint has answered that it is gone (410)."""


class Sink(Protocol):
    """Receives the messages of one endpoint, of different videos at once."""

    async def deliver(self, delivery: Delivery) -> None:
        """Return when the message is accepted. Raises `SinkError`. The caller limits the time."""
        ...

    async def check(self) -> None:
        """Return if the endpoint can be reached; nothing is delivered. Raises `SinkError`."""
        ...
