"""Redis that crashes, hangs, or loses data; and the links to it."""

from __future__ import annotations

import trio

from tests.chaos.runner import Play
from tests.chaos.scenarios.registry import scenario


@scenario()
async def redis_restarted(play: Play) -> None:
    """Redis ends, by itself or killed, and comes back with its data."""
    for _ in range(2):
        await play.stage.stop_redis(kill=play.rng.random() < 0.5)
        await play.breathe()
        await play.stage.start_redis()
        await play.breathe(2)


@scenario(losses=1)
async def redis_emptied(play: Play) -> None:
    """Redis comes back without its data: a new life of each log, and a gap is sent."""
    await play.stage.stop_redis(kill=True)
    await play.breathe()
    await play.stage.replace_redis_data(None)
    await play.stage.start_redis()
    await play.breathe(3)


@scenario(losses=1)
async def redis_older(play: Play) -> None:
    """Redis comes back with an older copy of its data."""
    copy = await play.stage.copy_redis()
    await play.breathe()
    await play.stage.stop_redis(kill=True)
    await play.stage.replace_redis_data(copy)
    await trio.sleep(play.rng.uniform(0, 0.5))
    await play.stage.start_redis()
    await play.breathe(3)


@scenario(losses=1)
async def redis_away(play: Play) -> None:
    """Redis comes back with an older copy of its data, after up to a minute."""
    copy = await play.stage.copy_redis()
    await play.breathe()
    await play.stage.stop_redis(kill=True)
    await play.stage.replace_redis_data(copy)
    await trio.sleep(play.rng.choice([0, 4, 8, 15, 30, 60]))
    await play.stage.start_redis()
    await play.breathe(3)


@scenario(losses=2)
async def redis_older_twice(play: Play) -> None:
    """Redis comes back with the same older data twice."""
    copy = await play.stage.copy_redis()
    for _ in range(2):
        await play.breathe()
        await play.stage.stop_redis(kill=True)
        await play.stage.replace_redis_data(copy)
        await play.stage.start_redis()
        await play.breathe(5)


@scenario(losses=1)
async def redis_loading(play: Play) -> None:
    """Redis comes back with older data, and answers LOADING for some seconds first."""
    await play.stage.ask_redis(
        "EVAL", "for i = 1, ARGV[1] do redis.call('SET', 'filling:' .. i, 1, 'PX', 600000) end", 0, 4_000
    )
    copy = await play.stage.copy_redis()
    await play.breathe()
    await play.stage.stop_redis(kill=True)
    await play.stage.replace_redis_data(copy)
    await play.stage.start_redis("--key-load-delay", str(play.rng.choice([300, 1_000])))
    await play.breathe(3)


@scenario(losses=1)
async def redis_replica_behind(play: Play) -> None:
    """Behind one address a server with older data takes over, while the former one lives on."""
    copy = await play.stage.copy_redis()
    await play.breathe(2)
    await play.stage.promote(copy)
    await play.breathe(4)


@scenario()
async def redis_stopped(play: Play) -> None:
    """Redis hangs for a few seconds, and goes on."""
    for _ in range(2):
        play.stage.redis.pause()
        await trio.sleep(play.rng.uniform(0.3, 3))
        play.stage.redis.resume()
        await play.breathe(1.5)


@scenario()
async def frontend_redis_stalled(play: Play) -> None:
    """The frontends' link to Redis carries nothing for a while, or carries it late."""
    link = play.stage.frontend_redis
    for _ in range(2):
        link.stall()
        await trio.sleep(play.rng.uniform(0.3, 3.5))
        if play.rng.random() < 0.3:
            link.reset()
        await link.heal()
        link.delay(play.rng.uniform(0, 0.05))
        await play.breathe()
        await link.heal()
        link.half_close()
        await play.breathe()


@scenario()
async def dispatcher_redis_cut(play: Play) -> None:
    """The dispatchers' link to Redis breaks in the middle of commits, of questions and of answers."""
    for _ in range(25):
        play.stage.dispatcher_redis.cut(
            play.rng.choice([0, 1, 30, 300, 3000]) + play.rng.randrange(400), play.rng.choice(["up", "down"])
        )
        await trio.sleep(play.rng.uniform(0.02, 0.4))
    await play.stage.dispatcher_redis.heal()


@scenario()
async def inboxes_killed(play: Play) -> None:
    """The pub/sub connections alone are killed, again and again."""
    for _ in range(12):
        await play.stage.ask_redis("CLIENT", "KILL", "TYPE", "pubsub")
        await trio.sleep(play.rng.uniform(0.05, 0.8))


@scenario("frontend.linger=200ms", losses=2)
async def redis_flushed(play: Play) -> None:
    """The data is gone, twice, without any connection breaking."""
    for _ in range(2):
        await play.stage.ask_redis("FLUSHALL")
        await play.breathe(3)


@scenario()
async def frontend_redis_cut(play: Play) -> None:
    """The frontends' link to Redis breaks in the middle of batches and of reads."""
    for _ in range(25):
        play.stage.frontend_redis.cut(
            play.rng.choice([0, 1, 30, 300, 3000, 30000]) + play.rng.randrange(400),
            play.rng.choice(["up", "down", "down"]),
        )
        await trio.sleep(play.rng.uniform(0.02, 0.4))
