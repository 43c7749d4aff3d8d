"""What viewers did, in the database: many wishes in one transaction, with all that follows from them.

Rules:

1. A like, its share of the total, its outbox row and the answer to its Idempotency-Key are one
   transaction: after a crash all of them are there, or none.
2. Totals are never counted; a transaction adds to them once per (video, reaction).
3. Outbox rows are numbered in the order in which they are committed: there is one writer per process.
   So whoever has read up to a number has missed nothing below it.

This file blocks; `writer.py` calls it in worker threads, one transaction at a time.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec
from sqlalchemy import Connection, select, tuple_, update

from liveserver.backend import statements
from liveserver.backend.commands import Comment, Like, OutboxRow, Outcome, Retraction, Stored, Summary, Wish
from liveserver.backend.schema import comments, metadata, open_engine, outbox, totals
from liveserver.config import BackendSettings
from liveserver.errors import BadRequest, NotFound
from liveserver.ids import IdMaker

SQL_VALUES = 500  # in one IN (…); SQLite knows up to 32,766

_encode = msgspec.json.Encoder().encode
_answer = msgspec.json.Decoder(Stored)


class Committed(msgspec.Struct, frozen=True):
    """What became of each wish, in their order, and the events that follow from them."""

    outcomes: list[Outcome]
    rows: list[OutboxRow]
    repeats: int


class Store:
    """The database. `commit` is for one thread at a time; `summary` and `waiting` for another."""

    def __init__(self, url: str, settings: BackendSettings, clock: Callable[[], float] = time.time) -> None:
        """Connect, and create what is not there yet. Raises `SQLAlchemyError`, `ImportError`."""
        self._settings = settings
        self._clock = clock
        self._new_id = IdMaker()
        self.sender = self._new_id(int(clock() * 1000))
        self._number = 0
        self._writing = open_engine(url, writes=True)
        self._reading = open_engine(url, writes=False)
        self._more = statements.MORE[self._writing.dialect.name]
        metadata.create_all(self._writing)

    def close(self) -> None:
        self._writing.dispose()
        self._reading.dispose()

    def commit(self, wishes: Sequence[Wish], accepted: Sequence[OutboxRow] = ()) -> Committed:
        """Store the wishes and remove the outbox rows that a dispatcher has accepted, all in one transaction.

        Raises `SQLAlchemyError`; then nothing has been stored, or, when a connection broke at the last
        moment, nothing is known.
        """
        with self._writing.begin() as connection:
            transaction = _Transaction(self, connection, int(self._clock() * 1000))
            self._remove(connection, accepted)
            return transaction.store(wishes)

    def summary(self, video: str) -> Summary:
        """Raises `SQLAlchemyError`."""
        with self._reading.begin() as connection:
            counts = connection.execute(
                select(totals.c.reaction, totals.c.total).where(totals.c.video == video)
            )
            reactions = {row.reaction: row.total for row in counts}
            newest = connection.execute(
                select(comments.c.id, comments.c.user, comments.c.text, comments.c.at)
                .where(comments.c.video == video, ~comments.c.retracted)
                .order_by(comments.c.number.desc())
                .limit(self._settings.summary_comments)
            ).mappings()
            return Summary(
                sum(reactions.values()),
                dict(sorted(reactions.items(), key=lambda item: (-item[1], item[0]))),
                [{name: value for name, value in row.items() if value is not None} for row in newest],
            )

    def waiting(self, after: tuple[str, int], limit: int) -> list[OutboxRow]:
        """Outbox rows of this life and earlier ones, from a position on. Raises `SQLAlchemyError`."""
        with self._reading.begin() as connection:
            rows = connection.execute(
                select(outbox)
                .where(tuple_(outbox.c.sender, outbox.c.number) > after, outbox.c.sender <= self.sender)
                .order_by(outbox.c.sender, outbox.c.number)
                .limit(limit)
            )
            return [OutboxRow(row.sender, row.number, row.is_retraction, row.body) for row in rows]

    def ping(self) -> None:
        """Raises `SQLAlchemyError` when the database does not answer."""
        with self._reading.begin() as connection:
            connection.execute(select(1))

    def next_number(self) -> int:
        self._number += 1
        return self._number

    def _remove(self, connection: Connection, rows: Sequence[OutboxRow]) -> None:
        if rows:
            numbers = [{"its_sender": row.sender, "its_number": row.number} for row in rows]
            connection.execute(statements.ACCEPTED, numbers)


class _Transaction:
    """One transaction's worth of wishes: decided one by one, then written table by table."""

    def __init__(self, store: Store, connection: Connection, now: int) -> None:
        self._store = store
        self._settings = store._settings
        self._connection = connection
        self._now = now
        self._likes: list[dict[str, object]] = []
        self._comments: list[dict[str, object]] = []
        self._retracted: list[str] = []
        self._rows: list[OutboxRow] = []
        self._added: Counter[tuple[str, str]] = Counter()
        self._reactions: dict[str, set[str]] = {}
        self._totals: dict[str, int] = {}

    def store(self, wishes: Sequence[Wish]) -> Committed:
        self._read_totals({wish.video for wish in wishes if isinstance(wish, Like)})
        known = self._read_answers([wish for wish in wishes if not isinstance(wish, Retraction)])
        fresh: dict[tuple[str, str, str], Stored] = {}
        outcomes: list[Outcome] = []
        repeats = 0
        for wish in wishes:
            key = (
                None
                if isinstance(wish, Retraction) or wish.key is None
                else (wish.video, wish.route, wish.key)
            )
            earlier = (known.get(key) or fresh.get(key)) if key else None
            if earlier is not None:
                repeats += 1
                outcomes.append(earlier)
                continue
            outcome = self._one(wish)
            if key and isinstance(outcome, Stored):
                fresh[key] = outcome
            outcomes.append(outcome)
        self._write(fresh)
        return Committed(outcomes, self._rows, repeats)

    def _one(self, wish: Wish) -> Outcome:
        if isinstance(wish, Like):
            return self._like(wish)
        if isinstance(wish, Comment):
            return self._comment(wish)
        return self._retract(wish)

    def _like(self, like: Like) -> Outcome:
        reactions = self._reactions[like.video]
        if like.reaction not in reactions:
            if len(reactions) >= self._settings.max_reactions:
                return BadRequest(
                    f"a video has at most {self._settings.max_reactions} different reactions; use one of them"
                )
            reactions.add(like.reaction)
        made = self._post(like.video, "like", like.user, {"reaction": like.reaction})
        self._likes.append(
            {"id": made, "video": like.video, "user": like.user, "reaction": like.reaction, "at": self._now}
        )
        self._added[like.video, like.reaction] += 1
        self._totals[like.video] += 1
        return Stored(made, self._totals[like.video])

    def _comment(self, comment: Comment) -> Outcome:
        made = self._post(comment.video, "comment", comment.user, {"text": comment.text})
        self._comments.append(
            {"id": made, "video": comment.video, "user": comment.user, "text": comment.text, "at": self._now,
             "retracted": False}
        )  # fmt: skip
        return Stored(made)

    def _retract(self, wish: Retraction) -> Outcome:
        """Rare: so each is looked up by itself. One made in this very transaction is written first."""
        self._flush_comments()
        found = self._connection.execute(
            select(comments.c.retracted).where(comments.c.video == wish.video, comments.c.id == wish.id)
        ).scalar_one_or_none()
        if found is None:
            return NotFound("this video has no such comment")
        if not found:
            self._connection.execute(
                update(comments).where(comments.c.id == wish.id).values(retracted=True, text="", user=None)
            )
            self._post(wish.video, "retract", None, {"id": wish.id})
        return Stored(wish.id)

    def _post(self, video: str, kind: str, user: str | None, data: dict[str, str]) -> str:
        """An event into the outbox; returns its id."""
        made = self._store._new_id(self._now)
        event = {"id": made, "video": video, "type": kind, "data": data}
        if user is not None:
            event["user"] = user
        self._rows.append(
            OutboxRow(self._store.sender, self._store.next_number(), kind == "retract", _encode(event))
        )
        return made

    def _read_totals(self, videos: set[str]) -> None:
        for video in videos:
            self._reactions[video] = set()
            self._totals[video] = 0
        names = sorted(videos)
        for start in range(0, len(names), SQL_VALUES):
            rows = self._connection.execute(statements.TOTALS, {"videos": names[start : start + SQL_VALUES]})
            for video, reaction, total in rows:
                self._reactions[video].add(reaction)
                self._totals[video] += total

    def _read_answers(self, wishes: Sequence[Like | Comment]) -> dict[tuple[str, str, str], Stored]:
        keys = [(wish.video, wish.route, wish.key) for wish in wishes if wish.key is not None]
        known: dict[tuple[str, str, str], Stored] = {}
        for start in range(0, len(keys), SQL_VALUES):
            some = {"keys": keys[start : start + SQL_VALUES], "now": self._now}
            rows = self._connection.execute(statements.ANSWERS, some)
            for row in rows:
                known[row.video, row.route, row.key] = _answer.decode(row.answer)
        return known

    def _flush_comments(self) -> None:
        if self._comments:
            self._connection.execute(statements.NEW_COMMENTS, self._comments)
            self._comments = []

    def _write(self, fresh: dict[tuple[str, str, str], Stored]) -> None:
        execute = self._connection.execute
        if self._added:
            execute(statements.NEW_LIKES, self._likes)
            execute(
                self._store._more,
                # Sorted, so that two processes at one PostgreSQL never wait for each other in a circle.
                [
                    {"video": video, "reaction": reaction, "total": added}
                    for (video, reaction), added in sorted(self._added.items())
                ],
            )
        self._flush_comments()
        if fresh:
            expires = self._now + int(self._settings.idempotency_window * 1000)
            execute(statements.EXPIRED, {"now": self._now})
            execute(
                statements.NEW_ANSWERS,
                [
                    {
                        "video": video,
                        "route": route,
                        "key": key,
                        "answer": _encode(stored),
                        "expires": expires,
                    }
                    for (video, route, key), stored in fresh.items()
                ],
            )
        if self._rows:
            execute(statements.NEW_ROWS, [msgspec.structs.asdict(row) for row in self._rows])
