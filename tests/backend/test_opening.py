"""The database of a backend is found, waited for, or refused in one sentence."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from liveserver.backend.opening import database_url, open_store
from liveserver.config import BackendSettings, LikeSettings
from liveserver.errors import ConfigError


def test_a_file_is_in_the_directory_which_is_made(tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "data"
    with ExitStack() as stack:
        url = database_url(BackendSettings(database="x.db", directory=str(directory)), stack)
    assert url == f"sqlite:///{directory / 'x.db'}"
    assert directory.is_dir()


def test_a_database_in_memory_is_gone_with_the_stack() -> None:
    with ExitStack() as stack:
        directory = Path(
            database_url(BackendSettings(database=":memory:"), stack).removeprefix("sqlite:///")
        ).parent
        assert directory.is_dir()
    assert not directory.exists()


def test_a_url_stays_as_it_is() -> None:
    with ExitStack() as stack:
        assert database_url(BackendSettings(database="postgresql://h/d"), stack) == "postgresql://h/d"


def test_a_directory_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = BackendSettings(directory=str(tmp_path / "file" / "below"))
    with ExitStack() as stack, pytest.raises(ConfigError, match="cannot be created"):
        database_url(settings, stack)


@pytest.mark.parametrize("url", ["postgresql://u:geheim@host:port/d", "nonsense://u:geheim@host/d"])
async def test_a_url_that_cannot_be_opened_is_refused_without_its_password(
    url: str, autojump_clock: MockClock
) -> None:
    with pytest.raises(ConfigError) as raised:
        await open_store(url, BackendSettings(), LikeSettings())
    assert "geheim" not in str(raised.value)


async def test_a_database_that_does_not_answer_keeps_no_node_from_ending() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"postgresql://u:p@127.0.0.1:{silent.getsockname()[1]}/x?connect_timeout=600"
        with trio.fail_after(300), trio.move_on_after(0.2) as scope:
            await open_store(url, BackendSettings(), LikeSettings())
        assert scope.cancelled_caught
