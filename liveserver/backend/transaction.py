"""One transaction: its commands are decided one by one, then written table by table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import msgspec
from sqlalchemy import Connection, select, update
from sqlalchemy.sql.dml import Insert

from liveserver.backend import statements
from liveserver.backend.commands import (
    Acknowledged,
    Command,
    Comment,
    Like,
    OutboxRow,
    Outcome,
    Retraction,
    Stored,
)
from liveserver.backend.received import ReceivedEvents, ReceivedRule, cleared_user
from liveserver.backend.schema import comments
from liveserver.config import BackendSettings
from liveserver.errors import Forbidden, NotFound
from liveserver.moderation.rules import CLEAR

SQL_VALUES = 500  # in one IN (…); SQLite knows up to 32,766

Key = tuple[str, str, str, str]  # video, route, user, the request's key

encode = msgspec.json.Encoder().encode
_answer = msgspec.json.Decoder(Stored)


class Committed(msgspec.Struct, frozen=True):
    """The result of each command, in order, and the events to publish."""

    outcomes: list[Outcome]
    rows: list[OutboxRow]
    repeats: int
    stored: int = 0
    likes: list[tuple[str, str | None]] = []  # video and user of each stored like
    totals: dict[str, dict[str, int]] = {}  # this store's totals after the transaction, of the liked videos
    commented: set[str] = set()  # videos whose comments have changed


class Transaction:
    """The commands written together. `now` is in milliseconds since the epoch, `age` is the store's."""

    def __init__(
        self,
        connection: Connection,
        settings: BackendSettings,
        add_totals: Insert,
        *,
        now: int,
        age: int,
        new_id: Callable[[int], str],
        new_row: Callable[[bool, bytes], OutboxRow],
        is_each: Callable[[str], bool],
        store: str,
        others: Mapping[str, int],
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._add_totals = add_totals
        self._now = now
        self._age = age
        self._new_id = new_id
        self._new_row = new_row
        self._is_each = is_each
        self._store = store
        self._others = others
        self._likes: list[dict[str, object]] = []
        self._likers: list[tuple[str, str | None]] = []
        self._comments: list[dict[str, object]] = []
        self._rows: list[OutboxRow] = []
        self._commented: set[str] = set()
        self._added: Counter[tuple[str, str]] = Counter()
        self._totals: dict[str, int] = {}
        self._read: dict[str, dict[str, int]] = {}

    def store(self, commands: Sequence[Command], accepted: Acknowledged) -> Committed:
        """Execute the commands, and record what was accepted. Raises `SQLAlchemyError`."""
        liked = {command.video for command in commands if isinstance(command, Like)}
        self._read_totals(liked.union(video for video, _ in accepted.totals))
        self._write_accepted(accepted)
        known = self._read_keys([key for command in commands if (key := _key(command))])
        fresh: dict[Key, Stored] = {}
        outcomes: list[Outcome] = []
        repeats = 0
        for command in commands:
            key = _key(command)
            earlier = (known.get(key) or fresh.get(key)) if key else None
            if earlier is not None:
                repeats += 1
                outcomes.append(earlier)
                continue
            outcome = self._one(command)
            if key and isinstance(outcome, Stored):
                fresh[key] = outcome
            outcomes.append(outcome)
        self._write(fresh)
        stored = sum(
            isinstance(outcome, Stored) and not isinstance(command, ReceivedEvents)
            for command, outcome in zip(commands, outcomes, strict=True)
        )
        for (video, reaction), added in self._added.items():
            self._read[video][reaction] = self._read[video].get(reaction, 0) + added
        return Committed(
            outcomes, self._rows, repeats, stored - repeats, self._likers, self._read, self._commented
        )

    def _one(self, command: Command) -> Outcome:
        if isinstance(command, Like):
            return self._like(command)
        if isinstance(command, Comment):
            return self._comment(command)
        if isinstance(command, ReceivedEvents):
            return self._record_received(command)
        return self._retract(command)

    def _like(self, like: Like) -> Outcome:
        if self._is_each(like.video):
            data = {"reaction": like.reaction}
            made = self._post(like.video, "like", like.user, data, like.position, role=like.role)
        else:
            made = self._new_id(self._now)
        self._likers.append((like.video, like.user))
        self._likes.append(
            {"id": made, "video": like.video, "user": like.user, "reaction": like.reaction, "at": self._now,
             "position": like.position}
        )  # fmt: skip
        self._added[like.video, like.reaction] += 1
        self._totals[like.video] += 1
        return Stored(made, self._totals[like.video] + self._others.get(like.video, 0))

    def _comment(self, comment: Comment) -> Outcome:
        self._commented.add(comment.video)
        data = {"text": comment.text}
        made = self._post(comment.video, "comment", comment.user, data, comment.position, role=comment.role)
        self._comments.append(
            {"id": made, "video": comment.video, "user": comment.user, "text": comment.text, "at": self._now,
             "position": comment.position, "retracted": False, "role": comment.role}
        )  # fmt: skip
        return Stored(made)

    def _retract(self, command: Retraction) -> Outcome:
        """Retract a comment, looked up on its own as this is rare; pending comments are written first."""
        self._flush_comments()
        found = self._connection.execute(
            select(comments.c.retracted, comments.c.user).where(
                comments.c.video == command.video, comments.c.id == command.id
            )
        ).one_or_none()
        if found is None:
            return NotFound("this video has no such comment")
        if not found.retracted:
            if command.user is not None and found.user != command.user:
                return Forbidden("this comment is another user's; only moderators retract those of others")
            self._connection.execute(
                update(comments).where(comments.c.id == command.id).values(retracted=True, text="", user=None)
            )
            self._post(command.video, "retract", None, {"id": command.id}, by=command.by, made=command.event)
            self._commented.add(command.video)
        return Stored(command.id)

    def _record_received(self, events: ReceivedEvents) -> Outcome:
        """Store events read from a log. A retraction that precedes its comment leaves a placeholder."""
        self._flush_comments()
        execute = self._connection.execute
        new_comment, new_retraction, new_total, new_position, new_rule, new_act = statements.upserts(
            self._connection.dialect.name
        )
        if events.comments:
            execute(
                new_comment,
                [
                    {"id": each.id, "video": events.video, "user": each.user, "text": each.text,
                     "at": each.at, "position": each.position, "retracted": False, "role": each.role}
                    for _, each in sorted({each.id: each for each in events.comments}.items())
                ],
            )  # fmt: skip
        if events.retracted:
            execute(
                new_retraction,
                [
                    {
                        "id": each,
                        "video": events.video,
                        "user": None,
                        "text": "",
                        "at": 0,
                        "retracted": True,
                    }
                    for each in sorted(set(events.retracted))
                ],
            )
        others = [
            {"video": events.video, "store": store, "reaction": reaction, "total": number}
            for store, totals in sorted(events.totals.items())
            if store != self._store
            for reaction, number in sorted(totals.items())
        ]
        if others:
            execute(new_total, others)
        if events.rules:
            newest = {each.event.key: each for each in sorted(events.rules, key=lambda each: each.event.rank)}
            rules = [
                {"video": events.video, "key": key, "at": each.event.at, "id": each.event.rank[2].decode(),
                 "line": each.line}
                for key, each in sorted(newest.items())
            ]  # fmt: skip
            execute(new_rule, rules)
            self._clear(events.video, [each for each in newest.values() if each.event.key.startswith(CLEAR)])
        if events.acts:
            acts = {each.id: each for each in events.acts}
            rows = [
                {"id": name, "video": events.video, "at": each.at, "event": each.event}
                for name, each in sorted(acts.items())
            ]
            execute(new_act, rows)
        position = {"video": events.video, "epoch": events.epoch, "heard": events.offset}
        execute(new_position, position | {"is_complete": events.is_complete})
        return Stored("")

    def _clear(self, video: str, rules: Sequence[ReceivedRule]) -> None:
        """Retract the comments of users who were cleared."""
        for rule in rules:
            if (user := cleared_user(rule.event)) is not None:
                self._connection.execute(
                    update(comments)
                    .where(comments.c.video == video, comments.c.user == user, comments.c.at <= rule.event.at)
                    .values(retracted=True, text="", user=None)
                )

    def _post(
        self,
        video: str,
        kind: str,
        user: str | None,
        data: dict[str, str],
        position: int | None = None,
        *,
        role: str | None = None,
        by: str | None = None,
        made: str | None = None,
    ) -> str:
        """Add an event to the outbox, with the time at which it is stored; return its id."""
        made = made or self._new_id(self._now)
        event: dict[str, object] = {"id": made, "video": video, "type": kind, "at": self._now, "data": data}
        optional = {"user": user, "position": position, "role": role, "by": by}
        event |= {name: value for name, value in optional.items() if value is not None}
        self._rows.append(self._new_row(kind == "retract", encode(event)))
        return made

    def _write_accepted(self, accepted: Acknowledged) -> None:
        if accepted.rows:
            numbers = [{"its_sender": row.sender, "its_number": row.number} for row in accepted.rows]
            self._connection.execute(statements.ACCEPTED, numbers)
        if accepted.totals:
            announced = [
                {"its_video": video, "its_reaction": reaction, "its_total": total}
                for (video, reaction), total in sorted(accepted.totals.items())
            ]
            self._connection.execute(statements.ANNOUNCED, announced)

    def _read_totals(self, videos: set[str]) -> None:
        """Read the totals to which likes are added, and lock them against other backends on PostgreSQL."""
        self._totals = dict.fromkeys(videos, 0)
        self._read = {video: {} for video in videos}
        read = statements.TOTALS if self._connection.dialect.name == "sqlite" else statements.LOCKED_TOTALS
        names = sorted(videos)
        for start in range(0, len(names), SQL_VALUES):
            rows = self._connection.execute(read, {"videos": names[start : start + SQL_VALUES]})
            for row in rows:
                self._totals[row.video] += row.total
                self._read[row.video][row.reaction] = row.total

    def _read_keys(self, keys: Sequence[Key]) -> dict[Key, Stored]:
        known: dict[Key, Stored] = {}
        for start in range(0, len(keys), SQL_VALUES):
            some = {"keys": keys[start : start + SQL_VALUES], "age": self._age}
            for row in self._connection.execute(statements.KNOWN_KEYS, some):
                known[row.video, row.route, row.user, row.key] = _answer.decode(row.answer)
        return known

    def _flush_comments(self) -> None:
        if self._comments:
            self._connection.execute(statements.NEW_COMMENTS, self._comments)
            self._comments = []

    def _write(self, fresh: dict[Key, Stored]) -> None:
        execute = self._connection.execute
        if self._added:
            execute(statements.NEW_LIKES, self._likes)
            execute(
                self._add_totals,
                # Sorted, so that two processes on one PostgreSQL database cannot deadlock.
                [
                    {"video": video, "reaction": reaction, "total": added}
                    for (video, reaction), added in sorted(self._added.items())
                ],
            )
        self._flush_comments()
        if fresh:
            expires = self._age + int(self._settings.idempotency_window * 1000)
            execute(statements.EXPIRED_KEYS, {"age": self._age})
            execute(
                statements.NEW_KEYS,
                [
                    {"video": video, "route": route, "user": user, "key": key, "answer": encode(stored),
                     "expires": expires}
                    for (video, route, user, key), stored in sorted(fresh.items())
                ],
            )  # fmt: skip
        if self._rows:
            execute(statements.NEW_ROWS, [msgspec.structs.asdict(row) for row in self._rows])


def _key(command: Command) -> Key | None:
    """Return the key that identifies a repeated request, or None."""
    if isinstance(command, Retraction | ReceivedEvents) or command.key is None:
        return None
    return command.video, command.route, command.user or "", command.key
