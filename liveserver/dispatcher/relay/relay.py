"""The relay of a dispatcher: one `PeerRelay` for each other datacenter, each with a bus of its own.

Peers can be added, removed and changed while it runs; the others notice nothing. A peer whose URL changes
ends before it begins again, as both are the same member of the peer's group.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Annotated

import msgspec
import trio

from liveserver.bus.interface import Bus, PeerBus
from liveserver.bus.redis.bus import RedisBus
from liveserver.config import Settings
from liveserver.dispatcher.relay.peer import PeerRelay, PeerStatistics
from liveserver.instruments import gauge

# Opens the bus of the named peer, without touching the network. Raises `ConfigError` if its URL is malformed.
OpenPeer = Callable[[str, Settings], AbstractAsyncContextManager[PeerBus]]


class RelayStatistics(msgspec.Struct, frozen=True):
    """The statistics of each peer's relay."""

    peers: Annotated[list[PeerStatistics], gauge("", name="peer", label="peer")]


def open_peer(name: str, settings: Settings) -> AbstractAsyncContextManager[PeerBus]:
    """Return the bus of one of `settings.peers`, to be entered. Raises `ConfigError`."""
    bus = msgspec.structs.replace(
        settings.bus,
        url=settings.peers[name].url,
        timeout=settings.relay.timeout,
        inbox_batches=settings.relay.inbox_batches,
    )
    RedisBus(name, bus, settings.history, named=f"peers.{name}.url")  # raises what opening would raise later
    return RedisBus.open(name, bus, settings.history, named=f"peers.{name}.url")


class _Running:
    """A peer's relay; `ended` is set when its last task has ended."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.relay: PeerRelay | None = None
        self.scope = trio.CancelScope()
        self.ended = trio.Event()


class Relay:
    """Relays events from `settings.peers` into `ours`. `run` must be running."""

    def __init__(self, ours: Bus, node: str, settings: Settings, opening: OpenPeer = open_peer) -> None:
        """Prepare the relay. Raises `ConfigError` if a URL is malformed."""
        self._ours = ours
        self._node = node
        self._opening = opening
        self._peers: dict[str, _Running] = {}
        self._nursery: trio.Nursery | None = None
        self._start = self.prepare(settings)

    async def run(self) -> None:
        async with trio.open_nursery() as self._nursery:
            self._start()
            await trio.sleep_forever()

    def prepare(self, settings: Settings) -> Callable[[], None]:
        """Return the function that changes the peers to those of `settings`, and cannot fail.

        Raises `ConfigError` if a URL is malformed.
        """
        opened = {
            name: (peer.url, self._opening(name, settings))
            for name, peer in settings.peers.items()
            if name not in self._peers or self._peers[name].url != peer.url
        }

        def change() -> None:
            for name in [name for name in self._peers if name not in settings.peers]:
                self._peers.pop(name).scope.cancel()
            for name, (url, bus) in opened.items():
                former = self._peers.get(name)
                if former is not None:
                    former.scope.cancel()
                running = self._peers[name] = _Running(url)
                assert self._nursery is not None, "run is running"
                self._nursery.start_soon(self._relay, name, running, former, bus, settings)

        return change

    async def _relay(
        self,
        name: str,
        running: _Running,
        former: _Running | None,
        opening: AbstractAsyncContextManager[PeerBus],
        settings: Settings,
    ) -> None:
        try:
            with running.scope:
                if former is not None:
                    await former.ended.wait()
                async with opening as bus:
                    running.relay = PeerRelay(
                        name, bus, self._ours, self._node, settings.relay, settings.history.max_age
                    )
                    await running.relay.run()
        finally:
            running.ended.set()

    def statistics(self) -> RelayStatistics:
        return RelayStatistics(
            [each.relay.statistics() for each in self._peers.values() if each.relay is not None]
        )
