"""What is done to the cluster. Each scenario runs while publishers publish and viewers watch.

A scenario gets a `Play`: the stage, and a random source that its seed decides. It breaks things and
mends most of them; what is still broken at its end is mended then, and must be as new.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

import trio

from tests.chaos.play import Play

Action = Callable[[Play], Awaitable[None]]


class Scenario(NamedTuple):
    """`losses`: how often Redis' data is lost. `whole`: its log forgets nothing."""

    name: str
    action: Action
    settings: tuple[str, ...]
    losses: int
    whole: bool

    @property
    def summary(self) -> str:
        return (self.action.__doc__ or "").strip().splitlines()[0]


SCENARIOS: dict[str, Scenario] = {}


def scenario(*settings: str, losses: int = 0, whole: bool = True) -> Callable[[Action], Action]:
    def register(action: Action) -> Action:
        name = action.__name__
        SCENARIOS[name] = Scenario(name, action, settings, losses, whole)
        return action

    return register


@scenario()
async def frontend_killed(play: Play) -> None:
    """A frontend is killed and comes back, one after the other."""
    for node in play.shuffled(play.stage.frontends):
        await node.kill()
        await play.breathe()
        await node.restart()
        await play.breathe()


@scenario()
async def dispatcher_killed(play: Play) -> None:
    """A dispatcher is killed and comes back, one after the other."""
    for node in play.shuffled(play.stage.dispatchers):
        await node.kill()
        await play.breathe()
        await node.restart()
        await play.breathe()


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
    """Redis comes back without its data: a new life of each log, and a gap is told."""
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


@scenario("frontend.linger=200ms")
async def dispatcher_refused(play: Play) -> None:
    """The frontends cannot reach dispatchers while new videos are watched for the first time."""
    for number in range(4):
        first, second = play.shuffled(play.stage.to_dispatcher)
        await first.refuse()
        second.stall()
        play.add_video(f"new{number}")
        await trio.sleep(play.rng.uniform(0, 1.5))
        await play.rng.choice([first, second]).heal()
        await play.breathe()
        first.reset()
        await first.heal()
        await second.heal()


@scenario()
async def nodes_stopped(play: Play) -> None:
    """A frontend and a dispatcher hang, each for a while, and go on."""
    for _ in range(2):
        frontend, dispatcher = play.rng.choice(play.stage.frontends), play.rng.choice(play.stage.dispatchers)
        frontend.pause()
        await trio.sleep(play.rng.uniform(0, 1))
        dispatcher.pause()
        await trio.sleep(play.rng.uniform(0.3, 3.5))
        for node in play.shuffled([frontend, dispatcher]):
            node.resume()
            await trio.sleep(play.rng.uniform(0, 0.5))
        await play.breathe()


@scenario()
async def rolling_restart(play: Play) -> None:
    """All nodes are restarted, one after the other, as a deployment does it."""
    for node in play.shuffled(play.stage.nodes):
        code = await node.terminate()
        if code != 0:
            play.notes.complaints.append(f"{node.name} ended with {code}")
        await node.restart()


@scenario("frontend.send_buffer=8KiB", "frontend.max_write=8KiB", "frontend.slow_timeout=1500ms")
async def viewers_stall(play: Play) -> None:
    """Some viewers stop reading for a while, long enough for some to be let go; others read on."""
    play.pad(1500)
    for video in play.videos:
        play.watch(video, "sse", stalls=True, direct=True)
        play.watch(video, "sse", stalls=True, direct=True)
        play.watch(video, "poll", stalls=True)
    await trio.sleep(play.rng.uniform(5, 7))


@scenario("log.events=150", "frontend.send_buffer=8KiB", "frontend.max_write=8KiB", whole=False)
async def log_too_short(play: Play) -> None:
    """Viewers stay away for longer than the log reaches: the gaps they are told are real."""
    play.pad(500)
    for video in play.videos:
        play.watch(video, "sse", stalls=True, direct=True)
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
async def hasty_publishers(play: Play) -> None:
    """Publishers go away before they are answered, and come again with the same ids."""
    for publisher in play.publishers:
        publisher.hasty = True
    play.stage.dispatcher_redis.delay(0.005)
    await trio.sleep(play.rng.uniform(4, 6))
    await play.stage.dispatcher_redis.heal()


@scenario()
async def leases_end(play: Play) -> None:
    """Nobody publishes to a video of a dead node: its row ends by itself. The others are not affected."""
    viewer = play.watch("quiet", "sse", urls=play.stage.watch_urls[:1])
    play.videos.append("quiet")
    await viewer.ready.wait()
    dead = play.stage.frontends[0]
    await dead.kill()
    with trio.move_on_after(8) as scope:
        while dead.name in await play.rows("quiet"):  # noqa: ASYNC110  # another process' state
            await trio.sleep(0.1)
    if scope.cancelled_caught:
        play.notes.complaints.append(f"the row of {dead.name} did not end")
    await dead.restart()


@scenario()
async def inboxes_killed(play: Play) -> None:
    """The pub/sub connections alone are killed, again and again."""
    for _ in range(12):
        await play.stage.ask_redis("CLIENT", "KILL", "TYPE", "pubsub")
        await trio.sleep(play.rng.uniform(0.05, 0.8))
