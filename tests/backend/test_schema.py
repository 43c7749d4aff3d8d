"""The tables, on SQLite: numbers are not reused, ids are unique, nothing is owed at first."""

from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy import BigInteger, String, delete, insert, select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from liveserver.backend.schema import comments, lives, metadata, totals

COMMENT = {"video": "v", "text": "hi", "at": 1}


@pytest.mark.parametrize("table", [comments, lives])
def test_a_number_is_not_given_twice_also_when_its_row_is_gone(database: Connection, table: object) -> None:
    if table is comments:
        rows = [COMMENT | {"id": name} for name in "abc"]
    else:
        rows = [{"serial": 0, "previous": 0}] * 3
    of = comments if table is comments else lives
    numbers = [
        database.execute(insert(of).values(**row).returning(of.c.number)).scalar_one() for row in rows[:2]
    ]
    if of is lives:
        database.execute(delete(of))
        numbers.append(database.execute(insert(of).values(**rows[2]).returning(of.c.number)).scalar_one())
        assert numbers == [1, 2, 3], "a life's number names its rows in the outbox"
    else:
        assert numbers == [1, 2]


def test_comments_have_ids_of_their_own_and_are_shown_at_first(database: Connection) -> None:
    database.execute(insert(comments).values(**COMMENT, id="a"))
    assert database.execute(select(comments.c.retracted)).scalar_one() is False
    with pytest.raises(IntegrityError) as raised:
        database.execute(insert(comments).values(**COMMENT, id="a"))
    assert isinstance(raised.value.orig, sqlite3.IntegrityError)


def test_a_new_total_was_not_announced(database: Connection) -> None:
    database.execute(insert(totals).values(video="v", reaction="heart", total=1))
    assert database.execute(select(totals.c.announced)).scalar_one() == 0


def test_times_and_totals_are_beyond_32_bits_and_ids_as_long_as_the_events() -> None:
    for table in metadata.sorted_tables:
        for column in table.columns:
            if column.name in ("at", "total", "announced", "position", "age", "serial", "expires", "heard"):
                assert isinstance(column.type, BigInteger), column
            if (table.name, column.name) in {(each, "id") for each in ("likes", "comments", "acts", "rules")}:
                assert isinstance(column.type, String)
                assert column.type.length == 128, column
