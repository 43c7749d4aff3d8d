"""Viewers that stall, disconnect and return late; publishers that do not wait."""

from __future__ import annotations

import trio

from tests.chaos.runner import Play
from tests.chaos.scenarios.registry import scenario

# Sockets that are soon full. A viewer that keeps up gets 8 KiB in 20 ms, which is enough for these loads.
NARROW = "frontend.send_buffer=8KiB", "frontend.max_write=8KiB", "frontend.flush_interval=20ms"


@scenario(*NARROW, "frontend.slow_timeout=1500ms")
async def viewers_stall(play: Play) -> None:
    """Some viewers stop reading for a while, long enough for some to be let go; others read on."""
    play.pad(1500)
    for video in play.videos:
        play.watch(video, "sse", stalls=True, direct=True)
        play.watch(video, "sse", stalls=True, direct=True)
        play.watch(video, "ws", stalls=True, direct=True)
        play.watch(video, "poll", stalls=True)
    await trio.sleep(play.rng.uniform(5, 7))


@scenario("history.max_events=150", "history.ephemeral_types=[]", *NARROW, whole=False)
async def log_too_short(play: Play) -> None:
    """Viewers stay away for longer than the log reaches: the gaps they receive are real."""
    play.pad(500)
    for video in play.videos:
        play.watch(video, "sse", stalls=True, direct=True)
        play.watch(video, "ws", stalls=True, direct=True)
        play.watch(video, "poll", stalls=True)
    for proxy in play.shuffled(play.stage.to_frontend):
        proxy.stall()
        await trio.sleep(play.rng.uniform(1.5, 3))
        proxy.reset()
        await proxy.heal()


@scenario()
async def viewers_cut(play: Play) -> None:
    """Viewers' connections break at any byte, end halfway, and are refused."""
    for _ in range(25):
        proxy = play.rng.choice(play.stage.to_frontend)
        proxy.cut(play.rng.randrange(4000), "down" if play.rng.random() < 0.8 else "up")
        await trio.sleep(play.rng.uniform(0, 0.3))
        if play.rng.random() < 0.1:
            proxy.half_close()
        if play.rng.random() < 0.1:
            await proxy.refuse()
            await trio.sleep(play.rng.uniform(0, 0.5))
            await proxy.heal()


@scenario()
async def impatient_publishers(play: Play) -> None:
    """Publishers go away before they are answered, and come again with the same ids."""
    for publisher in play.publishers:
        publisher.impatient = True
    play.stage.dispatcher_redis.delay(0.005)
    await trio.sleep(play.rng.uniform(4, 6))
    await play.stage.dispatcher_redis.heal()


@scenario("frontend.linger=200ms")
async def viewers_away(play: Play) -> None:
    """All viewers leave for longer than a channel lingers, and return with old cursors."""
    for viewer in play.viewers:
        viewer.away = 3.0
        viewer.hops = True
    await trio.sleep(play.rng.uniform(7, 9))
