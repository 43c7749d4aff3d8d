"""Reads the site's log, at every node.

Rules:

1. The log is polled by offset every `auth.revocation_interval`, without a subscription. After a new epoch or
   a gap, or if it is shorter than it was, it is read from its beginning, and its state too.
2. Revocations are folded, so repeats are harmless. A disconnection is handled once, by its event's id; those
   published before this node started are ignored.
3. While the log cannot be read, the last known revocations are in force. `wait_ready` waits, up to a limit,
   until a starting node has read them.
4. What the log has lost is published again by dispatchers (`keep`); if that fails, at the next housekeeping.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Protocol

import msgspec
import structlog
import trio

from liveserver.auth.revocations import Revocations
from liveserver.bus.interface import Slice
from liveserver.errors import BusError
from liveserver.event import SITE
from liveserver.instruments import gauge, total
from liveserver.moderation.rules import Rules
from liveserver.state import MARK, Keyed, MalformedKeyed, read

READ_EVENTS = 1_000  # in one round trip
REMEMBERED = 10_000  # ids of handled events
HOUSEKEEPING = 10.0  # seconds

log = structlog.get_logger(__name__)


class LogReader(Protocol):
    """The part of a bus that reads logs. All raise `BusError`."""

    async def read_several(self, after: Mapping[str, int], limit: int) -> dict[str, Slice]: ...

    async def state(self, video: str) -> list[bytes]: ...


Handler = Callable[[bytes], Awaitable[None]]


class Listener(Protocol):
    """The interface of the part of a node that ends connections."""

    async def on_revoked(self) -> None:
        """End the connections of revoked tokens."""
        ...

    async def on_disconnected(self, users: frozenset[str]) -> None:
        """End these users' connections."""
        ...

    async def on_banned(self) -> None:
        """End the connections of users banned from all videos."""
        ...


class SiteStatistics(msgspec.Struct, frozen=True):
    """Present revocations, and counts since the start."""

    revocations: Annotated[int, gauge("Revocations of tokens in force.")]
    disconnections: Annotated[int, total("Users whose connections were to be ended.")]
    failures: Annotated[int, total("Times that the site's log could not be read. Look at Redis.")]


class _Disconnection(msgspec.Struct):
    user: str


class _Event(msgspec.Struct):
    data: _Disconnection


_event = msgspec.json.Decoder(_Event).decode


class SiteFeed:
    """Follows the site's log into `revocations` and `rules` (bans). `run` must be running.

    `keep`, if given, is called with the keys of the state after each reading, and with None at intervals. It
    returns whether the log has all that is known.
    """

    def __init__(
        self,
        reader: LogReader,
        revocations: Revocations,
        interval: float,
        keep: Callable[[frozenset[str] | None], Awaitable[bool]] | None = None,
        rules: Rules | None = None,
    ) -> None:
        self._reader = reader
        self._revocations = revocations
        self._interval = interval
        self._keep = keep
        self._rules = rules if rules is not None else Rules()
        self._listeners: list[Listener] = []
        self._handlers: dict[bytes, Handler] = {}  # by type
        self._ready = trio.Event()
        self._epoch = ""
        self._offset = 0
        self._done: OrderedDict[str, None] = OrderedDict()  # disconnections
        self._disconnections = self._failures = 0
        self._is_failing = False
        self._is_kept = True

    def add_handler(self, kind: bytes, handler: Handler) -> None:
        """Register the handler of a type; it gets each event's JSON once, except those before the start."""
        self._handlers[kind] = handler

    def add_listener(self, listener: Listener) -> None:
        self._listeners.append(listener)

    async def wait_ready(self, timeout: float) -> bool:
        """Wait until the log was read once; return whether it was within `timeout` seconds."""
        if self._ready.is_set():
            return True
        with trio.move_on_after(timeout):
            await self._ready.wait()
        return self._ready.is_set()

    async def run(self) -> None:
        """Read the log until cancelled."""
        housekeeping_at = trio.current_time() + HOUSEKEEPING
        while True:
            try:
                while await self._read():
                    pass
                if trio.current_time() >= housekeeping_at:
                    housekeeping_at = trio.current_time() + HOUSEKEEPING
                    if not self._is_kept:
                        await self._read_state()
                    elif self._keep is not None:
                        await self._keep(None)
                    else:
                        self._revocations.expired()
                self._is_failing = False
            except BusError as error:
                self._failures += 1
                if not self._is_failing:
                    log.warning("site_log_not_read", reason=str(error))
                self._is_failing = True
            await trio.sleep(self._interval)

    async def _read(self) -> bool:
        """Read a part of the log; return whether there is more. Raises `BusError`."""
        part = (await self._reader.read_several({SITE: self._offset}, READ_EVENTS))[SITE]
        is_first = not self._ready.is_set()
        is_other = part.head.epoch != self._epoch or part.head.offset < self._offset
        if is_other and self._epoch and (self._offset or len(self._revocations)):
            await self._read_state()
            self._epoch, self._offset = part.head.epoch, 0
            return part.head.offset > 0
        if is_first or part.oldest > self._offset + 1:
            await self._read_state()
        self._epoch = part.head.epoch
        if is_first:
            self._offset = part.head.offset
            self._ready.set()
            return False
        await self._take([line for batch in part.batches for line in batch.lines])
        self._offset = part.batches[-1].last if part.batches else max(self._offset, part.oldest - 1)
        return self._offset < part.head.offset

    async def _read_state(self) -> None:
        """Read the log's state. Raises `BusError`."""
        lines = await self._reader.state(SITE)
        await self._take(lines)
        if self._keep is not None:
            keys = frozenset(event.key for event in map(_keyed, lines) if event is not None)
            self._is_kept = await self._keep(keys)

    async def _take(self, lines: list[bytes]) -> None:
        is_revoked, is_banned, users = False, False, set()
        handled: list[tuple[Handler, bytes]] = []
        for line in lines:
            if (event := _keyed(line)) is not None:
                is_revoked |= self._revocations.fold(event)
                is_banned |= self._rules.fold(event)
            elif line.startswith(b"disconnection ") and (user := self._disconnected(line)) is not None:
                users.add(user)
            elif (handler := self._handlers.get(line.partition(b" ")[0])) and self._is_new(line):
                handled.append((handler, line.partition(b" ")[2]))
        for listener in self._listeners:
            if is_revoked:
                await listener.on_revoked()
            if is_banned:
                await listener.on_banned()
            if users:
                await listener.on_disconnected(frozenset(users))
        for handler, content in handled:
            await handler(content)

    def _is_new(self, line: bytes) -> bool:
        """Return whether an event was not handled yet; after a new epoch, the log is read again."""
        name = line.partition(b'"id":"')[2].partition(b'"')[0].decode("utf-8", "replace")
        if name in self._done:
            return False
        self._done[name] = None
        if len(self._done) > REMEMBERED:
            self._done.popitem(last=False)
        return True

    def _disconnected(self, line: bytes) -> str | None:
        """Return the user whose connections are to end; None if that was done."""
        try:
            event = _event(line.partition(b" ")[2])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if not self._is_new(line):
            return None
        self._disconnections += 1
        return event.data.user

    def statistics(self) -> SiteStatistics:
        return SiteStatistics(len(self._revocations), self._disconnections, self._failures)


def _keyed(line: bytes) -> Keyed | None:
    if not line.startswith(MARK):
        return None
    try:
        return read(line)
    except MalformedKeyed:
        return None
