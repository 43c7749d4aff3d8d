"""Group commit: commands that arrive during a transaction are committed in the next one.

Rules:

1. One transaction at a time, in a worker thread. Commands are answered only after it has been committed.
   After one of several commands the next begins `PACE` later: a transaction costs as much as twenty likes.
2. The queue is bounded: beyond `queue` commands, `write` raises `Unavailable` (503) at once.
3. A command is stored even if its client has disconnected.
4. A transaction that fails with a transient error is retried, on another connection, until the database
   has failed for `write_timeout`; the store detects attempts that were committed although the reply
   was lost. After that, each transaction has one attempt.
5. Accepted outbox rows are removed in batches, ten times a second, with commands or in a transaction of
   their own. A removal lost in a crash is harmless: dispatchers deduplicate the events by id.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Annotated

import msgspec
import structlog
import trio
from sqlalchemy.exc import IntegrityError, InternalError, OperationalError, ProgrammingError, SQLAlchemyError

from liveserver.backend.commands import Acknowledged, Command, OutboxRow, Stored, Totals
from liveserver.backend.engine import is_transient, reason
from liveserver.backend.store import Store
from liveserver.backend.transaction import Committed
from liveserver.backoff import Backoff
from liveserver.config import BackendSettings
from liveserver.errors import Unavailable
from liveserver.instruments import gauge, total
from liveserver.oneshot import Oneshot
from liveserver.tracing.context import TraceContext
from liveserver.tracing.span import current
from liveserver.wakeup import Wakeup

PACE = 0.005  # seconds between the beginnings of two transactions while commands come closer together
ACCEPTED_SECONDS = 0.1  # how long accepted rows wait, to be removed together with others
RETRY_FIRST, RETRY_LONGEST = 0.02, 0.5  # seconds
CONFLICTS = 3  # attempts at a transaction that conflicts with another process's
CHECK_SECONDS = 1.5  # timeout of a check; readiness has one of 2
FRESH_SECONDS = 1.0  # a transaction that was committed so recently replaces a check
REFUSED_SECONDS = 5.0  # how long a refused command counts, if no other is stored since

# Errors that are not due to a command's own values.
_REFUSALS = (OperationalError, ProgrammingError, InternalError)

log = structlog.get_logger(__name__)


class WriteStatistics(msgspec.Struct, frozen=True):
    """Counts since the start, and the commands `waiting` at the moment."""

    stored: Annotated[int, total("Likes, comments and retractions stored.")]
    repeats: Annotated[int, total("Requests with a known Idempotency-Key: answered as before, stored once.")]
    commits: Annotated[int, total("Transactions committed.")]
    retries: Annotated[int, total("Transactions retried after a transient error.")]
    failures: Annotated[
        int, total("Transactions that failed; their requests were answered with 503. Check the database.")
    ]
    waiting: Annotated[int, gauge("Requests waiting for a transaction.")]


class _Pending(Oneshot[Stored]):
    """A queued command; its task sleeps until `resolve`."""

    __slots__ = ("command", "trace")

    def __init__(self, command: Command) -> None:
        super().__init__()
        self.command = command
        self.trace: TraceContext | None = None


class Writer:
    """Stores commands. `run` must be running.

    After each transaction it calls `committed` with its results and with the accepted rows and totals that
    were recorded in it; `uncertain` after a transaction whose outcome is unknown.
    """

    def __init__(
        self,
        store: Store,
        settings: BackendSettings,
        committed: Callable[[Committed, Acknowledged], None],
        uncertain: Callable[[], None],
    ) -> None:
        self._store = store
        self._settings = settings
        self._on_committed = committed
        self._on_uncertain = uncertain
        self.carry: Callable[[str, str, TraceContext], None] | None = None  # of a stored event: its trace
        self._queue: deque[_Pending] = deque()
        self._checks: list[Oneshot[bool]] = []
        self._accepted = Acknowledged([], {})
        self._remove_at = math.inf  # when to record them, by Trio's clock
        self._in_transaction = 0
        self._rests_until = -math.inf
        self._stored_at = -math.inf
        self._failing_since = math.inf
        self._reason = ""
        self._refused_at = -math.inf  # when the database refused valid commands; since then it stored none
        self._wakeup = Wakeup()
        self._stored = self._repeats = self._commits = self._retries = self._failures = 0

    async def write(self, command: Command) -> Stored:
        """Store a command; return its result once it is committed. Raises the `Problem` with the command.

        After `Unavailable` it may have been stored: repeat it with the same key.
        """
        if len(self._queue) + self._in_transaction >= self._settings.queue:
            raise Unavailable("the write queue is full; try again, with the same Idempotency-Key")
        pending = _Pending(command)
        if self.carry is not None and (request := current.get()) is not None and request.own is not None:
            pending.trace = request.own.context
        self._queue.append(pending)
        self._wakeup.set()
        return await pending.wait()

    async def check(self) -> None:
        """Raise `Unavailable` unless a transaction succeeds now, or has within the last second.

        It also raises if the database has just refused commands: a table, or the right to write to it, may be
        missing that a check does not need.
        """
        if trio.current_time() - self._refused_at < REFUSED_SECONDS:
            raise Unavailable(f"the database does not store: {self._reason}")
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
        """Remove rows that a dispatcher has accepted from the outbox, within `ACCEPTED_SECONDS`."""
        self._accept(Acknowledged(list(rows)))

    def set_announced(self, totals: Totals) -> None:
        """Record that a dispatcher has accepted these totals, within `ACCEPTED_SECONDS`."""
        self._accept(Acknowledged(totals=totals))

    def _accept(self, more: Acknowledged) -> None:
        if more and not self._accepted:
            self._remove_at = trio.current_time() + ACCEPTED_SECONDS
            self._wakeup.set()
        self._accepted.rows += more.rows
        for which, number in more.totals.items():
            self._accepted.totals[which] = max(number, self._accepted.totals.get(which, 0))

    async def run(self) -> None:
        """Commit queued commands until cancelled."""
        while True:
            await self._wait()
            if (began := trio.current_time()) < self._rests_until:
                await trio.sleep_until(self._rests_until)
                began = trio.current_time()
            batch = [
                self._queue.popleft() for _ in range(min(len(self._queue), self._settings.commit_requests))
            ]
            self._rests_until = began + PACE if len(batch) > 1 else -math.inf
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
                            "the database does not store now; try again, with the same Idempotency-Key"
                        )
                    )
                for check in checks:
                    check.resolve(Unavailable(f"the database does not store: {self._reason}"))
                if not (batch or checks):
                    await trio.sleep(RETRY_LONGEST)
                continue
            for pending, outcome in zip(batch, committed.outcomes, strict=True):
                if pending.trace is not None and self.carry is not None and isinstance(outcome, Stored):
                    self.carry(pending.command.video, outcome.id, pending.trace)
                pending.resolve(outcome)
            for check in checks:
                check.resolve(True)
            self._on_committed(committed, accepted)

    async def _wait(self) -> None:
        """Wait for a command or a check, or until accepted rows are due to be removed."""
        while not (self._queue or self._checks):
            await self._wakeup.wait(self._remove_at)
            if trio.current_time() >= self._remove_at:
                return
        await trio.lowlevel.checkpoint()

    def _take_accepted(self) -> Acknowledged:
        """Return the accepted rows and totals to record now; none if they are not due yet."""
        if trio.current_time() < self._remove_at:
            return Acknowledged([], {})
        accepted, self._accepted, self._remove_at = self._accepted, Acknowledged([], {}), math.inf
        return accepted

    async def _commit(self, commands: Sequence[Command], accepted: Acknowledged) -> Committed | None:
        """Return the results of the commands; None if the database cannot be written to."""
        backoff = Backoff(RETRY_FIRST, RETRY_LONGEST)
        attempts = conflicts = 0
        while True:
            attempts += 1
            try:
                committed = await trio.to_thread.run_sync(
                    lambda again: self._store.commit(commands, accepted, again=again), attempts > 1
                )
            except SQLAlchemyError as error:
                # The only constraint that can fail is a key's: another process has just stored it, and the
                # next attempt finds its answer.
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
                if commands and not is_transient(error) and isinstance(error, _REFUSALS):
                    self._refused_at = now
                log.warning("database_not_storing", reason=self._reason)
                self._on_uncertain()
                return None
            self._failing_since = math.inf
            self._stored_at = trio.current_time()
            if commands:
                self._refused_at = -math.inf
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
