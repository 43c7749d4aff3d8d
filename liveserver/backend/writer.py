"""Group commit: what comes while a transaction is under way goes into the next one.

Rules:

1. One transaction at a time, in a worker thread. An answer is given only after it has been committed.
2. What waits is bounded: beyond `queue`, 503 at once.
3. A command whose client has gone is stored all the same.
4. A transaction that fails for a passing reason is made again, on another connection, until the database
   has failed for `write_timeout`; the store knows which attempts were committed although their answer
   was lost. After that, each transaction has one attempt.
5. That outbox rows have been accepted is written down ten times a second, many of them together, with
   commands or by itself. Forgotten in a crash it does no harm: dispatchers know the ids of what they are
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

from liveserver.backend.commands import Accepted, Command, OutboxRow, Stored, Totals
from liveserver.backend.engine import is_transient, reason
from liveserver.backend.store import Store
from liveserver.backend.transaction import Committed
from liveserver.backoff import Backoff
from liveserver.config import BackendSettings
from liveserver.errors import Unavailable
from liveserver.instruments import gauge, total
from liveserver.oneshot import Oneshot

ACCEPTED_SECONDS = 0.1  # how long accepted rows wait for others to be removed together with
RETRY_FIRST, RETRY_LONGEST = 0.02, 0.5  # seconds
CONFLICTS = 3  # attempts at a transaction in whose way another process's was
CHECK_SECONDS = 1.5  # for a check of whether it stores; readiness gives it 2
FRESH_SECONDS = 1.0  # a transaction that ended so recently is a check

log = structlog.get_logger(__name__)


class WriteStatistics(msgspec.Struct, frozen=True):
    """Counts since the start, and what is `waiting` now."""

    stored: Annotated[int, total("Likes, comments and retractions stored.")]
    repeats: Annotated[
        int, total("Requests whose Idempotency-Key was known: answered as before, stored once.")
    ]
    commits: Annotated[int, total("Transactions.")]
    retries: Annotated[int, total("Transactions that were made again, after an error that passes.")]
    failures: Annotated[
        int, total("Transactions that failed; those who waited received 503. See the database.")
    ]
    waiting: Annotated[int, gauge("Requests waiting for a transaction.")]


class _Pending(Oneshot[Stored]):
    """A command under way; its task sleeps until it is answered."""

    __slots__ = ("command",)

    def __init__(self, command: Command) -> None:
        super().__init__()
        self.command = command


class Writer:
    """Stores commands. `run` must be running.

    After each transaction it calls `committed` with what became of it and what was accepted and written down
    with it; `uncertain` after one of which it is not known whether it was committed.
    """

    def __init__(
        self,
        store: Store,
        settings: BackendSettings,
        committed: Callable[[Committed, Accepted], None],
        uncertain: Callable[[], None],
    ) -> None:
        self._store = store
        self._settings = settings
        self._on_committed = committed
        self._on_uncertain = uncertain
        self._queue: deque[_Pending] = deque()
        self._checks: list[Oneshot[bool]] = []
        self._accepted = Accepted([], {})
        self._remove_at = math.inf  # by Trio's clock: when they have waited enough
        self._in_transaction = 0
        self._stored_at = -math.inf
        self._failing_since = math.inf
        self._reason = ""
        self._wakeup = trio.Event()
        self._stored = self._repeats = self._commits = self._retries = self._failures = 0

    async def write(self, command: Command) -> Stored:
        """Return once it is stored. Raises the `Problem` that it met.

        After `Unavailable` it may have been stored: repeat it with the same key.
        """
        if len(self._queue) + self._in_transaction >= self._settings.queue:
            raise Unavailable("too much is waiting to be stored; try again, with the same Idempotency-Key")
        pending = _Pending(command)
        self._queue.append(pending)
        self._wakeup.set()
        return await pending.wait()

    async def check(self) -> None:
        """Raise `Unavailable` unless a transaction is committed now, or was within the last second."""
        if trio.current_time() - self._stored_at < FRESH_SECONDS:
            return
        pending = Oneshot[bool]()
        self._checks.append(pending)
        self._wakeup.set()
        with trio.move_on_after(CHECK_SECONDS) as patience:
            await pending.wait()
        if patience.cancelled_caught:
            if pending in self._checks:
                self._checks.remove(pending)
            raise Unavailable(f"the database does not store: {self._reason or 'no answer'}")

    def remove(self, rows: Sequence[OutboxRow]) -> None:
        """Take rows that were accepted by a dispatcher out of the outbox, when it is convenient."""
        self._accept(Accepted(list(rows)))

    def set_announced(self, totals: Totals) -> None:
        """Write down that a dispatcher has accepted these totals, when it is convenient."""
        self._accept(Accepted(totals=totals))

    def _accept(self, more: Accepted) -> None:
        if more and not self._accepted:
            self._remove_at = trio.current_time() + ACCEPTED_SECONDS
            self._wakeup.set()
        self._accepted.rows += more.rows
        for which, number in more.totals.items():
            self._accepted.totals[which] = max(number, self._accepted.totals.get(which, 0))

    async def run(self) -> None:
        """Store what comes, until cancelled."""
        while True:
            await self._wait()
            batch = [
                self._queue.popleft() for _ in range(min(len(self._queue), self._settings.commit_requests))
            ]
            checks, self._checks = self._checks, []
            accepted = self._take_accepted()
            self._in_transaction = len(batch)
            try:
                committed = await self._commit([pending.command for pending in batch], accepted)
            finally:
                self._in_transaction = 0
            if committed is None:
                self._accept(accepted)
                for pending in batch:
                    pending.resolve(
                        Unavailable(
                            "this cannot be stored just now; try again, with the same Idempotency-Key"
                        )
                    )
                for check in checks:
                    check.resolve(Unavailable(f"the database does not store: {self._reason}"))
                if not (batch or checks):
                    await trio.sleep(RETRY_LONGEST)
                continue
            for pending, outcome in zip(batch, committed.outcomes, strict=True):
                pending.resolve(outcome)
            for check in checks:
                check.resolve(True)
            self._on_committed(committed, accepted)

    async def _wait(self) -> None:
        """Return when there is a command or a check, or accepted rows that have waited enough."""
        while not (self._queue or self._checks):
            self._wakeup = trio.Event()
            with trio.move_on_at(self._remove_at) as patience:
                await self._wakeup.wait()
            if patience.cancelled_caught:
                return
        await trio.lowlevel.checkpoint()

    def _take_accepted(self) -> Accepted:
        """Return what is to be written down now."""
        if trio.current_time() < self._remove_at:
            return Accepted([], {})
        accepted, self._accepted, self._remove_at = self._accepted, Accepted([], {}), math.inf
        return accepted

    async def _commit(self, commands: Sequence[Command], accepted: Accepted) -> Committed | None:
        """Return what became of them; None when the database does not store."""
        backoff = Backoff(RETRY_FIRST, RETRY_LONGEST)
        attempts = conflicts = 0
        while True:
            attempts += 1
            try:
                committed = await trio.to_thread.run_sync(
                    lambda again: self._store.commit(commands, accepted, again=again), attempts > 1
                )
            except SQLAlchemyError as error:
                # The only constraint in the way is a key's: another process stored it just now, and next
                # time its answer is found.
                conflicts += isinstance(error, IntegrityError)
                may_pass = is_transient(error) or 0 < conflicts <= CONFLICTS
                self._reason = reason(error)
                now = trio.current_time()
                self._failing_since = min(self._failing_since, now)
                if may_pass and now - self._failing_since < self._settings.write_timeout:
                    self._retries += 1
                    log.warning("database_retrying", reason=self._reason)
                    await backoff.sleep()
                    continue
                self._failures += 1
                log.warning("database_not_storing", reason=self._reason)
                self._on_uncertain()
                return None
            self._failing_since = math.inf
            self._stored_at = trio.current_time()
            self._commits += 1
            self._repeats += committed.repeats
            self._stored += committed.stored
            return committed

    def statistics(self) -> WriteStatistics:
        return WriteStatistics(
            stored=self._stored,
            repeats=self._repeats,
            commits=self._commits,
            retries=self._retries,
            failures=self._failures,
            waiting=len(self._queue) + self._in_transaction,
        )
