"""What has been stored goes to a dispatcher, for certain and in order.

Rules:

1. A row leaves the database only after a dispatcher has accepted its event; until then the batch is
   repeated, at whichever dispatcher answers. The events keep their ids, so a repeat is not shown twice
   as long as the dispatchers know those (`history.dedup_window`).
2. One batch at a time, in the order of the rows. Meanwhile the next one fills up.
3. Rows come straight from the transaction that made them: no like waits for a look at the database.
   Only at the start, and when more wait than are kept in memory, are they read from there.
4. Retractions are told to dispatchers apart from what everybody may publish, in their place in the order.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Protocol

import msgspec
import structlog
import trio

from liveserver.backend.commands import OutboxRow
from liveserver.config import BackendSettings
from liveserver.errors import BadRequest, DispatcherError, TooLarge, Unavailable
from liveserver.instruments import gauge, total

BACK_OFF = 0.05, 2.0  # seconds, first and longest; full jitter

log = structlog.get_logger(__name__)


class PublishTarget(Protocol):
    """Where events go."""

    async def publish(self, body: bytes, *, retractions: bool) -> None:
        """Return once all events of a JSON array are accepted.

        Raises `Unavailable` or `DispatcherError` (try again, with the same ids), or `BadRequest` or
        `TooLarge` (they will never be accepted as they are).
        """
        ...


class OutboxStatistics(msgspec.Struct, frozen=True):
    """Counts since the start, and what is `waiting` in memory; `behind`: more waits in the database."""

    published: Annotated[int, total("Stored events that a dispatcher has taken.")]
    batches: Annotated[int, total("Requests to dispatchers that they answered.")]
    failures: Annotated[int, total("Requests to dispatchers without an answer; repeated until there is one.")]
    refused: Annotated[int, total("Events that a dispatcher calls malformed: stored, and shown to nobody.")]
    waiting: Annotated[
        int, gauge("Stored events that no dispatcher has taken yet. Growing: look at dispatchers.")
    ]
    behind: Annotated[bool, gauge("Whether more of them wait in the database than in memory.")]


class Outbox:
    """Hands over what it is `put`. `run` must be running.

    `read(after, limit)` reads rows from the database behind a position, in order; `forget(rows)`
    removes those that have been accepted.
    """

    def __init__(
        self,
        settings: BackendSettings,
        dispatcher: PublishTarget,
        read: Callable[[tuple[str, int], int], Awaitable[list[OutboxRow]]],
        forget: Callable[[Sequence[OutboxRow]], None],
    ) -> None:
        self._settings = settings
        self._dispatcher = dispatcher
        self._read = read
        self._forget = forget
        self._rows: deque[OutboxRow] = deque()
        self._position = ("", 0)  # the last row that came into memory
        self._behind = True  # there may be rows behind it that only the database has
        self._something = trio.Event()
        self._published = self._batches = self._failures = self._refused = 0

    def put(self, rows: Sequence[OutboxRow]) -> None:
        """These have just been committed, behind all that were before."""
        for row in rows:
            if self._behind:
                break
            if row.position > self._position:
                if len(self._rows) >= self._settings.outbox_rows:
                    self._behind = True
                    break
                self._rows.append(row)
                self._position = row.position
        self._something.set()

    async def run(self) -> None:
        """Hand over what comes, for ever."""
        while True:
            await self._refill()
            batch = self._next_batch()
            await self._hand_over(batch)
            self._forget(batch)

    async def _refill(self) -> None:
        """Return when there is something to hand over."""
        wait = BACK_OFF[0]
        while not self._rows:
            if not self._behind:
                self._something = trio.Event()
                await self._something.wait()
                continue
            start = self._position
            self._behind = False  # from here on, what is committed meanwhile is kept
            try:
                page = await self._read(start, self._settings.outbox_rows)
            except Unavailable as error:
                self._rows.clear()
                self._position, self._behind = start, True
                log.warning("the outbox cannot be read", reason=error.detail)
                await trio.sleep(random.uniform(0, wait))
                wait = min(2 * wait, BACK_OFF[1])
                continue
            end = page[-1].position if page else start
            if len(page) >= self._settings.outbox_rows:
                self._rows = deque(page)
                self._position, self._behind = end, True
            else:
                self._rows = deque([*page, *(row for row in self._rows if row.position > end)])
                self._position = max(end, self._position)

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
        """Return when all of it is accepted; what no dispatcher will ever take is dropped, and said."""
        body = b"[" + b",".join([row.body for row in batch]) + b"]"
        wait = BACK_OFF[0]
        while True:
            try:
                await self._dispatcher.publish(body, retractions=batch[0].is_retraction)
            except (Unavailable, DispatcherError) as error:
                self._failures += 1
                log.warning("stored events wait for a dispatcher", events=len(batch), reason=str(error))
            except (BadRequest, TooLarge) as error:
                if len(batch) > 1:
                    middle = len(batch) // 2
                    await self._hand_over(batch[:middle])
                    await self._hand_over(batch[middle:])
                else:
                    self._refused += 1
                    row = body.decode()
                    log.error("no dispatcher takes this event", row=row, reason=error.detail)  # noqa: TRY400
                return
            else:
                self._batches += 1
                self._published += len(batch)
                return
            await trio.sleep(random.uniform(0, wait))
            wait = min(2 * wait, BACK_OFF[1])

    def statistics(self) -> OutboxStatistics:
        return OutboxStatistics(
            published=self._published,
            batches=self._batches,
            failures=self._failures,
            refused=self._refused,
            waiting=len(self._rows),
            behind=self._behind,
        )
