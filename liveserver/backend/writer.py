"""Group commit: what comes while a transaction is under way goes into the next one.

Rules:

1. One transaction at a time, in a worker thread. An answer is given only after it has been committed.
2. What waits is bounded: beyond `queue`, 503 at once.
3. A wish whose client has gone is stored all the same.
4. That outbox rows have been accepted is written down ten times a second, many of them together, with
   wishes or by itself. Forgotten in a crash it does no harm: dispatchers know the ids of what they are
   sent again.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Annotated

import msgspec
import structlog
import trio
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from liveserver.backend.commands import OutboxRow, Stored, Wish
from liveserver.backend.store import Committed, Store
from liveserver.config import BackendSettings
from liveserver.errors import Unavailable
from liveserver.instruments import gauge, total
from liveserver.oneshot import Oneshot

ACCEPTED_SECONDS = 0.1  # how long accepted rows wait for others to be removed together with
RETRY_SECONDS = 0.5

log = structlog.get_logger(__name__)


class WriteStatistics(msgspec.Struct, frozen=True):
    """Counts since the start, and what is `waiting` now."""

    stored: Annotated[int, total("Likes, comments and retractions stored.")]
    repeats: Annotated[
        int, total("Requests whose Idempotency-Key was known: answered as before, stored once.")
    ]
    commits: Annotated[int, total("Transactions.")]
    failures: Annotated[
        int, total("Transactions that failed; those who waited were told 503. See the database.")
    ]
    waiting: Annotated[int, gauge("Requests waiting for a transaction.")]


class _Writing(Oneshot[Stored]):
    """A wish under way. Whoever has it sleeps until it is answered."""

    __slots__ = ("wish",)

    def __init__(self, wish: Wish) -> None:
        super().__init__()
        self.wish = wish


class Writer:
    """Stores wishes. `run` must be running; it gives the events that follow to `publish`."""

    def __init__(
        self, store: Store, settings: BackendSettings, publish: Callable[[Sequence[OutboxRow]], None]
    ) -> None:
        self._store = store
        self._settings = settings
        self._publish = publish
        self._queue: deque[_Writing] = deque()
        self._accepted: list[OutboxRow] = []
        self._remove_at = math.inf  # by Trio's clock: when they have waited enough
        self._in_transaction = 0
        self._something = trio.Event()
        self._stored = self._repeats = self._commits = self._failures = 0

    async def write(self, wish: Wish) -> Stored:
        """Return once it is stored. Raises the `Problem` that it met.

        After `Unavailable` it may have been stored: repeat it with the same key.
        """
        if len(self._queue) + self._in_transaction >= self._settings.queue:
            raise Unavailable("too much is waiting to be stored; try again, with the same Idempotency-Key")
        pending = _Writing(wish)
        self._queue.append(pending)
        self._something.set()
        return await pending.wait()

    def forget(self, rows: Sequence[OutboxRow]) -> None:
        """These were accepted by a dispatcher: remove them from the outbox, when it is convenient."""
        if rows and not self._accepted:
            self._remove_at = trio.current_time() + ACCEPTED_SECONDS
            self._something.set()
        self._accepted += rows

    async def run(self) -> None:
        """Store what comes, for ever."""
        while True:
            await self._wait()
            batch = [
                self._queue.popleft() for _ in range(min(len(self._queue), self._settings.commit_requests))
            ]
            accepted = self._take_accepted()
            self._in_transaction = len(batch)
            try:
                committed = await self._commit([pending.wish for pending in batch], accepted)
            finally:
                self._in_transaction = 0
            if committed is None:
                self.forget(accepted)
                for pending in batch:
                    pending.resolve(
                        Unavailable(
                            "this cannot be stored just now; try again, with the same Idempotency-Key"
                        )
                    )
                if not batch:
                    await trio.sleep(RETRY_SECONDS)
                continue
            for pending, outcome in zip(batch, committed.outcomes, strict=True):
                pending.resolve(outcome)
            self._publish(committed.rows)

    async def _wait(self) -> None:
        """Return when there is a wish, or accepted rows that have waited enough."""
        while not self._queue:
            self._something = trio.Event()
            with trio.move_on_at(self._remove_at) as patience:
                await self._something.wait()
            if patience.cancelled_caught:
                return
        await trio.lowlevel.checkpoint()

    def _take_accepted(self) -> list[OutboxRow]:
        """Those that are to be removed now."""
        if trio.current_time() < self._remove_at:
            return []
        accepted, self._accepted, self._remove_at = self._accepted, [], math.inf
        return accepted

    async def _commit(self, wishes: Sequence[Wish], accepted: Sequence[OutboxRow]) -> Committed | None:
        """None when the database would not."""
        for attempt in (1, 2):
            try:
                committed = await trio.to_thread.run_sync(self._store.commit, wishes, accepted)
            except SQLAlchemyError as error:
                if attempt == 1 and isinstance(error, IntegrityError):
                    continue  # another process stored the same key just now: next time its answer is found
                self._failures += 1
                log.warning(
                    "the database does not store", reason=str(error.__cause__ or type(error).__name__)
                )
                return None
            self._commits += 1
            self._repeats += committed.repeats
            self._stored += len(committed.rows)
            return committed
        return None

    def statistics(self) -> WriteStatistics:
        return WriteStatistics(
            stored=self._stored,
            repeats=self._repeats,
            commits=self._commits,
            failures=self._failures,
            waiting=len(self._queue) + self._in_transaction,
        )
