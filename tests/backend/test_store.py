"""Transactions are atomic and durable."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import SQLAlchemyError

from liveserver.backend.commands import Acknowledged, Comment, Stored
from liveserver.backend.received import ReceivedComment, ReceivedEvents
from tests.backend.harness import Clock, comment, like, look, open_store


def test_an_older_database_is_given_the_columns_of_media_time(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.commit([like(), comment("old")])
    store.close()
    look(tmp_path, "drop table alembic_version")
    look(tmp_path, "alter table comments drop column role")
    for name in ("likes", "comments"):
        look(tmp_path, f"alter table {name} drop column position")
    store = open_store(tmp_path)
    store.commit([Comment("v", "u", "new", position=7)])
    newest = store.comments("v", None, 9)
    assert newest is not None
    assert {each["text"]: each.get("position") for each in newest} == {"new": 7, "old": None}
    store.close()


def test_the_newest_comments_come_first_and_are_text_as_it_is(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    texts = ["<b>no markup</b>", "'; drop table likes; --", "ünïcödé 💜", '\u2028 & \\ "']
    store.commit([comment(text) for text in texts])
    newest = store.comments("v", None, 3)
    assert newest
    assert [each["text"] for each in newest] == texts[:0:-1]
    assert set(newest[0]) == {"id", "user", "text", "at"}
    store.close()


def test_a_comment_has_its_users_role_until_its_event_says_another(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    (made,) = store.commit([Comment("v", "mo", "ours", role="moderator")]).outcomes
    store.commit(
        [ReceivedEvents("v", "e", 1, True, [ReceivedComment("h", "ho", "received", 2**45, role="host")])]
    )
    assert store.comments("v", None, 1) == [
        {"id": "h", "user": "ho", "text": "received", "at": 2**45, "role": "host"}
    ]
    assert [each.get("role") for each in store.comments("v", None, 9) or []] == ["host", "moderator"]
    look(tmp_path, "update comments set role = null")  # stored by a backend of the version before
    assert isinstance(made, Stored)
    said = [
        ReceivedComment(made.id, "mo", "ours", 1, role="moderator"),
        ReceivedComment("h", "ho", "received", 2),
    ]
    store.commit([ReceivedEvents("v", "e", 2, True, said)])
    assert [each.get("role") for each in store.comments("v", None, 9) or []] == [None, "moderator"]
    store.close()


@pytest.mark.parametrize("step", [1.0, 3600.0, -3600.0, 0.0])
def test_the_next_life_finds_what_was_left_in_order_whatever_the_clock_says(
    tmp_path: Path, step: float
) -> None:
    clock = Clock()
    lives = []
    for _ in range(3):
        store = open_store(tmp_path, clock)
        lives.append(store.commit([like(), like()]).rows)
        store.close()
        clock.now += step
    store = open_store(tmp_path, clock)
    assert store.waiting(100) == [row for rows in lives for row in rows]
    store.commit([], Acknowledged(lives[0] + lives[1]))
    assert store.waiting(100) == lives[2]
    store.close()


@pytest.mark.parametrize("step", [7200.0, -7200.0])
def test_a_clock_that_is_set_changes_nothing_for_keys(tmp_path: Path, step: float) -> None:
    clock, running = Clock(), Clock()
    store = open_store(tmp_path, clock, running, idempotency_window="1h")
    [first] = store.commit([like(key="a")]).outcomes
    clock.now += step
    assert store.commit([like(key="a")]).outcomes == [first]
    running.now += 3500
    assert store.commit([like(key="a")]).outcomes == [first]
    store.close()
    running.now = 5.0  # the machine was started anew; the store is as old as it was
    reopened = open_store(tmp_path, clock, running, idempotency_window="1h")
    running.now += 50
    assert reopened.commit([like(key="a")]).outcomes == [first]
    running.now += 100
    assert reopened.commit([like(key="a")]).outcomes != [first]
    reopened.close()


def test_two_processes_at_one_database_have_lives_of_their_own(tmp_path: Path) -> None:
    first, second = open_store(tmp_path), open_store(tmp_path)
    assert first.id == second.id
    assert first.sender != second.sender
    rows = first.commit([like()]).rows + second.commit([like()]).rows
    assert first.waiting(10) == second.waiting(10) == rows
    first.close()
    second.close()


def test_a_transaction_whose_answer_was_lost_is_known_when_it_is_made_again(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    engine = store._writing
    commit = engine.dialect.do_commit

    def lose_answer(connection: Any) -> None:
        commit(connection)
        raise sqlite3.OperationalError("the answer was lost")

    engine.dialect.do_commit = lose_answer  # type: ignore[method-assign,assignment]
    with pytest.raises(SQLAlchemyError):
        store.commit([like(), comment()])
    engine.dialect.do_commit = commit  # type: ignore[method-assign]
    again = store.commit([like(), comment()], again=True)
    assert look(tmp_path, "select count(*) from likes") == [(1,)]
    assert store.waiting(10) == again.rows
    assert [len(again.outcomes), len(again.rows)] == [2, 2]
    [after] = store.commit([like()]).outcomes
    assert isinstance(after, Stored)
    assert after.total == 2
    store.close()


def test_a_transaction_that_failed_is_stored_when_it_is_made_again(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.commit([like()])
    rename = "alter table outbox rename to hidden"
    look(tmp_path, rename)
    with pytest.raises(SQLAlchemyError):
        store.commit([like()])
    look(tmp_path, "alter table hidden rename to outbox")
    [outcome] = store.commit([like()], again=True).outcomes
    assert isinstance(outcome, Stored)
    assert outcome.total == 2
    assert look(tmp_path, "select count(*) from likes") == [(2,)]
    store.close()


def test_a_database_that_forgot_the_life_begins_another(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    before = store.sender
    look(tmp_path, "delete from lives")
    [row] = store.commit([like()]).rows
    assert row.sender == store.sender != before
    assert store.commit([like()], again=True).rows == [row], "it is known by its new life's number"
    store.close()


def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.commit([like()])
    look(tmp_path, "drop table outbox")
    with pytest.raises(SQLAlchemyError):
        store.commit([like(), comment(), like(key="a")])
    assert look(tmp_path, "select count(*) from likes") == [(1,)]
    assert look(tmp_path, "select total from totals") == [(1,)]
    assert look(tmp_path, "select count(*) from comments") == [(0,)]
    store.close()


def test_a_page_does_not_begin_at_a_comment_of_which_only_the_retraction_is_known(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.commit([comment("one"), ReceivedEvents("v", "e", 1, True, retracted=["unseen"])])
    assert store.comments("v", "unseen", 9) is None
    said = ReceivedComment("unseen", "u", "x", 10**15)
    store.commit([ReceivedEvents("v", "e", 2, True, comments=[said])])
    assert [each["text"] for each in store.comments("v", "unseen", 9) or ()] == ["one"]
    store.close()
