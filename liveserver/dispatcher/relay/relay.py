"""The relay of a dispatcher: one `PeerRelay` for each other datacenter, each with a bus of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated

import msgspec
import trio

from liveserver.bus.interface import Bus, PeerBus
from liveserver.bus.redis.bus import RedisBus
from liveserver.config import Settings
from liveserver.dispatcher.relay.peer import PeerRelay, PeerStatistics
from liveserver.instruments import gauge


class RelayStatistics(msgspec.Struct, frozen=True):
    """The statistics of each peer's relay."""

    peers: Annotated[list[PeerStatistics], gauge("", name="peer", label="peer")]


class Relay:
    """Relays events from all peers into `ours`. `run` must be running."""

    def __init__(self, theirs: Mapping[str, PeerBus], ours: Bus, node: str, settings: Settings) -> None:
        self._peers = [
            PeerRelay(peer, bus, ours, node, settings.relay, settings.history.max_age)
            for peer, bus in theirs.items()
        ]

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            for peer in self._peers:
                nursery.start_soon(peer.run)

    def statistics(self) -> RelayStatistics:
        return RelayStatistics([peer.statistics() for peer in self._peers])


@asynccontextmanager
async def open_relay(ours: Bus, node: str, settings: Settings) -> AsyncIterator[Relay]:
    """Open the relay from all of `settings.peers`, with connections that end with the block.

    Opening does not touch the network. Raises `ConfigError` if a URL is malformed.
    """
    async with AsyncExitStack() as stack:
        theirs: dict[str, PeerBus] = {}
        for name, peer in settings.peers.items():
            bus = msgspec.structs.replace(
                settings.bus,
                url=peer.url,
                timeout=settings.relay.timeout,
                inbox_batches=settings.relay.inbox_batches,
            )
            theirs[name] = await stack.enter_async_context(
                RedisBus.open(name, bus, settings.history, named=f"peers.{name}.url")
            )
        yield Relay(theirs, ours, node, settings)
