"""A user's data in the likes database is exported and erased completely."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from liveserver import state
from liveserver.backend.commands import Comment, Like
from liveserver.backend.privacy import erase_user, export_user, open_database
from liveserver.backend.received import ReceivedEvents, add_batches
from liveserver.backend.store import Store
from liveserver.config import BackendSettings
from liveserver.event import Batch
from liveserver.moderation import acts
from liveserver.moderation.acts import Act
from liveserver.moderation.rules import Ban, Pinned, Rules, VideoSettings, Waiting

LONG = "Ada L. of Łódź"  # keys have the hash of such a name
NOW = 1_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path / 'liveserver.db'}", BackendSettings())
    yield opened
    opened.close()


def hear(store: Store, *several: Act) -> None:
    """Store acts as if they had been read from the video's log."""
    lines = []
    for number, act in enumerate(several, 1):
        made = msgspec.structs.replace(act, id=f"a{number}", at=number)
        body = msgspec.json.encode(made.publication())
        if made.key is None:
            lines.append(f"{made.type} ".encode() + body)
        else:
            event = made.keyed()
            lines.append(
                state.head(
                    made.type, made.key, None, made.at,
                    is_cleared=event.is_cleared, is_internal=event.is_internal,
                ) + b" " + body
            )  # fmt: skip
    received = ReceivedEvents("v", "e", len(lines), True, [], [], {}, [], [])
    add_batches(received, [Batch("v", "e", 1, "dc1", "e", 1, lines)])
    store.commit([received])


def everything(tmp_path: Path) -> str:
    """Return all that the database's tables have, deleted pages excluded."""
    connection = sqlite3.connect(tmp_path / "liveserver.db")
    text = ""
    for (table,) in connection.execute("select name from sqlite_master where type = 'table'").fetchall():
        for row in connection.execute(f"select * from {table}").fetchall():
            text += repr([each.decode() if isinstance(each, bytes) else each for each in row])
    connection.close()
    return text


def acted(user: str, *, until: int | None) -> list[Act]:
    waiting = Waiting("w1", "waits", 1, user)
    return [
        acts.change_settings("v", user, VideoSettings("slow")),
        acts.ban("v", "mod", Ban(user, until, "was rude")),
        acts.clear("v", "mod", user),
        acts.pin("v", "mod", None, Pinned("pinned words", "c1", user)),
        acts.wait("v", waiting),
        acts.decide("v", "mod", Waiting("w2", "gone", 1, user), "rejected"),
        acts.announce("v", user, None, "to all"),
        acts.ban("v", "mod", Ban("bob", None, "stays")),
    ]


def known(store: Store) -> Rules:
    return Rules(store.load("v").rules)


@pytest.mark.parametrize("user", ["ada", LONG])
def test_rules_and_acts_are_exported_and_erased(store: Store, tmp_path: Path, user: str) -> None:
    store.commit([Like("v", user, "heart"), Comment("v", user, "stored words")])
    hear(store, *acted(user, until=NOW - 1))
    engine = open_database(BackendSettings(directory=str(tmp_path)))
    assert engine is not None
    before = known(store)
    kinds = [each["stored"] for each in export_user(engine, user)]
    assert kinds == ["like", "comment", *["rule"] * 6, *["act"] * 6]
    erased = erase_user(engine, user, NOW)
    assert (erased.rows, erased.bans_kept) == (14, 0)
    assert list(export_user(engine, user)) == []
    left = everything(tmp_path)
    for words in (user, "words", "waits", "was rude"):
        assert words not in left
    after = known(store)
    assert (after.settings.comments, list(after.bans), after.waiting, after.pinned) == (
        "slow", ["bob"], {}, None,
    )  # fmt: skip
    for key in ("pin", "waiting/w1", "settings"):
        left_of, had = after.get(key), before.get(key)
        assert left_of is not None
        assert had is not None
        assert left_of.rank == had.rank  # an older one stays stale
    received: list[Any] = [msgspec.json.decode(event) for _, event in store.acts("v", None, 20) or []]
    assert [(each["type"], each.get("by")) for each in received[1:3]] == [
        ("announcement", None), ("waiting", "mod"),
    ]  # fmt: skip
    assert received[1]["data"] == {"text": "to all"}
    engine.dispose()


@pytest.mark.parametrize("until", [None, NOW + 1])
def test_a_ban_that_holds_is_kept(store: Store, tmp_path: Path, until: int | None) -> None:
    hear(store, *acted("ada", until=until))
    engine = open_database(BackendSettings(directory=str(tmp_path)))
    assert engine is not None
    assert erase_user(engine, "ada", NOW).bans_kept == 1
    assert known(store).ban("ada", NOW) is not None
    assert [each["type"] for each in export_user(engine, "ada")] == ["ban"]
    engine.dispose()


def test_what_is_not_published_yet_loses_the_user(store: Store, tmp_path: Path) -> None:
    store.commit([Like("v", "ada", "heart"), Comment("v", "ada", "hers"), Comment("v", "bob", "his")])
    engine = open_database(BackendSettings(directory=str(tmp_path)))
    assert engine is not None
    erase_user(engine, "ada")
    waiting = [msgspec.json.decode(row.body) for row in store.waiting(10)]
    assert [each["data"].get("text") for each in waiting if each["type"] == "comment"] == ["his"]
    assert "ada" not in everything(tmp_path)
    engine.dispose()
