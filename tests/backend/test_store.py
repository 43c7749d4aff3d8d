"""Transactions are atomic and durable."""

from __future__ import annotations

import sqlite3
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import SQLAlchemyError

from liveserver.backend.commands import Accepted, Comment, Like, Retraction, Stored
from liveserver.errors import NotFound
from tests.backend.harness import Clock, comment, like, look, open_store


def test_a_like_its_total_and_its_outbox_row(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    done = store.commit([like(), like(reaction="wow"), like("w")])
    first, second, third = done.outcomes
    assert [outcome.total for outcome in (first, second, third) if isinstance(outcome, Stored)] == [1, 2, 1]
    assert isinstance(first, Stored)
    assert [(row.number, row.is_retraction) for row in done.rows] == [(1, False), (2, False), (3, False)]
    assert msgspec.json.decode(done.rows[0].body) == {
        "id": first.id,
        "video": "v",
        "type": "like",
        "user": "u1",
        "at": 1_763_862_000_000,
        "data": {"reaction": "heart"},
    }
    assert store.waiting(10) == done.rows
    assert store.load("v").totals == {store.id: {"heart": 1, "wow": 1}}
    assert (store.load("w").totals, store.load("x").totals) == ({store.id: {"heart": 1}}, {store.id: {}})
    store.close()


def test_media_time_is_stored_and_published(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    done = store.commit(
        [Like("v", "u", "heart", position=1500), Comment("v", "u", "hi", position=0), comment()]
    )
    events = [msgspec.json.decode(row.body) for row in done.rows]
    assert [event.get("position") for event in events] == [1500, 0, None]
    newest = store.comments("v", None, 9)
    assert newest is not None
    assert [each.get("position", "none") for each in newest] == ["none", 0]
    assert look(tmp_path, "select position from likes") == [(1500,)]
    store.close()


def test_an_older_database_is_given_the_columns_of_media_time(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.commit([like(), comment("old")])
    store.close()
    look(tmp_path, "drop table alembic_version")
    for name in ("likes", "comments"):
        look(tmp_path, f"alter table {name} drop column position")
    store = open_store(tmp_path)
    store.commit([Comment("v", "u", "new", position=7)])
    newest = store.comments("v", None, 9)
    assert newest is not None
    assert {each["text"]: each.get("position") for each in newest} == {"new": 7, "old": None}
    store.close()


def test_without_a_user_there_is_none(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    [row] = store.commit([Like("v", None, "heart")]).rows
    assert "user" not in msgspec.json.decode(row.body)
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


def test_a_retracted_comment_is_gone_and_told_once(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    [made, _] = store.commit([comment("secret"), comment("stays")]).outcomes
    assert isinstance(made, Stored)
    done = store.commit([Retraction("v", made.id), Retraction("v", made.id)])
    assert done.outcomes == [Stored(made.id)] * 2
    [row] = done.rows
    assert row.is_retraction
    event = msgspec.json.decode(row.body)
    assert (event["type"], event["video"], event["data"]) == ("retract", "v", {"id": made.id})
    assert [each["text"] for each in store.comments("v", None, 9) or []] == ["stays"]
    assert look(tmp_path, "select count(*) from comments where text = 'secret'") == [(0,)]
    refused = store.commit([Retraction("w", made.id), Retraction("v", "nothing")]).outcomes
    assert [type(outcome) for outcome in refused] == [NotFound, NotFound]
    store.close()


def test_a_key_answers_the_same_and_stores_once(tmp_path: Path) -> None:
    running = Clock()
    store = open_store(tmp_path, monotonic=running, idempotency_window="1h")
    done = store.commit([like(key="a"), like(key="a"), like(key="b"), comment(key="a"), like("w", key="a")])
    assert done.outcomes[0] == done.outcomes[1]
    assert (len(done.rows), done.repeats) == (4, 1)
    store.commit([like()])
    again = store.commit([like(key="a"), comment(key="a")])
    assert again.outcomes == [done.outcomes[0], done.outcomes[3]]
    assert (again.rows, again.repeats) == ([], 2)
    store.close()

    reopened = open_store(tmp_path, monotonic=running, idempotency_window="1h")
    assert reopened.commit([like(key="a")]).outcomes == [done.outcomes[0]]
    running.now += 3601
    assert len(reopened.commit([like(key="a")]).rows) == 1
    assert look(tmp_path, "select count(*) from idempotency_keys") == [(1,)]  # those that expired are gone
    reopened.close()


def test_accepted_rows_are_removed_from_the_outbox(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    rows = store.commit([like() for _ in range(1500)]).rows
    done = store.commit([like()], Accepted(rows[:1200]))
    assert store.waiting(1000) == rows[1200:] + done.rows
    assert store.waiting(7) == rows[1200:1207]
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
    store.commit([], Accepted(lives[0] + lives[1]))
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


def test_a_key_is_its_users_own(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    asked = [Like("v", user, "heart", "a") for user in ("ada", "bob", None, "ada", "bob", None)]
    outcomes = store.commit(asked).outcomes
    assert len({outcome.id for outcome in outcomes if isinstance(outcome, Stored)}) == 3
    assert outcomes[:3] == outcomes[3:] == store.commit(asked[:3]).outcomes
    store.close()


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


@pytest.mark.slow
@given(
    st.lists(
        st.lists(
            st.builds(
                like,
                st.sampled_from(["v", "w"]),
                st.sampled_from(["heart", "wow", "sad"]),
                st.sampled_from([None, None, "a", "b", "c"]),
            ),
            max_size=12,
        ),
        max_size=6,
    )
)
def test_totals_are_the_number_of_rows_and_answers_the_totals_of_their_time(
    batches: list[list[Like]],
) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        store = open_store(directory)
        seen: Counter[str] = Counter()
        answered: dict[tuple[str, str], Stored] = {}
        for batch in batches:
            for command, outcome in zip(batch, store.commit(batch).outcomes, strict=True):
                assert isinstance(outcome, Stored)
                if command.key is not None and (command.video, command.key) in answered:
                    assert outcome == answered[command.video, command.key]
                    continue
                seen[command.video] += 1
                assert outcome.total == seen[command.video]
                if command.key is not None:
                    answered[command.video, command.key] = outcome
        counted = "select video, reaction, count(*) from likes group by 1, 2 order by 1, 2"
        kept = "select video, reaction, total from totals order by 1, 2"
        assert look(directory, counted) == look(directory, kept)
        assert look(directory, "select count(*) from outbox") == [(seen.total(),)]
        store.close()
