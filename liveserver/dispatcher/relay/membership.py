"""This dispatcher as a member of the group that relays from one peer, and its share of the videos."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import trio

from liveserver.bus import canary
from liveserver.bus.interface import Bus
from liveserver.dispatcher.relay.rendezvous import owner
from liveserver.errors import BusError

LEAVE_TIMEOUT = 1.0  # seconds for leaving the group


class Membership:
    """Membership of `node` in the group of the datacenter `peer`, renewed three times per `lease` seconds.

    `on_change` is called when the members have changed. `is_reached` says whether the peer answers: a
    dispatcher that does not reach it has no share of the work.
    """

    def __init__(
        self,
        peer: str,
        ours: Bus,
        node: str,
        lease: float,
        is_reached: Callable[[], bool],
        on_change: Callable[[], None],
    ) -> None:
        self.nodes: list[str] = []
        self._peer = peer
        self._ours = ours
        self._node = node
        self._lease = lease
        self._is_reached = is_reached
        self._on_change = on_change

    def is_mine(self, video: str) -> bool:
        """Return whether this node relays the video. Canaries are not relayed."""
        return (
            bool(self.nodes)
            and not video.startswith(canary.PREFIX)
            and owner(video, self.nodes) == self._node
        )

    async def join(self) -> None:
        """Join the group, or renew the lease. Raises `BusError`."""
        nodes = await self._ours.join_group(self._peer, self._node, self._lease)
        if nodes != self.nodes:
            self.nodes = nodes
            self._on_change()

    async def renew_lease(self) -> None:
        """Wait until the lease is due, and renew it if the peer is reached. Raises `BusError`."""
        await trio.sleep(self._lease / 3)
        if self._is_reached():
            await self.join()

    async def leave(self) -> None:
        """Leave the group; when cancelled, too."""
        with trio.move_on_after(LEAVE_TIMEOUT, shield=True), suppress(BusError):
            await self._ours.leave_group(self._peer, self._node)
