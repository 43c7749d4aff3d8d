"""Children end with their supervisor, however it ended."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import trio

from liveserver.cluster import parent_watch
from liveserver.cluster.parent_watch import ParentWatch


@pytest.mark.process
async def test_children_read_the_end_of_file_when_the_supervisor_is_gone() -> None:
    with ParentWatch() as watched:
        process = await trio.lowlevel.open_process(["/bin/cat"], stdin=watched.reading_end)
    with trio.fail_after(60):
        assert await process.wait() == 0


@pytest.mark.process
async def test_a_child_that_does_not_read_is_ended_with_the_supervisor() -> None:
    sleeper = await trio.lowlevel.open_process(["/bin/sleep", "600"])
    with ParentWatch() as watched:
        async with watched.guarding(sleeper.pid):
            watched.cut()
            with trio.fail_after(60):
                assert await sleeper.wait() == -signal.SIGTERM


def test_the_pipe_is_closed_once_and_only_at_its_writing_end() -> None:
    with ParentWatch() as watched:
        watched.cut()
        watched.cut()
        assert os.read(watched.reading_end, 1) == b""
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(watched.reading_end)


def test_at_the_end_of_the_input_a_process_is_asked_to_end_and_then_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[object] = []
    chunks = [b"what is written", b"is ignored", b""]
    system = SimpleNamespace(
        read=lambda descriptor, size: chunks.pop(0),
        getpid=lambda: 77,
        kill=lambda pid, number: done.append((pid, number, len(chunks))),
        _exit=done.append,
    )
    monkeypatch.setattr(parent_watch, "os", system)
    monkeypatch.setattr(parent_watch, "time", SimpleNamespace(sleep=done.append))
    monkeypatch.setattr(parent_watch, "threading", SimpleNamespace(Thread=Immediately))
    parent_watch.end_with_standard_input(10.0)
    assert done == [(77, signal.SIGTERM, 0), 10.0 + parent_watch.PATIENCE, 1]


class Immediately:
    """A thread whose `start` runs it to its end."""

    def __init__(self, target: Callable[..., None], args: tuple[float], name: str, daemon: bool) -> None:
        assert daemon, "it would keep the process from ending"
        self.start = lambda: target(*args)
