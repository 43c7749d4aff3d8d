"""Commands written together: what each is answered, and what the tables and the outbox have afterwards."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveserver import state
from liveserver.backend.commands import Acknowledged, Comment, Like, Retraction, Stored
from liveserver.backend.received import ReceivedComment, ReceivedEvents, ReceivedRule
from liveserver.errors import Forbidden, NotFound
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


def test_without_a_user_there_is_none(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    [row] = store.commit([Like("v", None, "heart")]).rows
    assert "user" not in msgspec.json.decode(row.body)
    store.close()


def test_a_retracted_comment_is_gone_and_published_once(tmp_path: Path) -> None:
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
    done = store.commit([like()], Acknowledged(rows[:1200]))
    assert store.waiting(1000) == rows[1200:] + done.rows
    assert store.waiting(7) == rows[1200:1207]
    store.close()


def test_a_key_is_its_users_own(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    asked = [Like("v", user, "heart", "a") for user in ("ada", "bob", None, "ada", "bob", None)]
    outcomes = store.commit(asked).outcomes
    assert len({outcome.id for outcome in outcomes if isinstance(outcome, Stored)}) == 3
    assert outcomes[:3] == outcomes[3:] == store.commit(asked[:3]).outcomes
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


def test_an_answers_total_has_the_other_stores_likes_and_the_sum_of_all_reactions(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.others["v"] = 100
    commands = [like(), like(reaction="fire"), like("w"), like()]
    found = store.commit(commands)
    assert [each.total for each in found.outcomes if isinstance(each, Stored)] == [101, 102, 1, 103]
    assert found.totals == {"v": {"heart": 2, "fire": 1}, "w": {"heart": 1}}
    assert (found.stored, found.repeats) == (4, 0)
    assert found.likes == [("v", "u1"), ("v", "u1"), ("w", "u1"), ("v", "u1")]
    store.close()


def test_repeats_within_one_transaction_are_answered_once_stored(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    found = store.commit([comment(key="k"), comment("again", key="k"), comment("other", key="k2")])
    first, again, other = found.outcomes
    assert first == again != other
    assert (found.stored, found.repeats, len(found.rows)) == (2, 1, 2)
    assert found.commented == {"v"}
    assert look(tmp_path, "select text from comments order by number") == [("hi",), ("other",)]
    store.close()


def test_only_its_user_takes_a_comment_back_and_only_of_its_video(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    made = store.commit([comment()]).outcomes[0]
    assert isinstance(made, Stored)
    refused = store.commit([
        Retraction("v", made.id, "r1", None, "bob"),
        Retraction("w", made.id, "r2", None, "u1"),
        Retraction("v", "nothing", "r3"),
    ])  # fmt: skip
    assert [type(each) for each in refused.outcomes] == [Forbidden, NotFound, NotFound]
    assert (refused.rows, refused.stored) == ([], 0)
    done = store.commit([Retraction("v", made.id, "r4", "mo", "u1"), Retraction("v", made.id, "r4", "mo")])
    assert done.outcomes == [Stored(made.id)] * 2
    [row] = done.rows
    assert row.is_retraction
    assert msgspec.json.decode(row.body) | {"at": 0} == {
        "id": "r4", "video": "v", "type": "retract", "at": 0, "data": {"id": made.id}, "by": "mo",
    }  # fmt: skip
    assert look(tmp_path, "select text, user, retracted from comments") == [("", None, 1)]
    store.close()


def test_a_comment_may_be_taken_back_in_the_transaction_that_stores_it(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    first = store.commit([comment("first")]).outcomes[0]
    assert isinstance(first, Stored)
    store.commit([comment("second"), Retraction("v", first.id, "r"), comment("third")])
    assert look(tmp_path, "select text, retracted from comments order by number") == [
        ("", 1), ("second", 0), ("third", 0),
    ]  # fmt: skip
    store.close()


def test_a_cleared_users_comments_are_taken_back_until_then(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    said = [ReceivedComment(name, user, name, at) for name, user, at in
            (("a", "ada", 5), ("b", "ada", 6), ("c", "bob", 5))]  # fmt: skip
    event = b'{"id":"x","data":{"user":"ada"}}'
    line = state.head("clear", "clear/ada", None, 5, is_cleared=False, is_internal=True) + b" " + event
    rule = ReceivedRule(state.read(line), line)
    store.commit([ReceivedEvents("v", "e", 1, True, said, rules=[rule])])
    assert look(tmp_path, "select id, text from comments where retracted = 0 order by id") == [
        ("b", "b"), ("c", "c"),
    ]  # fmt: skip
    assert look(tmp_path, "select key, at, id from rules") == [("clear/ada", 5, "x")]
    store.close()


def test_our_own_totals_are_not_taken_from_the_log(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.commit([ReceivedEvents("v", "e", 1, True, totals={store.id: {"heart": 9}, "other": {"heart": 2}})])
    assert look(tmp_path, "select store, total from peer_totals") == [("other", 2)]
    store.close()
