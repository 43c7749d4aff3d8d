"""The database: many commands are stored in one transaction, with all that follows from them.

Rules:

1. A like, its part of the total, its outbox row (if it is an event of its own) and the answer to its
   Idempotency-Key are stored in one transaction: after a crash there are all of them or none.
2. Rows are never counted for totals; a transaction adds to them once per (video, reaction).
3. Each transaction has a number, per run of this process, and stores it in the database. An attempt whose
   reply was lost is repeated with the same number, and finds there whether the first was committed.
4. No decision depends on the time of day. Keys expire by the store's age, which advances by monotonic clocks
   while backends run; the database numbers the runs.

This file blocks; `writer.py` calls it in worker threads, one transaction at a time.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select, tuple_
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from liveserver.backend import statements
from liveserver.backend.commands import Acknowledged, Command, OutboxRow
from liveserver.backend.engine import open_engine
from liveserver.backend.migrations import migrate
from liveserver.backend.rates import LikeRates
from liveserver.backend.schema import (
    acts,
    comments,
    followed,
    lives,
    outbox,
    peer_totals,
    rules,
    totals,
)
from liveserver.backend.schema import store as the_store
from liveserver.backend.transaction import Committed, Transaction
from liveserver.backend.view import Known
from liveserver.config import BackendSettings, LikeSettings
from liveserver.ids import IdMaker
from liveserver.state import Keyed, MalformedKeyed, read

AGE_SECONDS = 1.0  # the store's age is stored at most this often

Clock = Callable[[], float]


class Total(NamedTuple):
    """The total of one reaction to a video, and the part of it that a dispatcher has accepted."""

    reaction: str
    total: int
    announced: int


class Store:
    """The database. `commit` is for one thread at a time; `summary` and `waiting` for another."""

    def __init__(
        self,
        url: str,
        settings: BackendSettings,
        clock: Clock = time.time,
        monotonic: Clock = time.monotonic,
        likes: LikeSettings | None = None,
    ) -> None:
        """Connect, create or upgrade the tables, and begin a run.

        Raises `SQLAlchemyError`, `ImportError`, `ConfigError` if the database is of a newer program.
        """
        self._settings = settings
        self._clock = clock
        self._monotonic = monotonic
        self._new_id = IdMaker()
        self._rates = LikeRates(likes or LikeSettings(), monotonic)
        self.others: dict[str, int] = {}  # likes of the other stores, by video
        self._number = 0
        self._serial = 0
        self._candidate: Committed | None = None  # the result of the last attempt
        self._writing = open_engine(url, writes=True, prepares=settings.prepared_statements)
        self._reading = open_engine(url, writes=False, prepares=settings.prepared_statements)
        try:
            self._add_totals = statements.add_totals(self._writing.dialect.name)
            migrate(self._writing)
            with self._writing.begin() as connection:
                row = {"only": 1, "id": secrets.token_hex(6), "age": 0}
                connection.execute(statements.new_store(self._writing.dialect.name), row)
                self.id, age = connection.execute(select(the_store.c.id, the_store.c.age)).one()
                self._life = connection.execute(
                    insert(lives).values(serial=0, previous=0).returning(lives.c.number)
                ).scalar_one()
        except BaseException:
            self.close()
            raise
        self.sender = f"{self._life:016d}"
        self._born = monotonic() - age / 1000  # by this process's monotonic clock
        self._aged = -math.inf  # the age that was last stored

    def close(self) -> None:
        self._writing.dispose()
        self._reading.dispose()

    def commit(
        self, commands: Sequence[Command], accepted: Acknowledged | None = None, *, again: bool = False
    ) -> Committed:
        """Execute the commands, and record what a dispatcher has accepted, in one transaction.

        Raises `SQLAlchemyError`: nothing was stored or, if the connection broke during the commit, the
        outcome is unknown. With `again`, the same commands are stored only once.
        """
        if not again:
            self._serial += 1
            self._candidate = None
        try:
            with self._writing.begin() as connection:
                if self._is_committed(connection) and self._candidate is not None:
                    return self._candidate
                transaction = Transaction(
                    connection,
                    self._settings,
                    self._add_totals,
                    now=int(self._clock() * 1000),
                    age=self._age(connection),
                    new_id=self._new_id,
                    new_row=self._new_row,
                    is_each=self._rates.is_each,
                    store=self.id,
                    others=self.others,
                )
                self._candidate = committed = transaction.store(commands, accepted or Acknowledged())
        except SQLAlchemyError as error:
            if not isinstance(error, IntegrityError):
                self._writing.dispose()  # the next attempt is on a new connection, wherever the name leads
            raise
        return committed

    def load(self, video: str) -> Known:
        """Return a video's totals and how far its log was read. Raises `SQLAlchemyError`."""
        with self._reader() as connection:
            own = connection.execute(select(totals.c.reaction, totals.c.total).where(totals.c.video == video))
            found = {self.id: {row.reaction: row.total for row in own}}
            for row in connection.execute(select(peer_totals).where(peer_totals.c.video == video)):
                found.setdefault(row.store, {})[row.reaction] = row.total
            position = connection.execute(select(followed).where(followed.c.video == video)).one_or_none()
            lines = connection.execute(select(rules.c.line).where(rules.c.video == video)).scalars()
            said = [event for event in map(_rule, lines) if event is not None]
            if position is None:
                return Known(found, "", 0, False, said)
            return Known(found, position.epoch, position.heard, position.is_complete, said)

    def comment(self, video: str, name: str) -> tuple[str, str | None] | None:
        """Return a comment's text and user; None when there is none. Raises `SQLAlchemyError`."""
        query = select(comments.c.text, comments.c.user).where(
            comments.c.video == video, comments.c.id == name, ~comments.c.retracted
        )
        with self._reader() as connection:
            found = connection.execute(query).one_or_none()
            return None if found is None else (found.text, found.user)

    def acts(self, video: str, before: str | None, limit: int) -> list[tuple[str, bytes]] | None:
        """Return the newest `limit` acts of moderators before the one with the id `before`, each with its id.

        None if there is no such act. Raises `SQLAlchemyError`.
        """
        query = select(acts.c.id, acts.c.event).where(acts.c.video == video)
        with self._reader() as connection:
            if before is not None:
                at = connection.execute(
                    select(acts.c.at).where(acts.c.video == video, acts.c.id == before)
                ).scalar_one_or_none()
                if at is None:
                    return None
                query = query.where(tuple_(acts.c.at, acts.c.id) < (at, before))
            newest = query.order_by(acts.c.at.desc(), acts.c.id.desc()).limit(limit)
            return [(row.id, row.event) for row in connection.execute(newest)]

    def newest_acts(self, limit: int) -> list[bytes]:
        """Return the last acts of moderators, on any video. Raises `SQLAlchemyError`."""
        query = select(acts.c.event).order_by(acts.c.at.desc(), acts.c.id.desc()).limit(limit)
        with self._reader() as connection:
            return list(connection.scalars(query))

    def comments(self, video: str, before: str | None, limit: int) -> list[dict[str, Any]] | None:
        """Return up to `limit` comments, newest first, before the one with the id `before`.

        None if there is no such comment. Raises `SQLAlchemyError`.
        """
        shown = comments.c
        query = select(shown.id, shown.user, shown.text, shown.at, shown.position, shown.role).where(
            shown.video == video, ~shown.retracted
        )
        with self._reader() as connection:
            if before is not None:
                found = connection.execute(
                    select(comments.c.at, comments.c.retracted).where(
                        comments.c.video == video, comments.c.id == before
                    )
                ).one_or_none()
                if found is None or (found.retracted and not found.at):  # only its retraction was read
                    return None
                at = found.at
                query = query.where(tuple_(comments.c.at, comments.c.id) < (at, before))
            newest = query.order_by(comments.c.at.desc(), comments.c.id.desc()).limit(limit)
            return [
                {name: value for name, value in row.items() if value is not None}
                for row in connection.execute(newest).mappings()
            ]

    def waiting(self, limit: int) -> list[OutboxRow]:
        """Return the first rows of the outbox, of all senders, in order. Raises `SQLAlchemyError`."""
        with self._reader() as connection:
            rows = connection.execute(select(outbox).order_by(outbox.c.sender, outbox.c.number).limit(limit))
            return [OutboxRow(row.sender, row.number, row.is_retraction, row.body) for row in rows]

    def owed(self, limit: int) -> list[str]:
        """Return videos with totals that no dispatcher has accepted yet. Raises `SQLAlchemyError`."""
        with self._reader() as connection:
            return list(connection.execute(statements.OWED, {"limit": limit}).scalars())

    def read_totals(self, videos: Sequence[str]) -> dict[str, list[Total]]:
        """Return the totals of each video as of one moment. Raises `SQLAlchemyError`."""
        found: dict[str, list[Total]] = {video: [] for video in videos}
        with self._reader() as connection:
            for row in connection.execute(statements.TOTALS, {"videos": list(videos)}):
                found[row.video].append(Total(row.reaction, row.total, row.announced))
        return found

    @contextmanager
    def _reader(self) -> Iterator[Connection]:
        """Open a read transaction. After an error the connection is not reused."""
        try:
            with self._reading.begin() as connection:
                yield connection
        except SQLAlchemyError:
            self._reading.dispose()
            raise

    def _new_row(self, is_retraction: bool, body: bytes) -> OutboxRow:
        self._number += 1
        return OutboxRow(self.sender, self._number, is_retraction, body)

    def _is_committed(self, connection: Connection) -> bool:
        """Number the transaction; return whether an attempt with this number was committed before.

        Blocks while an earlier attempt, on a broken connection, is still being committed: it locks the row.
        """
        names = {"life": self._life, "next": self._serial}
        previous = connection.execute(statements.NEXT_SERIAL, names).scalar_one_or_none()
        if previous is None:  # an older replica was promoted, or a backup restored: begin another run
            begun = insert(lives).values(serial=self._serial, previous=0).returning(lives.c.number)
            self._life = connection.execute(begun).scalar_one()
            self.sender = f"{self._life:016d}"
            return False
        return bool(previous == self._serial)

    def _age(self, connection: Connection) -> int:
        """Return the store's age in milliseconds; store it every `AGE_SECONDS`."""
        age = self._monotonic() - self._born
        if age - self._aged >= AGE_SECONDS:
            oldest = connection.execute(statements.GROW_OLDER, {"mine": int(age * 1000)}).scalar_one_or_none()
            if oldest is not None and oldest > age * 1000:
                self._born -= oldest / 1000 - age
                age = oldest / 1000
            self._aged = age
        return int(age * 1000)


def _rule(line: bytes) -> Keyed | None:
    try:
        return read(line)
    except MalformedKeyed:
        return None
