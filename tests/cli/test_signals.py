"""Ctrl-C and SIGTERM end a command; without them it ends by itself."""

from __future__ import annotations

import signal
from typing import NoReturn

import pytest
import trio

from liveserver.cli.signals import run_until_signal


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_cancels_the_work(number: signal.Signals) -> None:
    ended: list[str] = []

    async def work() -> None:
        signal.raise_signal(number)
        try:
            await trio.sleep_forever()
        finally:
            ended.append("cleaned up")

    assert await run_until_signal(work)
    assert ended == ["cleaned up"]


async def test_work_that_returns_is_all_there_is_to_wait_for() -> None:
    with trio.fail_after(60):
        assert not await run_until_signal(trio.lowlevel.checkpoint)


async def test_errors_of_the_work_are_the_callers() -> None:
    async def work() -> NoReturn:
        await trio.lowlevel.checkpoint()
        raise KeyError("x")

    with pytest.RaisesGroup(pytest.RaisesExc(KeyError, match="x")):
        await run_until_signal(work)


async def test_afterwards_signals_do_what_they_did_before() -> None:
    before = signal.getsignal(signal.SIGTERM)
    await run_until_signal(trio.lowlevel.checkpoint)
    assert signal.getsignal(signal.SIGTERM) is before
