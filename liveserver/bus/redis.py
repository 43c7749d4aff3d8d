"""The bus over Redis: one pipeline per call, one atomic Lua step per video, one thread per listener.

Keys, for each video V; its hash tag {V} keeps them on one node of a Redis Cluster:

    ls:{V}:log      Stream    the log: entry id = offset, o = `origin epoch number`, l = the line
    ls:{V}:meta     Hash      epoch, last offset, last number per origin (log.lua)
    ls:{V}:nodes    Sorted    node → when its lease ends, in ms by Redis' clock
    ls:{V}:viewers  Hash      node → its viewer count
    ls:{V}:ids:i:*            ids seen; ls:{V}:ids:t:* parcels seen, with their receipts
    ls:run          Hash      which life of the Redis server this is (life.lua)
    ls:active       Sorted    videos by time of last append, in ms by Redis' clock
    ls:inbox:NODE, ls:feed    pub/sub channels (pub/sub knows no database numbers: one Redis, one datacenter)

Rules:

1. All keys expire, and all times are Redis' own: the nodes' clocks don't matter.
2. What this process was last told about a log (`_known`) goes with each call. A Redis that knows less
   lost data, and the log begins a new epoch. After a restart nothing is appended for `SETTLE`, and each
   process, as soon as it listens again, tells what it knows: who was told most need not be the first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import msgspec
import trio

from liveserver.bus.interface import Head, Inbox, Parcel, Receipt, Slice
from liveserver.bus.mailbox import Mailbox
from liveserver.bus.memory import new_epoch
from liveserver.bus.redis_link import Command, Link, Script
from liveserver.bus.redis_listener import Listener, ListenerStatistics, listening
from liveserver.config import BusSettings, LogSettings
from liveserver.cursor import Cursor, Mark
from liveserver.errors import BusError
from liveserver.event import Batch

TOKEN_WINDOW = 60.0  # seconds; a dispatcher stops repeating a parcel long before (dispatcher.commit_timeout)
SETTLE = 3.0  # seconds after a restart in which nothing is appended; a listener is back sooner
KNOWN = 50_000  # videos whose heads are remembered, the latest used
TOLD = 10_000  # of these, about how many Redis is told after a restart: what it lost is recent
TOGETHER = 1_000  # videos subscribed in one pipeline


class RedisStatistics(msgspec.Struct, frozen=True):
    """`listeners` are those whose blocks are open; `appending` counts threads at work for `append`."""

    listeners: list[ListenerStatistics]
    appending: int


class RedisBus:
    """A `Bus` over one datacenter's Redis. Open it with `RedisBus.open`.

    Opening does not touch the network: `ping` says whether Redis is there. Each call raises
    `BusError` at the latest after 1.25 times `bus.timeout`.
    """

    def __init__(self, datacenter: str, bus: BusSettings, log: LogSettings) -> None:
        self._datacenter = datacenter
        self._inbox_batches = bus.inbox_batches
        settings: dict[str, str | int] = {
            "ORIGIN": datacenter,
            "EVENTS": log.events,
            "AGE": _ms(log.age),
            "IDLE": _ms(log.idle),
            "IDS": _ms(log.ids),
            "TOKENS": _ms(TOKEN_WINDOW),
            "SETTLE": _ms(SETTLE),
        }
        self._append_script = Script("append", settings)
        self._subscribe_script = Script("subscribe", settings)
        self._head_script = Script("head", settings)
        self._active_script = Script("active", settings)
        self._life_script = Script("life", settings)
        scripts = (
            self._append_script,
            self._subscribe_script,
            self._head_script,
            self._active_script,
            self._life_script,
        )
        self._link = Link(bus, scripts)
        # Two: one group commit at a time, and one that is left behind in its timeout.
        self._appending = trio.CapacityLimiter(2)
        self._asking = trio.CapacityLimiter(4)
        self._known: OrderedDict[str, tuple[str, int]] = OrderedDict()
        self._listeners: list[Listener] = []

    @classmethod
    @asynccontextmanager
    async def open(cls, datacenter: str, bus: BusSettings, log: LogSettings) -> AsyncIterator[RedisBus]:
        """A bus whose connections end with the block. Raises `ConfigError` when the URL is none."""
        opened = cls(datacenter, bus, log)
        try:
            yield opened
        finally:
            opened._link.close()

    async def append(self, parcels: Sequence[Parcel]) -> list[Receipt]:
        if not parcels:
            await trio.lowlevel.checkpoint()
            return []

        def work() -> list[Receipt]:
            epoch = new_epoch()
            commands: list[Command] = [("EVALSHA", self._life_script.sha, 1, "ls:run")]
            commands += [self._append_command(parcel, epoch) for parcel in parcels]
            videos = dict.fromkeys(parcel.video for parcel in parcels)
            commands.append(("EVALSHA", self._active_script.sha, 1, "ls:active", *videos))
            answers = self._link.run(commands, transaction=True)
            return [_receipt(answer) for answer in answers[1:-1]]

        receipts = await self._link.call(self._appending, work)
        for parcel, receipt in zip(parcels, receipts, strict=True):
            accepted = len(parcel.lines) - len(receipt.duplicates)
            self._learn(parcel.video, receipt.epoch, receipt.first + accepted - 1)
        return receipts

    async def subscribe(self, node: str, videos: Mapping[str, int], lease: float) -> dict[str, Head]:
        heads: dict[str, Head] = {}
        names = list(videos)
        for start in range(0, len(names), TOGETHER):
            some = names[start : start + TOGETHER]

            def work(some: list[str] = some) -> list[Head]:
                epoch = new_epoch()
                commands = [
                    self._subscribe_command(node, video, videos[video], lease, epoch) for video in some
                ]
                return [_head(answer) for answer in self._link.run(commands, transaction=False)]

            for video, head in zip(some, await self._link.call(self._asking, work), strict=True):
                self._learn(video, head.epoch, head.offset)
                heads[video] = head
        return heads

    async def unsubscribe(self, node: str, videos: Collection[str]) -> None:
        commands: list[Command] = []
        for video in videos:
            nodes, viewers = _keys(video, "nodes", "viewers")
            commands += [("ZREM", nodes, node), ("HDEL", viewers, node)]
        if commands:
            await self._link.call(self._asking, lambda: self._link.run(commands, transaction=False))

    async def read(self, video: str, after: int, limit: int) -> Slice:
        (log,) = _keys(video, "log")

        def work() -> Slice:
            # The script makes the log if there is none; raw XRANGEs beside it are cheaper for Redis
            # than carrying the entries through Lua.
            answers = self._link.run(
                [
                    self._head_command(video, new_epoch()),
                    ("XRANGE", log, "-", "+", "COUNT", 1),
                    ("XRANGE", log, after + 1, after + limit),
                ],
                transaction=True,
            )
            head, eldest, entries = _head(answers[0]), answers[1], answers[2]
            oldest = _offset(eldest[0][0]) if eldest else head.offset + 1
            return Slice(head, oldest, _batches(video, head.epoch, entries))

        stretch = await self._link.call(self._asking, work)
        self._learn(video, stretch.head.epoch, stretch.head.offset)
        return stretch

    def inbox(self, node: str) -> AbstractAsyncContextManager[Inbox]:
        return self._listen(f"ls:inbox:{node}")

    def feed(self) -> AbstractAsyncContextManager[Inbox]:
        return self._listen("ls:feed")

    async def ping(self) -> None:
        await self._link.call(self._asking, lambda: self._link.run([("PING",)], transaction=False))

    def statistics(self) -> RedisStatistics:
        listeners = [listener.statistics() for listener in self._listeners]
        return RedisStatistics(listeners, int(self._appending.borrowed_tokens))

    def _hear(self, batches: list[Batch]) -> None:
        for batch in batches:
            self._learn(batch.video, batch.epoch, batch.last)

    async def _tell_known(self) -> None:
        """Tell Redis what this process was told: whatever it has lost begins a new epoch."""
        names = list(self._known)[-TOLD:]
        for start in range(0, len(names), TOGETHER):
            some = names[start : start + TOGETHER]

            def work(some: list[str] = some) -> list[Head]:
                epoch = new_epoch()
                commands = [self._head_command(video, epoch) for video in some]
                return [_head(answer) for answer in self._link.run(commands, transaction=False)]

            for video, head in zip(some, await self._link.call(self._asking, work), strict=True):
                self._learn(video, head.epoch, head.offset)

    @asynccontextmanager
    async def _listen(self, channel: str) -> AsyncIterator[Inbox]:
        listener = Listener(self._link, channel, self._inbox_batches)
        self._listeners.append(listener)
        try:
            async with listening(listener) as mailbox:
                yield _Heard(mailbox, self)
        finally:
            self._listeners.remove(listener)

    def _append_command(self, parcel: Parcel, epoch: str) -> Command:
        video, lines = parcel.video, parcel.lines
        keys = _keys(video, "log", "meta", "nodes", "viewers", f"ids:t:{parcel.token}")
        ids = [name or "" for name in parcel.ids] if any(parcel.ids) else []
        return (
            "EVALSHA", self._append_script.sha, len(keys), *keys,
            video, *self._opening(video, epoch), len(lines), len(ids), *lines, *ids,
        )  # fmt: skip

    def _subscribe_command(self, node: str, video: str, viewers: int, lease: float, epoch: str) -> Command:
        keys = _keys(video, "log", "meta", "nodes", "viewers")
        opening = self._opening(video, epoch)
        return ("EVALSHA", self._subscribe_script.sha, len(keys), *keys, *opening, node, viewers, _ms(lease))

    def _head_command(self, video: str, epoch: str) -> Command:
        return (
            "EVALSHA",
            self._head_script.sha,
            2,
            *_keys(video, "log", "meta"),
            *self._opening(video, epoch),
        )

    def _opening(self, video: str, epoch: str) -> tuple[str, str, int]:
        """What each script needs to open a log."""
        return (epoch, *self._known.get(video, ("-", 0)))

    def _learn(self, video: str, epoch: str, offset: int) -> None:
        known = self._known.get(video)
        if known is None or known[0] != epoch or known[1] < offset:
            self._known[video] = (epoch, offset)
        self._known.move_to_end(video)
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)


class _Heard:
    """An inbox from which the bus learns how far each log has come. When listening has begun anew, Redis is
    told first: it may have restarted with less than it had."""

    def __init__(self, mailbox: Mailbox, bus: RedisBus) -> None:
        self._mailbox = mailbox
        self._bus = bus

    def __aiter__(self) -> _Heard:
        return self

    async def __anext__(self) -> list[Batch]:
        batches = await anext(self._mailbox)
        self._bus._hear(batches)
        if not batches:
            with suppress(BusError):  # gone again: the next beginning does it
                await self._bus._tell_known()
        return batches


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _keys(video: str, *names: str) -> list[str]:
    return [f"ls:{{{video}}}:{name}" for name in names]


def _offset(entry: bytes) -> int:
    return int(entry.partition(b"-")[0])


def _receipt(answer: bytes) -> Receipt:
    """What append.lua returns: `epoch first number duplicates cursor`."""
    epoch, first, number, duplicates, cursor = answer.decode().split(" ")
    twice = frozenset(map(int, duplicates.split(","))) if duplicates != "-" else frozenset[int]()
    return Receipt(epoch, int(first), int(number), twice, _cursor(cursor))


def _cursor(text: str) -> Cursor:
    """A cursor our own scripts wrote: three times as fast as parsing a stranger's."""
    marks = (mark.split("-") for mark in text.split("~"))
    return Cursor((origin, Mark(epoch, int(number))) for origin, epoch, number in marks)


def _head(answer: bytes) -> Head:
    """What subscribe.lua and head.lua return: `epoch offset cursor`."""
    epoch, offset, cursor = answer.decode().split(" ")
    return Head(epoch, int(offset), _cursor(cursor))


def _batches(video: str, epoch: str, entries: list[tuple[bytes, dict[bytes, bytes]]]) -> list[Batch]:
    """The log's entries, in runs of consecutive offsets and numbers of one origin."""
    runs: list[Batch] = []
    run = None
    for entry, fields in entries:
        offset = _offset(entry)
        origin, origin_epoch, number = fields[b"o"].decode().split(" ")
        if run is None or (offset, origin, origin_epoch, int(number)) != (
            run.first + len(run.lines), run.origin, run.origin_epoch, run.number + len(run.lines),
        ):  # fmt: skip
            run = Batch(video, epoch, offset, origin, origin_epoch, int(number), [])
            runs.append(run)
        run.lines.append(fields[b"l"])
    return runs
