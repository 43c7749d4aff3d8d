"""Frequent SQL statements, built once: building one costs more than executing it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

from sqlalchemy import Table, bindparam, case, delete, insert, select, tuple_, update
from sqlalchemy.sql.dml import Insert

from liveserver.backend.schema import (
    acts,
    comments,
    followed,
    idempotency_keys,
    likes,
    lives,
    outbox,
    peer_totals,
    rules,
    store,
    totals,
)

NEW_LIKES = insert(likes)
ANNOUNCED = (
    update(totals)
    .where(
        totals.c.video == bindparam("its_video"),
        totals.c.reaction == bindparam("its_reaction"),
        totals.c.announced < bindparam("its_total"),
    )
    .values(announced=bindparam("its_total"))
)
OWED = (
    select(totals.c.video)
    .where(totals.c.total > totals.c.announced)
    .distinct()
    .order_by(totals.c.video)
    .limit(bindparam("limit"))
)
NEW_COMMENTS = insert(comments)
NEW_KEYS = insert(idempotency_keys)
NEW_ROWS = insert(outbox)

# Sorted, so that two backends on one PostgreSQL database cannot deadlock.
TOTALS = (
    select(totals)
    .where(totals.c.video.in_(bindparam("videos", expanding=True)))
    .order_by(totals.c.video, totals.c.reaction)
)
LOCKED_TOTALS = TOTALS.with_for_update()

KNOWN_KEYS = select(idempotency_keys).where(
    tuple_(
        idempotency_keys.c.video, idempotency_keys.c.route, idempotency_keys.c.user, idempotency_keys.c.key
    ).in_(bindparam("keys", expanding=True)),
    idempotency_keys.c.expires > bindparam("age"),
)
EXPIRED_KEYS = delete(idempotency_keys).where(idempotency_keys.c.expires <= bindparam("age"))

ACCEPTED = delete(outbox).where(
    outbox.c.sender == bindparam("its_sender"), outbox.c.number == bindparam("its_number")
)

# Numbers the transaction. The returned number says whether an earlier attempt was committed.
NEXT_SERIAL = (
    update(lives)
    .where(lives.c.number == bindparam("life"))
    .values(previous=lives.c.serial, serial=bindparam("next"))
    .returning(lives.c.previous)
)

# Advances the store's age to this process's monotonic clock, unless another process has advanced it further.
GROW_OLDER = (
    update(store)
    .values(age=case((store.c.age > bindparam("mine"), store.c.age), else_=bindparam("mine")))
    .returning(store.c.age)
)


if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

    Upsert: TypeAlias = postgresql.Insert | sqlite.Insert


def _insert_of(dialect: str) -> Callable[[Table], Upsert]:
    """Return the function that makes an INSERT with ON CONFLICT, in a dialect by name.

    PostgreSQL's is only imported where it is used: it takes 30 ms.
    """
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert
    from sqlalchemy.dialects import sqlite

    return sqlite.insert


@cache
def upserts(
    dialect: str,
) -> tuple[Insert, Insert, Insert, Insert, Insert, Insert]:
    """Return the statements that store `ReceivedEvents`: comments, retractions, totals, the log's position,
    rules, acts.
    """
    into = _insert_of(dialect)
    comment, total, position, rule = into(comments), into(peer_totals), into(followed), into(rules)
    return (
        # A comment has the time and role of its event in all stores, also in the one that stored it first.
        comment.on_conflict_do_update(
            index_elements=[comments.c.id],
            set_={
                "at": comment.excluded.at,
                "position": comment.excluded.position,
                "role": comment.excluded.role,
            },
        ),
        comment.on_conflict_do_update(
            index_elements=[comments.c.id], set_={"retracted": True, "text": "", "user": None}
        ),
        total.on_conflict_do_update(
            index_elements=[peer_totals.c.video, peer_totals.c.store, peer_totals.c.reaction],
            set_={"total": total.excluded.total},
            where=peer_totals.c.total < total.excluded.total,
        ),
        position.on_conflict_do_update(
            index_elements=[followed.c.video],
            set_={
                "epoch": position.excluded.epoch,
                "heard": position.excluded.heard,
                "is_complete": position.excluded.is_complete,
            },
        ),
        rule.on_conflict_do_update(
            index_elements=[rules.c.video, rules.c.key],
            set_={"at": rule.excluded.at, "id": rule.excluded.id, "line": rule.excluded.line},
            where=tuple_(rules.c.at, rules.c.id) < tuple_(rule.excluded.at, rule.excluded.id),
        ),
        into(acts).on_conflict_do_nothing(),
    )


@cache
def add_totals(dialect: str) -> Insert:
    """Return the statement that adds likes to a video's totals."""
    upsert = _insert_of(dialect)(totals)
    return upsert.on_conflict_do_update(
        index_elements=[totals.c.video, totals.c.reaction],
        set_={"total": totals.c.total + upsert.excluded.total},
    )


@cache
def new_store(dialect: str) -> Insert:
    """Return the statement that inserts the store's own row, unless it exists."""
    return _insert_of(dialect)(store).on_conflict_do_nothing()
