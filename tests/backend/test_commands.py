"""Commands and results: their order, their emptiness, and texts that no database takes."""

from __future__ import annotations

import msgspec
import pytest

from liveserver.backend.commands import Acknowledged, Comment, Like, OutboxRow, Stored, check_user, reject_nul
from liveserver.errors import BadRequest


def test_rows_are_ordered_by_their_sender_and_then_by_number() -> None:
    rows = [OutboxRow("b", 1, False, b""), OutboxRow("a", 10, True, b""), OutboxRow("a", 9, False, b"")]
    assert [row.position for row in sorted(rows, key=lambda row: row.position)] == [
        ("a", 9), ("a", 10), ("b", 1),
    ]  # fmt: skip


def test_what_was_accepted_counts_if_it_has_rows_or_totals() -> None:
    assert not Acknowledged()
    assert Acknowledged(rows=[OutboxRow("a", 1, False, b"")])
    assert Acknowledged(totals={("v", "heart"): 3})


def test_only_an_answer_to_a_like_has_a_total() -> None:
    assert msgspec.json.encode(Stored("a")) == b'{"id":"a"}'
    assert msgspec.json.encode(Stored("a", 0)) == b'{"id":"a","total":0}'


def test_a_key_is_of_one_route() -> None:
    assert Like("v", None, "heart", "k").route != Comment("v", None, "hi", "k").route


def test_a_nul_is_refused_wherever_it_is() -> None:
    assert reject_nul("text\x01\n", "comment") == "text\x01\n"
    for text in ("\0", "a\0", "\0b"):
        with pytest.raises(BadRequest, match="a user may not have a NUL character"):
            reject_nul(text, "user")


def test_a_user_can_be_stored_and_named_in_a_url() -> None:
    for user in ("ada", "...", "a/..", "a\n", " "):
        assert check_user(user) == user
    for user in (".", "..", "a\0"):
        with pytest.raises(BadRequest, match="a user has"):
            check_user(user)
