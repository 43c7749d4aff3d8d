"""The frequent statements: what they change, and that they find their rows by an index."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, event, insert, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.base import Executable

from liveserver.backend import statements
from liveserver.backend.schema import (
    acts,
    comments,
    followed,
    idempotency_keys,
    lives,
    outbox,
    peer_totals,
    rules,
    store,
    totals,
)

COMMENT, RETRACTION, TOTAL, PLACE, RULE, ACT = statements.upserts("sqlite")


def rows(database: Connection, table: Any) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in database.execute(select(table))]


def plan(database: Connection, statement: Any, values: dict[str, Any] | None = None) -> str:
    """How SQLite finds the rows."""
    sent: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, text: str, parameters: Any, *___: Any) -> None:
        sent.append((text, parameters))

    event.listen(database, "before_cursor_execute", note)
    database.execute(statement, values or {})
    [(text, parameters)] = sent
    event.remove(database, "before_cursor_execute", note)
    return "\n".join(row[-1] for row in database.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", parameters))


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        (statements.OWED, {"limit": 5}),
        (statements.ANNOUNCED, {"its_video": "v", "its_reaction": "heart", "its_total": 1}),
        (statements.TOTALS, {"videos": ["a", "b"]}),
        (statements.KNOWN_KEYS, {"keys": [("a", "b", "c", "d")], "age": 1}),
        (statements.EXPIRED_KEYS, {"age": 1}),
        (statements.ACCEPTED, {"its_sender": "a", "its_number": 1}),
        (statements.NEXT_SERIAL, {"life": 1, "next": 1}),
    ],
)
def test_rows_are_found_by_an_index(database: Connection, statement: Any, values: dict[str, Any]) -> None:
    found = plan(database, statement, values)
    assert found.startswith(("SEARCH ", "SCAN totals USING INDEX totals_owed")), found
    assert "TEMP B-TREE" not in found


def test_comments_are_shown_by_an_index_without_the_retracted(database: Connection) -> None:
    newest = (
        select(comments.c.text)
        .where(comments.c.video == "v", ~comments.c.retracted)
        .order_by(comments.c.number.desc())
    )
    assert "USING INDEX comments_shown" in plan(database, newest)


def test_likes_add_up_and_owe_until_they_are_announced(database: Connection) -> None:
    more = statements.add_totals("sqlite")
    database.execute(more, [{"video": "v", "reaction": "heart", "total": 3}])
    database.execute(more, [{"video": "v", "reaction": "heart", "total": 4}])
    database.execute(more, [{"video": "a", "reaction": "fire", "total": 1}])
    assert rows(database, totals) == [("v", "heart", 7, 0), ("a", "fire", 1, 0)]

    def owed(limit: int = 10) -> list[str]:
        return list(database.execute(statements.OWED, {"limit": limit}).scalars())

    def announce(total: int) -> None:
        said = {"its_video": "v", "its_reaction": "heart", "its_total": total}
        database.execute(statements.ANNOUNCED, [said])

    assert (owed(), owed(1)) == (["a", "v"], ["a"])
    announce(6)
    assert owed() == ["a", "v"]
    announce(7)
    announce(5)  # an earlier announcement, which comes late
    assert owed() == ["a"]


def test_a_key_answers_until_it_expires(database: Connection) -> None:
    key = {"video": "v", "route": "likes", "user": "", "key": "k", "answer": b"{}", "expires": 10}
    database.execute(statements.NEW_KEYS, [key])

    def known(age: int) -> int:
        given = {"keys": [("v", "likes", "", "k"), ("v", "likes", "", "other")], "age": age}
        return len(database.execute(statements.KNOWN_KEYS, given).all())

    assert (known(9), known(10)) == (1, 0)
    database.execute(statements.EXPIRED_KEYS, {"age": 9})
    assert len(rows(database, idempotency_keys)) == 1
    database.execute(statements.EXPIRED_KEYS, {"age": 10})
    assert rows(database, idempotency_keys) == []


def test_a_serial_returns_the_one_before(database: Connection) -> None:
    life = database.execute(insert(lives).values(serial=0, previous=0).returning(lives.c.number)).scalar_one()

    def advance(serial: int) -> int:
        return int(database.execute(statements.NEXT_SERIAL, {"life": life, "next": serial}).scalar_one())

    assert [advance(1), advance(2), advance(2)] == [0, 1, 2], (
        "the third attempt sees that the second was made"
    )


def test_a_store_only_grows_older_and_is_made_once(database: Connection) -> None:
    for name in ("first", "second"):
        database.execute(statements.new_store("sqlite"), {"only": 1, "id": name, "age": 0})
    ages = [database.execute(statements.GROW_OLDER, {"mine": mine}).scalar_one() for mine in (5, 3, 9)]
    assert ages == [5, 5, 9]
    assert rows(database, store) == [(1, "first", 9)]


def test_an_accepted_row_leaves_the_outbox(database: Connection) -> None:
    for sender, number in (("a", 1), ("a", 2), ("b", 1)):
        database.execute(
            statements.NEW_ROWS, {"sender": sender, "number": number, "is_retraction": False, "body": b""}
        )
    database.execute(statements.ACCEPTED, [{"its_sender": "a", "its_number": 1}])
    assert [row[:2] for row in rows(database, outbox)] == [("a", 2), ("b", 1)]


def test_a_received_comment_keeps_its_text_and_gets_the_events_time_and_role(database: Connection) -> None:
    ours = {
        "id": "c",
        "video": "v",
        "user": "ada",
        "text": "hi",
        "at": 1,
        "position": None,
        "retracted": False,
        "role": None,
    }
    database.execute(statements.NEW_COMMENTS, [ours])
    database.execute(
        COMMENT, [ours | {"at": 9, "position": 7, "role": "host", "text": "another", "user": "bob"}]
    )
    assert [row[1:] for row in rows(database, comments)] == [("c", "v", "ada", "hi", 9, 7, False, "host")]
    gone = {"id": "c", "video": "v", "user": None, "text": "", "at": 0, "retracted": True}
    database.execute(RETRACTION, [gone, gone | {"id": "later"}])
    database.execute(COMMENT, [ours | {"id": "later", "text": "too late"}])
    found = {row[1]: (row[3], row[4], row[7]) for row in rows(database, comments)}
    assert found == {"c": (None, "", True), "later": (None, "", True)}


def test_of_received_values_the_newest_stays(database: Connection) -> None:
    for total in (5, 9, 7):
        database.execute(TOTAL, [{"video": "v", "store": "s", "reaction": "heart", "total": total}])
    assert rows(database, peer_totals) == [("v", "s", "heart", 9)]
    for at, name in ((5, "b"), (5, "c"), (5, "a"), (4, "z")):
        rule = {"video": "v", "key": "settings", "at": at, "id": name, "line": name.encode()}
        database.execute(RULE, [rule])
    assert rows(database, rules) == [("v", "settings", 5, "c", b"c")]
    for text in (b"first", b"second"):
        database.execute(ACT, [{"id": "a", "video": "v", "at": 1, "event": text}])
    assert rows(database, acts) == [("a", "v", 1, b"first")]
    for epoch, offset, whole in (("e", 9, True), ("f", 2, False)):
        database.execute(PLACE, {"video": "v", "epoch": epoch, "heard": offset, "is_complete": whole})
    assert rows(database, followed) == [("v", "f", 2, False)], "another epoch begins anew"


def test_on_postgresql_totals_are_locked_while_they_are_read() -> None:
    def text(statement: Executable) -> str:
        return str(statement.compile(dialect=postgresql.dialect()))  # type: ignore[attr-defined,no-untyped-call]

    assert text(statements.LOCKED_TOTALS).endswith("FOR UPDATE")
    assert text(statements.TOTALS) + " FOR UPDATE" == text(statements.LOCKED_TOTALS)
    for statement in (*statements.upserts("postgresql"), statements.add_totals("postgresql")):
        assert " ON CONFLICT " in text(statement)
