"""A server for the tests of programs that use one: everything in one process, in a thread, on free ports.

    pytest_plugins = ["liveserver.testing"]                 # in conftest.py

    def test_a_goal_reaches_the_viewers(liveserver):
        post(f"{liveserver.url}/v1/videos/demo/events", json={"type": "goal"})

Without pytest, `with running_server() as server: …` is the same. It starts in a fraction of a second, and its
bus and its likes database end with it. From other languages, start a process with free ports and wait for the
line whose `message` is `ready`; it has the addresses:

    liveserver run --log-format json --set listen.public=127.0.0.1:0 --set listen.ops=127.0.0.1:0
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

import msgspec
import trio

from liveserver.config import Settings, load
from liveserver.node.assembly import named
from liveserver.node.process import Running, serve

START_SECONDS = 30.0
DEFAULTS = (
    'node.roles=["frontend", "dispatcher", "backend"]',
    "listen.public=127.0.0.1:0",
    "listen.ops=127.0.0.1:0",
    "backend.database=:memory:",
    "node.drain_timeout=0s",
)


class Server(msgspec.Struct, frozen=True):
    """Where a running server listens: `url` for viewers and publishers, `ops_url` for operators."""

    url: str
    ops_url: str


class _Stop(msgspec.Struct, frozen=True):
    token: trio.lowlevel.TrioToken
    scope: trio.CancelScope


@contextmanager
def running_server(*settings: str) -> Iterator[Server]:
    """Run a server in a thread for the duration of the block.

    Args:
        settings: As on the command line: `"frontend.retry_min=100ms"`, `'auth.viewers="token"'`.

    Raises:
        ConfigError: A setting cannot be used, or the server cannot listen.
    """
    effective = named(load(None, [*DEFAULTS, *settings], {}))
    started: Future[tuple[Server, _Stop]] = Future()
    thread = threading.Thread(target=_run, args=(effective, started), name="liveserver", daemon=True)
    thread.start()
    server, stop = started.result(START_SECONDS)
    try:
        yield server
    finally:
        stop.token.run_sync_soon(stop.scope.cancel)
        thread.join()


def _run(settings: Settings, started: Future[tuple[Server, _Stop]]) -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            running: Running = await nursery.start(serve, settings)
            addresses = running.addresses
            server = Server(f"http://{addresses.public}", f"http://{addresses.ops}")
            started.set_result((server, _Stop(trio.lowlevel.current_trio_token(), nursery.cancel_scope)))

    try:
        trio.run(main)
    except BaseException as error:
        if started.done():
            raise
        while isinstance(error, BaseExceptionGroup):  # nurseries wrap what they raise
            error = error.exceptions[0]
        started.set_exception(error)


try:
    import pytest
except ImportError:  # only the fixture needs it
    pass
else:

    @pytest.fixture(scope="session")
    def liveserver() -> Iterator[Server]:
        """Run a server for the whole session; give each test a video of its own."""
        with running_server() as server:
            yield server
