"""Schema versions: made, upgraded with data, stamped, refused; on SQLite and PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, create_mock_engine, make_url, text

from liveserver.backend.commands import Comment
from liveserver.backend.engine import open_engine
from liveserver.backend.migrations import HEAD, migrate, read_version
from liveserver.backend.schema import metadata
from liveserver.backend.store import Store
from liveserver.errors import ConfigError
from tests.backend.harness import comment, like, settings
from tests.backend.postgres import postgres, programs


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    binaries = programs()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed")
    with postgres(binaries) as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.process)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'likes.db'}"
    found: str = request.getfixturevalue("server")
    run(found, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    return found


def run(url: str, *statements: str) -> None:
    with writing(url) as connection:
        for statement in statements:
            connection.execute(text(statement))


def writing(url: str) -> _Writing:
    return _Writing(open_engine(url, writes=True))


class _Writing:
    """A transaction on a connection of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._begun = engine.begin()

    def __enter__(self) -> Connection:
        return self._begun.__enter__()

    def __exit__(self, *error: object) -> None:
        self._begun.__exit__(*error)  # type: ignore[arg-type]
        self._engine.dispose()


def version(url: str) -> str | None:
    with writing(url) as connection:
        return read_version(connection)


def filled(url: str) -> None:
    """Fill a database with one of each, and leave it as it was before there were versions."""
    store = Store(url, settings())
    store.commit([like(), like(key="k"), comment("old"), Comment("v", "u", "timed", position=7)])
    store.close()
    run(url, "DROP TABLE alembic_version", "ALTER TABLE comments DROP COLUMN role")


def assert_filled(url: str, likes: int) -> None:
    store = Store(url, settings())
    done = store.commit([like(), like(key="k")])  # the key is still known
    assert [each.total for each in store.read_totals(["v"])["v"]] == [likes + 1]
    assert len(done.rows) <= 1
    newest = store.comments("v", None, 9)
    assert newest is not None
    assert {each["text"] for each in newest} == {"old", "timed"}
    store.close()


def differences(url: str) -> list[object]:
    with writing(url) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return [
            each
            for each in compare_metadata(context, metadata)
            if not (each[0] == "remove_table" and each[1].name == "alembic_version")
        ]


def test_a_new_database_has_the_newest_version(url: str) -> None:
    engine = open_engine(url, writes=True)
    assert (migrate(engine), migrate(engine)) == (None, HEAD)
    engine.dispose()
    assert version(url) == HEAD
    assert differences(url) == []


def test_a_database_without_a_version_is_stamped_and_keeps_its_data(url: str) -> None:
    filled(url)
    assert version(url) is None
    assert_filled(url, likes=2)
    assert version(url) == HEAD
    assert differences(url) == []


def test_an_older_one_gets_the_tables_columns_and_indexes_that_it_lacks(url: str) -> None:
    """What the first databases looked like: no media time, no sums, no moderation."""
    filled(url)
    run(
        url,
        "DROP INDEX totals_owed",
        "ALTER TABLE totals DROP COLUMN announced",
        "ALTER TABLE likes DROP COLUMN position",
        "ALTER TABLE comments DROP COLUMN position",
        "DROP TABLE rules",
        "DROP TABLE acts",
    )
    assert_filled(url, likes=2)
    assert version(url) == HEAD
    assert differences(url) == []


def test_a_database_of_the_version_before_gets_the_roles_and_serves_both_versions(url: str) -> None:
    filled(url)
    run(
        url,
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)",
        "INSERT INTO alembic_version VALUES ('0001')",
    )
    store = Store(url, settings())
    assert version(url) == HEAD
    assert differences(url) == []
    # A backend of the version before goes on.
    run(url, "INSERT INTO comments (id, video, text, at, retracted) VALUES ('b', 'v', 'before', 1, false)")
    store.commit([Comment("v", "mo", "new", role="moderator")])
    newest = store.comments("v", None, 9)
    assert newest is not None
    assert {each["text"]: each.get("role") for each in newest} == {
        "new": "moderator", "old": None, "timed": None, "before": None,
    }  # fmt: skip
    store.close()


def test_a_newer_version_is_refused_and_nothing_is_changed(url: str) -> None:
    filled(url)
    run(
        url,
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)",
        "INSERT INTO alembic_version VALUES ('9999')",
        "DROP TABLE acts",
    )
    with pytest.raises(ConfigError, match=r"backend\.database: has schema version '9999'"):
        Store(url, settings())
    run(url, "CREATE TABLE acts (id INT)")  # it was not made anew
    with writing(url) as connection:
        assert connection.execute(text("SELECT total FROM totals")).all() == [(2,)]
        assert connection.execute(text("SELECT version_num FROM alembic_version")).all() == [("9999",)]


def test_of_several_that_start_at_once_one_upgrades(url: str) -> None:
    filled(url)
    before: list[str | None] = []
    failed: list[BaseException] = []

    def start() -> None:
        engine = open_engine(url, writes=True)
        try:
            before.append(migrate(engine))
        except BaseException as error:
            failed.append(error)
        finally:
            engine.dispose()

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    assert sorted(before, key=str) == [*[HEAD] * 3, None]
    assert_filled(url, likes=2)


def test_indexes_are_partial_in_both_dialects() -> None:
    for url in ("sqlite://", "postgresql+psycopg://"):
        dialect = make_url(url).get_dialect()()
        made: list[str] = []

        def note(statement: Any, *_: Any, made: list[str] = made, dialect: Any = dialect, **__: Any) -> None:
            made.append(str(statement.compile(dialect=dialect)))

        metadata.create_all(create_mock_engine(url, note), checkfirst=False)
        partial = [each.split()[2] for each in made if "CREATE INDEX" in each and " WHERE " in each]
        assert sorted(partial) == ["comments_shown", "totals_owed"], url
