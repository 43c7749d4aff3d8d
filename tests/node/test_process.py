"""One process asked to end: how long it takes, what its clients see, and what it says."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trio
import trio.testing

from liveserver.node.process import ending_on_signal
from tests.conftest import Until
from tests.processes import NodeProcess, running

pytestmark = pytest.mark.process

ROLES = 'frontend","dispatcher'


@asynccontextmanager
async def node(*settings: str) -> AsyncIterator[NodeProcess]:
    process = NodeProcess("n1", ROLES, "redis://127.0.0.1:1/0", "bus.kind=memory", *settings)
    async with running(process):
        yield process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda each: each.name)
async def test_a_viewer_is_sent_bye_soon_whichever_signal_ends_the_node(number: signal.Signals) -> None:
    async with (
        node("node.drain_timeout=10m") as server,
        httpx.AsyncClient(trust_env=False, timeout=60) as client,
    ):
        url = f"{server.url}/v1/videos/v/events"
        async with client.stream("GET", url, headers={"accept": "text/event-stream"}) as stream:
            lines = stream.aiter_lines()
            while not (await anext(lines)).startswith("event: ready"):
                pass
            server.signal(number)
            with trio.fail_after(60):  # far from the ten minutes that a full node takes
                seen = [line async for line in lines]
                assert await server.wait_ended() == 0
        assert "event: bye" in seen
        assert "draining" in server.log
        assert "a second Ctrl-C" in server.log


@pytest.fixture
def ops_key(tmp_path: Path) -> Path:
    (tmp_path / "ops.key").write_text("the-key-of-the-operators")
    return tmp_path / "ops.key"


async def test_sighup_reloads_and_keeps_the_viewers(ops_key: Path) -> None:
    async with (
        node(f"auth.ops_key_file={ops_key}") as server,
        httpx.AsyncClient(trust_env=False, timeout=60) as client,
    ):
        url = f"{server.url}/v1/videos/v/events"
        async with client.stream("GET", url, headers={"accept": "text/event-stream"}) as stream:
            lines = stream.aiter_lines()
            while not (await anext(lines)).startswith("event: ready"):
                pass
            await trio.Path(ops_key).write_text("another-key-of-the-operators")
            server.signal(signal.SIGHUP)
            await server.wait_log("reloaded")
            shown = {"authorization": "Bearer another-key-of-the-operators"}
            assert (await client.get(f"{server.ops_url}/v1/status", headers=shown)).status_code == 200
            response = await client.post(url, json={"type": "like"})
            assert response.status_code == 202
            while not (await anext(lines)).startswith("event: like"):
                pass
            server.signal(signal.SIGTERM)
            assert "event: bye" in [line async for line in lines]


async def test_connections_are_taken_for_the_lame_duck_time(until: Until) -> None:
    async with (
        node("node.lame_duck=60s", "node.drain_timeout=100ms") as server,
        httpx.AsyncClient(trust_env=False, timeout=60) as client,
    ):

        async def is_unready() -> bool:
            return (await client.get(f"{server.ops_url}/readyz")).status_code == 503

        server.signal(signal.SIGTERM)
        await until(is_unready)
        assert (await client.get(f"{server.url}/v1/videos/v/poll")).status_code == 200
        url = f"{server.url}/v1/videos/v/events"
        async with client.stream("GET", url, headers={"accept": "text/event-stream"}) as stream:
            lines = stream.aiter_lines()
            while not (await anext(lines)).startswith("event: ready"):
                pass
            server.signal(signal.SIGTERM)  # at once, then
            with trio.fail_after(60):
                assert "event: bye" in [line async for line in lines]
                assert await server.wait_ended() == 0
        assert "drain_cut_short" in server.log


async def test_a_log_that_is_not_read_holds_up_nothing() -> None:
    """The log goes to a pipe that is full before the node writes its first line."""
    reading, writing = os.pipe()
    try:
        os.set_blocking(writing, False)
        try:
            while True:
                os.write(writing, b"x" * 4096)
        except BlockingIOError:
            os.set_blocking(writing, True)
        process = NodeProcess("n1", ROLES, "redis://127.0.0.1:1/0", "bus.kind=memory")
        process.output = writing
        async with running(process), httpx.AsyncClient(trust_env=False, timeout=60) as client:
            for _ in range(20):
                assert (await client.get(f"{process.url}/v1/videos/v/poll")).status_code == 200
            metrics = (await client.get(f"{process.ops_url}/metrics")).text
            assert "liveserver_log_written_total 0.0" in metrics
            with trio.fail_after(60):
                assert await process.terminate() == 0
    finally:
        os.close(reading)
        os.close(writing)


async def test_a_disk_that_is_full_ends_nothing() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        process = NodeProcess("n1", ROLES, "redis://127.0.0.1:1/0", "bus.kind=memory")
        process.output = full
        async with running(process), httpx.AsyncClient(trust_env=False, timeout=60) as client:
            assert (await client.get(f"{process.url}/v1/videos/v/poll")).status_code == 200
            with trio.fail_after(60):
                assert await process.terminate() == 0
    finally:
        os.close(full)


async def test_a_node_that_starts_is_ended_by_a_signal_and_reloads_later(
    autojump_clock: trio.testing.MockClock,
) -> None:
    send, signals = trio.open_memory_channel[int](2)
    scope = trio.CancelScope()
    async with ending_on_signal(signals, scope) as is_reload_due:
        assert not is_reload_due()
        await send.send(signal.SIGHUP)
        await trio.testing.wait_all_tasks_blocked()
        assert is_reload_due()
        assert not scope.cancel_called
        await send.send(signal.SIGTERM)
        await trio.testing.wait_all_tasks_blocked()
        assert scope.cancel_called
