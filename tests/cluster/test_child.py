"""A child's output is passed through; it is restarted and ended, and ends with its supervisor."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from liveserver.cluster.child import RESTART_FIRST, RESTART_MOST, Child, backoff, describe
from liveserver.cluster.parent_watch import ParentWatch
from liveserver.errors import LiveserverError
from tests.cluster.harness import Log

pytestmark = pytest.mark.process

# What a shell puts into the background has no input; so it is given the one that lasts.
WAITS = "exec 3<&0; cat <&3 & wait"


@asynccontextmanager
async def running(script: str, log: Log, stop_after: float = 5.0) -> AsyncIterator[Child]:
    """A child that runs a shell script, ended at the end of the block."""
    with ParentWatch() as parent_watch:
        command = ["/bin/sh", "-c", script]
        child = Child(
            "a", command, stdin=parent_watch.reading_end, stop_after=stop_after, output=log, say=log
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child.run)
            with trio.fail_after(60):
                yield child
            nursery.cancel_scope.cancel()


async def test_a_childs_output_is_passed_through_to_its_last_line() -> None:
    log = Log()
    async with running("trap 'echo bye; printf end; exit' TERM; echo one; echo two >&2; " + WAITS, log):
        await log.wait_for("two")
    assert log.lines == ["one", "two", "bye", "end"]


async def test_a_child_that_dies_is_started_again() -> None:
    log = Log()
    async with running("echo up; kill -KILL $$", log) as child:
        await log.wait_for("up", times=2)
    assert child.starts == 2
    assert re.fullmatch(r"a was ended by SIGKILL; starting it again in 0\.[45] s", log.lines[1])


async def test_a_child_is_restarted_at_once_when_asked() -> None:
    log = Log()
    async with running("trap 'echo bye; exit' TERM; echo up; " + WAITS, log) as child:
        for number in (1, 2, 3):
            await log.wait_for("up", times=number)
            before = child.pid
            await child.restart()
            assert child.pid not in (before, None)
        await log.wait_for("up", times=4)
    assert child.starts == 4
    said = [re.sub("[0-9]+", "N", line) for line in log.lines]
    assert said == ["up", *(["bye", "a is now process N", "up"] * 3), "bye"]


async def test_a_restart_request_during_a_restart_is_ignored() -> None:
    log = Log()
    async with running("echo up; kill -KILL $$", log) as child:
        await log.wait_for("starting it again")
        await child.restart()
        assert child.starts == 2


async def test_a_child_that_does_not_end_is_killed() -> None:
    log = Log()
    async with running("trap '' TERM; echo up; while :; do read -r _; done", log, stop_after=0.1):
        await log.wait_for("up")
    assert log.lines == ["up", "a did not end within 0.1 s after SIGTERM; killed"]


async def test_a_child_that_was_stopped_is_killed() -> None:
    log = Log()
    async with running("echo up; read -r _", log, stop_after=0.1) as child:
        await log.wait_for("up")
        assert child.pid
        os.kill(child.pid, signal.SIGSTOP)
    assert child.pid is None


async def test_a_child_that_can_never_run_is_given_up() -> None:
    log = Log()
    with pytest.RaisesGroup(pytest.RaisesExc(LiveserverError, match="a cannot run with these settings")):
        async with running("echo why; exit 2", log):
            await trio.sleep_forever()
    assert log.lines == ["why"]


def test_restarts_are_spaced_wider_up_to_a_bound() -> None:
    for failures, longest in ((1, RESTART_FIRST), (2, 2 * RESTART_FIRST), (99, RESTART_MOST)):
        assert 0.8 * longest <= backoff(failures) <= longest


def test_the_end_of_a_process_in_words() -> None:
    assert describe(3) == "ended by itself with exit code 3"
    assert describe(-9) == "was ended by SIGKILL"
    assert describe(-99) == "was ended by signal 99"
