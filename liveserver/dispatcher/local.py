"""The dispatcher for the roles in the same process: the operations of its routes, without HTTP."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from liveserver.bus.interface import Lease
from liveserver.dispatcher.parse import Parser
from liveserver.dispatcher.publish import Publisher
from liveserver.dispatcher.subscriptions import Subscriptions
from liveserver.errors import TooMany, Unavailable


class LocalDispatcher:
    """The operations that a frontend, a likes backend and a canary use."""

    def __init__(self, parser: Parser, publisher: Publisher, subscriptions: Subscriptions) -> None:
        self._parser = parser
        self._publisher = publisher
        self._subscriptions = subscriptions

    async def renew_leases(
        self, node: str, videos: Mapping[str, int], lease: float, opening: Collection[str] = ()
    ) -> dict[str, Lease]:
        """Subscribe a node, or renew its leases. Raises `BusError`."""
        return await self._subscriptions.renew_leases(node, videos, lease, opening)

    async def withdraw(self, node: str, videos: Collection[str]) -> None:
        """Unsubscribe a node. Raises `BusError`."""
        await self._subscriptions.withdraw(node, videos)

    async def send_canary(self, video: str, token: str) -> None:
        """Publish a canary. Raises `Unavailable`."""
        await self._publisher.publish(self._parser.canary(video, token))

    async def publish(self, body: bytes, *, retractions: bool) -> int:
        """Publish a JSON array of events that name their videos; an `at` too far ahead becomes now.

        Returns how many were older than the state. Raises `Unavailable`, `BadRequest`, `TooLarge`.
        """
        batches = await self._parser.parse(
            body, "application/json", None, retractions=retractions, lenient=True
        )
        try:
            return (await self._publisher.publish(batches)).stale
        except TooMany as error:  # held back: for the other roles the same as a dispatcher that is away
            raise Unavailable(error.detail, retry_after=error.retry_after) from None
