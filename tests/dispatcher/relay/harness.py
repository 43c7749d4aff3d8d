"""Datacenters on memory buses, and links between them that lose, stall and break."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager

import trio

from liveserver.bus.interface import ActiveVideos, AppendRequest, Inbox, PeerBus, Slice, ignore
from liveserver.bus.mailbox import Mailbox
from liveserver.bus.memory.bus import MemoryBus
from liveserver.config import HistorySettings, RelaySettings, convert
from liveserver.dispatcher.relay.peer import PeerRelay, PeerStatistics
from liveserver.errors import BusError
from liveserver.event import Batch
from liveserver.state import Keyed, head, read
from liveserver.viewer_count import ViewerCount

_tokens = itertools.count(1)


def datacenter(name: str, **history: object) -> MemoryBus:
    kinds = {"ephemeral_types": []} | history
    return MemoryBus(name, convert(kinds, HistorySettings), 1_000)


async def publish(bus: MemoryBus, video: str, *texts: str) -> None:
    lines = [f"like {text}".encode() for text in texts]
    await bus.append([AppendRequest(video, f"t{next(_tokens)}", lines, [None] * len(lines))])


async def publish_keyed(bus: MemoryBus, video: str, key: str, version: int, at: int) -> Keyed:
    """Publish a keyed event, and return it without its data; every seventh version clears the key."""
    is_cleared = version % 7 == 6
    where = head("t", key, version, at, is_cleared=is_cleared, is_internal=False)
    line = b'%b {"id":"%b-%d-%d"}' % (where, bus.datacenter.encode(), version, at)
    await bus.append([AppendRequest(video, f"t{next(_tokens)}", [line], [None], is_keyed=True)])
    return read(line)._replace(data=b"")


async def state(bus: MemoryBus, video: str) -> dict[str, Keyed]:
    return {event.key: event._replace(data=b"") for event in map(read, await bus.state(video))}


async def lines(bus: MemoryBus, video: str, origin: str = "") -> list[str]:
    """What is in the log, of one origin or of all."""
    stretch = await bus.read(video, 0, 1_000_000)
    return [
        line.decode().partition(" ")[2]
        for batch in stretch.batches
        if origin in ("", batch.origin)
        for line in batch.lines
    ]


class Link(PeerBus):
    """The way to a datacenter's bus."""

    def __init__(self, bus: MemoryBus) -> None:
        self.bus = bus
        self.is_cut = False
        self.loses = 0  # batches of the feed, before it delivers again
        self.latency = 0.0  # seconds, of a call
        self.reads = 0

    async def _pass(self) -> None:
        await trio.sleep(self.latency)
        if self.is_cut:
            raise BusError("the link is cut")

    @asynccontextmanager
    async def feed(self, hear: Callable[[ViewerCount], None] = ignore) -> AsyncIterator[Inbox]:
        await self._pass()
        async with self.bus.feed(hear) as feed:
            yield _Feed(feed, self)

    async def active_since(self, since: int, limit: int, *, relayed: bool = False) -> ActiveVideos:
        await self._pass()
        return await self.bus.active_since(since, limit)

    async def group(self, group: str) -> list[str]:
        await self._pass()
        return await self.bus.group(group)

    async def states(self, videos: Collection[str]) -> dict[str, list[bytes]]:
        await self._pass()
        return await self.bus.states(videos)

    async def read_several(self, after: Mapping[str, int], limit: int) -> dict[str, Slice]:
        self.reads += 1
        await self._pass()
        return await self.bus.read_several(after, limit)


class _Feed(Mailbox):
    """Silent while the link is cut, and then it says that something may have been missed."""

    def __init__(self, feed: Inbox, link: Link) -> None:
        super().__init__(1)
        self._feed = feed
        self._link = link
        self._missed_some = False

    def __aiter__(self) -> _Feed:
        return self

    async def __anext__(self) -> list[Batch]:
        while True:
            batches = await anext(self._feed)
            if self._link.is_cut:
                self._missed_some = True
            elif self._missed_some:
                self._missed_some = False
                return []
            elif self._link.loses:
                self._link.loses -= 1
            else:
                return batches


class Relaying:
    """A dispatcher's relay over `link` into `ours`, which can be killed."""

    def __init__(
        self, link: Link, ours: MemoryBus, node: str = "di1", *, named: str = "", **settings: object
    ) -> None:
        self._scope = trio.CancelScope()
        self.relay = PeerRelay(
            named or link.bus.datacenter, link, ours, node, convert(settings, RelaySettings), 600.0
        )

    async def run(self) -> None:
        with self._scope:
            await self.relay.run()

    def kill(self) -> None:
        self._scope.cancel()

    @property
    def statistics(self) -> PeerStatistics:
        return self.relay.statistics()
