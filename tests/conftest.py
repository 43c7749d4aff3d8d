"""What all tests share: real Redis servers, and waiting without sleeping.

- `redis_server`: the URL of an empty Redis. One process serves the whole session; it is emptied
  before each test that asks for it. For whatever needs no more than a Redis that works.
- `own_redis`: a `RedisServer` of the test's own, to be stopped, stalled or restarted.
- `browser`: Chromium without a context; one process serves the whole session.
- `until(condition)`: wait until an asynchronous condition holds; fails after `UNTIL_SECONDS`.

Tests that ask for one of these servers are marked `redis` by themselves. `--hypothesis-profile=fast` tries
fewer examples (`make test-fast`), `thorough` many more, others each time (`make examples`).
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis
import trio
from hypothesis import settings

from liveserver.cluster.redis_server import RedisServer, free_port, run_redis_server
from tests import certificate_store, worker_forker

if TYPE_CHECKING:  # most tests need no browser, and its module takes long to import
    from playwright.sync_api import Browser

    from tests.web.browsers import SharedBrowser

# Modules are compiled once and not in each process: half of what importing the tests or a node costs.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
certificate_store.shrink()

# Databases and logs write their files through to the disk, which tests wait for and which no test can tell
# from memory: nothing here loses its power.
MEMORY, MEMORY_BYTES = Path("/dev/shm"), 2 * 1024**3
if (
    "TMPDIR" not in os.environ
    and MEMORY.is_dir()
    and os.access(MEMORY, os.W_OK)
    and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC
    and shutil.disk_usage(MEMORY).free > MEMORY_BYTES
):
    os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)

# The same examples every time, and no time limit for each: the machine may be busy. Expensive tests take a
# share of the profile's number of examples.
settings.register_profile("steady", deadline=None, derandomize=True, max_examples=30)
settings.register_profile("fast", deadline=None, derandomize=True, max_examples=15)
settings.register_profile("thorough", deadline=None, max_examples=300)
settings.load_profile("steady")

UNTIL_SECONDS = 200.0  # far beyond what it takes, also on a machine with much else to do

WEIGHTS = {"process": 4, "browser": 2, "slow": 1}  # markers of what takes long

Until = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return more workers than there are cores: the tests with processes wait for half of their time."""
    cores = len(os.sched_getaffinity(0))
    if "not process" in config.option.markexpr:
        return cores + 1
    return (2 * cores if worker_forker.is_possible(config) else cores) + 2


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Fork the workers from one process that has imported the tests."""
    worker_forker.prepare(config)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a Redis: by its fixtures, or by a parameter that chooses that bus."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        parameters = getattr(item, "callspec", None)
        if (
            "redis_process" in fixtures
            or "own_redis" in fixtures
            or (parameters and "redis" in parameters.params.values())
        ):
            item.add_marker(pytest.mark.redis)
    # The longest files first, so that none of them is begun when the others are done (Makefile).
    heaviest: dict[Path, int] = {}
    for item in items:
        weight = sum(weight for name, weight in WEIGHTS.items() if item.get_closest_marker(name))
        heaviest[item.path] = max(weight, heaviest.get(item.path, 0))
    items.sort(key=lambda item: -heaviest[item.path])


@pytest.fixture(scope="session")
def redis_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The session's server. Ask for `redis_server` instead: that one is empty."""
    server = RedisServer(free_port(), tmp_path_factory.mktemp("redis"))
    server.start()
    try:
        trio.run(server.wait_ready)
        yield server
    finally:
        server.stop()


@pytest.fixture
def redis_server(redis_process: RedisServer) -> str:
    """The URL of an empty Redis."""
    with redis.Redis.from_url(redis_process.url) as client:
        client.flushall()
    return redis_process.url


@pytest.fixture
async def own_redis() -> AsyncIterator[RedisServer]:
    """A Redis of the test's own, appending to a file: `stop()` and `start()` keep its data."""
    async with run_redis_server(appendonly=True) as server:
        yield server


@pytest.fixture(scope="session")
def browser_process() -> Iterator[SharedBrowser]:
    """The session's browser, not yet started. Ask for `browser` instead."""
    from tests.web.browsers import SharedBrowser

    shared = SharedBrowser()
    try:
        yield shared
    finally:
        shared.close()


@pytest.fixture
def browser(browser_process: SharedBrowser) -> Iterator[Browser]:
    """A browser without a context; those that the test opens are closed after it."""
    with browser_process.use() as browser:
        yield browser


@pytest.fixture
def until() -> Until:
    """`await until(condition)`: return once `await condition()` is true; for real time only."""

    async def wait(condition: Callable[[], Awaitable[bool]]) -> None:
        pause = 0.01
        with trio.fail_after(UNTIL_SECONDS):
            while not await condition():  # another process' state has no event
                await trio.sleep(pause)
                pause = min(1.3 * pause, 0.1)  # asking often would slow down what is waited for

    return wait
