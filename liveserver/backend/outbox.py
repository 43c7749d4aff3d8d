"""Sends stored events to a dispatcher, reliably and in order.

Rules:

1. A row is removed from the database only after a dispatcher has accepted its event; until then the batch is
   repeated, at any dispatcher that answers. Events keep their ids, so that dispatchers drop repeats within
   their deduplication window.
2. One batch at a time, in the order of the rows. The next one fills up meanwhile.
3. Rows are passed on directly by the transaction that wrote them: likes do not wait for a database read.
   They are read from the database at the start, when there are more than fit in memory, and after a
   transaction whose outcome is unknown.
4. The table is authoritative: a row that two consecutive sweeps find there, and that this process does not
   know, is sent, so that rows left by an ended process on the same database are sent, too.
5. Retractions are published at a route of their own, in their place in the order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Protocol

import msgspec
import structlog
import trio

from liveserver.backend.commands import OutboxRow
from liveserver.backoff import Backoff
from liveserver.config import BackendSettings
from liveserver.errors import BadRequest, DispatcherError, TooLarge, Unavailable
from liveserver.instruments import gauge, total
from liveserver.wakeup import Wakeup

RETRY_FIRST, RETRY_LONGEST = 0.05, 2.0  # seconds

Position = tuple[str, int]

log = structlog.get_logger(__name__)


class PublishTarget(Protocol):
    """A dispatcher, to which events are published."""

    async def publish(self, body: bytes, *, retractions: bool) -> int:
        """Publish a JSON array of events; once all are accepted, return how many were older than the state.

        Raises `Unavailable` or `DispatcherError` (try again, with the same ids), or `BadRequest` or
        `TooLarge` (permanent: the request will never be accepted).
        """
        ...


class OutboxStatistics(msgspec.Struct, frozen=True):
    """Counts since the start, and the rows `waiting` in memory; `behind`: there are more in the database."""

    published: Annotated[int, total("Stored events accepted by a dispatcher.")]
    batches: Annotated[int, total("Requests that dispatchers answered.")]
    failures: Annotated[int, total("Requests that no dispatcher answered; repeated until one does.")]
    refused: Annotated[int, total("Events that a dispatcher refused as malformed: stored, not published.")]
    found: Annotated[int, total("Events that a sweep found in the database, left by another process.")]
    waiting: Annotated[
        int, gauge("Stored events not accepted by a dispatcher yet. If it grows, check the dispatchers.")
    ]
    behind: Annotated[bool, gauge("Whether the database has waiting events that are not in memory.")]


class Outbox:
    """Sends the rows that it is given (`put`). `run` must be running.

    `read(limit)` reads the first rows from the database, in order; `remove(rows)` requests the removal of
    accepted rows, and `on_removed` is to be called when they have been removed.
    """

    def __init__(
        self,
        settings: BackendSettings,
        dispatcher: PublishTarget,
        read: Callable[[int], Awaitable[list[OutboxRow]]],
        remove: Callable[[Sequence[OutboxRow]], None],
    ) -> None:
        self._settings = settings
        self._dispatcher = dispatcher
        self._read = read
        self._remove = remove
        self._rows: deque[OutboxRow] = deque()
        self._known: set[Position] = set()  # in memory, being sent, or accepted and still in the database
        self._accepted = 0  # of those: accepted and still in the database
        self._behind = True  # there may be rows that only the database has
        self._unknown: set[Position] = set()  # found by the last sweep, and not known here
        self._wakeup = Wakeup()
        self._handed_over = trio.Event()  # set after each batch
        self._is_handing_over = False
        self._published = self._batches = self._failures = self._refused = self._found = 0

    def put(self, rows: Sequence[OutboxRow]) -> None:
        """Append rows that have just been committed."""
        for row in rows:
            if self._behind:
                break
            if len(self._rows) >= self._settings.outbox_rows:
                self._behind = True
                break
            self._append(row)
        self._wakeup.set()

    def read_again(self) -> None:
        """Read rows from the database again: a transaction's outcome is unknown."""
        self._behind = True
        self._wakeup.set()

    def on_removed(self, rows: Sequence[OutboxRow]) -> None:
        """Drop rows that are no longer in the database."""
        self._known.difference_update(row.position for row in rows)
        self._accepted -= len(rows)
        self._wakeup.set()

    async def wait_handed_over(self) -> None:
        """Wait until all rows in memory have been sent."""
        while self._rows or self._is_handing_over:
            await self._handed_over.wait()

    async def run(self) -> None:
        """Send rows until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._sweep)
            while True:
                await self._refill()
                batch = self._next_batch()
                self._is_handing_over = True
                await self._hand_over(batch)
                self._is_handing_over = False
                self._handed_over.set()
                self._handed_over = trio.Event()
                self._accepted += len(batch)
                self._remove(batch)

    async def _refill(self) -> None:
        """Wait until there are rows to send, reading them from the database if necessary."""
        backoff = Backoff(RETRY_FIRST, RETRY_LONGEST)
        while not self._rows:
            # Rows that cannot be removed at the moment precede the ones to be read.
            if not self._behind or self._accepted >= self._settings.outbox_rows:
                await self._wakeup.wait()
                continue
            self._behind = False  # from here on, rows committed meanwhile are kept
            known, limit = frozenset(self._known), self._settings.outbox_rows + self._accepted
            try:
                page = await self._read(limit)
            except Unavailable as error:
                self._behind = True
                self._take_rows()
                log.warning("outbox_not_read", reason=error.detail)
                await backoff.sleep()
                continue
            meanwhile = self._take_rows()
            for row in page:
                if row.position not in known:
                    self._append(row)
            if len(page) >= limit:
                self._behind = True
                continue
            for row in meanwhile:
                if row.position not in self._known:
                    self._append(row)

    async def _sweep(self) -> None:
        """Find rows that no process sends."""
        while True:
            await trio.sleep(self._settings.outbox_sweep)
            if self._behind:
                self._unknown.clear()  # the database is read anyway
                continue
            known, limit = frozenset(self._known), self._settings.outbox_rows + len(self._known)
            try:
                page = await self._read(limit)
            except Unavailable:
                continue
            unknown = [row for row in page if row.position not in known | self._known]
            left = [row for row in unknown if row.position in self._unknown]
            self._unknown = {row.position for row in unknown}
            for row in left:
                if len(self._rows) < self._settings.outbox_rows:
                    self._found += 1
                    self._append(row)
            if left:
                log.warning("outbox_rows_found", events=len(left))
                self._wakeup.set()

    def _take_rows(self) -> deque[OutboxRow]:
        """Remove and return the rows in memory; all of them are in the database."""
        rows, self._rows = self._rows, deque()
        self._known.difference_update(row.position for row in rows)
        return rows

    def _append(self, row: OutboxRow) -> None:
        self._rows.append(row)
        self._known.add(row.position)

    def _next_batch(self) -> list[OutboxRow]:
        batch = [self._rows.popleft()]
        while (
            self._rows
            and len(batch) < self._settings.batch_events
            and self._rows[0].is_retraction == batch[0].is_retraction
        ):
            batch.append(self._rows.popleft())
        return batch

    async def _hand_over(self, batch: Sequence[OutboxRow]) -> None:
        """Send a batch; return when it is accepted.

        Events that are refused for good are logged and dropped.
        """
        body = b"[" + b",".join([row.body for row in batch]) + b"]"
        backoff = Backoff(RETRY_FIRST, RETRY_LONGEST)
        while True:
            try:
                await self._dispatcher.publish(body, retractions=batch[0].is_retraction)
            except (Unavailable, DispatcherError) as error:
                self._failures += 1
                log.warning("outbox_waiting", events=len(batch), reason=str(error))
            except (BadRequest, TooLarge) as error:
                if len(batch) > 1:
                    middle = len(batch) // 2
                    await self._hand_over(batch[:middle])
                    await self._hand_over(batch[middle:])
                else:
                    self._refused += 1
                    event = batch[0].body.decode()
                    log.error("outbox_event_refused", stored=event, reason=error.detail)  # noqa: TRY400
                return
            else:
                self._batches += 1
                self._published += len(batch)
                return
            await backoff.sleep()

    def statistics(self) -> OutboxStatistics:
        return OutboxStatistics(
            published=self._published,
            batches=self._batches,
            failures=self._failures,
            refused=self._refused,
            found=self._found,
            waiting=len(self._rows),
            behind=self._behind,
        )
