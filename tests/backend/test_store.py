"""What is stored in one transaction belongs together, and is there in the next life."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import SQLAlchemyError

from liveserver.backend.commands import Like, Retraction, Stored
from liveserver.errors import BadRequest, NotFound
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
        "data": {"reaction": "heart"},
    }
    assert store.waiting(("", 0), 10) == done.rows
    assert store.summary("v").reactions == {"heart": 1, "wow": 1}
    assert (store.summary("v").likes, store.summary("w").likes, store.summary("x").likes) == (2, 1, 0)
    store.close()


def test_without_a_user_there_is_none(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    [row] = store.commit([Like("v", None, "heart")]).rows
    assert "user" not in msgspec.json.decode(row.body)
    store.close()


def test_the_newest_comments_come_first_and_are_text_as_it_is(tmp_path: Path) -> None:
    store = open_store(tmp_path, summary_comments=3)
    texts = ["<b>no markup</b>", "'; drop table likes; --", "ünïcödé 💜", '\u2028 & \\ "']
    store.commit([comment(text) for text in texts])
    assert [each["text"] for each in store.summary("v").comments] == texts[:0:-1]
    assert set(store.summary("v").comments[0]) == {"id", "user", "text", "at"}
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
    assert [each["text"] for each in store.summary("v").comments] == ["stays"]
    assert look(tmp_path, "select count(*) from comments where text = 'secret'") == [(0,)]
    refused = store.commit([Retraction("w", made.id), Retraction("v", "nothing")]).outcomes
    assert [type(outcome) for outcome in refused] == [NotFound, NotFound]
    store.close()


def test_a_key_answers_the_same_and_stores_once(tmp_path: Path) -> None:
    clock = Clock()
    store = open_store(tmp_path, clock, idempotency_window="1h")
    done = store.commit([like(key="a"), like(key="a"), like(key="b"), comment(key="a"), like("w", key="a")])
    assert done.outcomes[0] == done.outcomes[1]
    assert (len(done.rows), done.repeats) == (4, 1)
    store.commit([like()])
    again = store.commit([like(key="a"), comment(key="a")])
    assert again.outcomes == [done.outcomes[0], done.outcomes[3]]
    assert (again.rows, again.repeats) == ([], 2)
    store.close()

    reopened = open_store(tmp_path, clock, idempotency_window="1h")
    assert reopened.commit([like(key="a")]).outcomes == [done.outcomes[0]]
    clock.now += 3601
    assert len(reopened.commit([like(key="a")]).rows) == 1
    assert look(tmp_path, "select count(*) from answers") == [(1,)]  # those that expired are gone
    reopened.close()


def test_what_a_dispatcher_accepted_leaves_the_outbox(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    rows = store.commit([like() for _ in range(1500)]).rows
    done = store.commit([like()], rows[:1200])
    assert store.waiting(("", 0), 1000) == rows[1200:] + done.rows
    assert store.waiting(rows[1300].position, 1000) == rows[1301:] + done.rows
    assert store.waiting(("", 0), 7) == rows[1200:1207]
    store.close()


def test_the_next_life_finds_what_was_left_in_order(tmp_path: Path) -> None:
    clock = Clock()
    lives = []
    for _ in range(3):
        store = open_store(tmp_path, clock)
        lives.append(store.commit([like(), like()]).rows)
        store.close()
        clock.now += 1
    store = open_store(tmp_path, clock)
    assert store.waiting(("", 0), 100) == [row for rows in lives for row in rows]
    store.commit([], lives[0] + lives[1])
    assert store.waiting(("", 0), 100) == lives[2]
    store.close()


def test_a_video_has_so_many_reactions_and_no_more(tmp_path: Path) -> None:
    store = open_store(tmp_path, max_reactions=2)
    outcomes = store.commit([like(reaction=name) for name in ("a", "b", "c", "a")]).outcomes
    assert [type(outcome) for outcome in outcomes] == [Stored, Stored, BadRequest, Stored]
    assert isinstance(store.commit([like(reaction="d")]).outcomes[0], BadRequest)
    assert store.summary("v").reactions == {"a": 2, "b": 1}
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
        store = open_store(directory, max_reactions=3)
        seen: Counter[str] = Counter()
        answered: dict[tuple[str, str], Stored] = {}
        for batch in batches:
            for wish, outcome in zip(batch, store.commit(batch).outcomes, strict=True):
                assert isinstance(outcome, Stored)
                if wish.key is not None and (wish.video, wish.key) in answered:
                    assert outcome == answered[wish.video, wish.key]
                    continue
                seen[wish.video] += 1
                assert outcome.total == seen[wish.video]
                if wish.key is not None:
                    answered[wish.video, wish.key] = outcome
        counted = "select video, reaction, count(*) from likes group by 1, 2 order by 1, 2"
        kept = "select video, reaction, total from totals order by 1, 2"
        assert look(directory, counted) == look(directory, kept)
        assert look(directory, "select count(*) from outbox") == [(seen.total(),)]
        store.close()
