"""Nodes that die, hang, or are restarted; and their links to each other."""

from __future__ import annotations

import trio

from tests.chaos.runner import Play
from tests.chaos.scenarios.registry import scenario


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
async def leases_end(play: Play) -> None:
    """Nothing is published to a video of a dead node: its row ends by itself. The others are not affected."""
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
async def anything(play: Play) -> None:
    """One thing after the other, and some at the same time, as the seed will have it."""
    for _ in range(8):
        await break_something(play)
        await trio.sleep(play.rng.uniform(0, 1))
        if play.rng.random() < 0.6:
            await play.stage.heal()


@scenario(losses=2)
async def anything_and_losses(play: Play) -> None:
    """The same, and the data is lost twice while other things are broken."""
    for lost in (False, True, False, False, True, False):
        await break_something(play)
        if lost:
            await play.stage.stop_redis(kill=True)
            await play.stage.replace_redis_data(None)
            await trio.sleep(play.rng.uniform(0, 0.5))
            await play.stage.start_redis()
        await trio.sleep(play.rng.uniform(0, 1))
        if play.rng.random() < 0.6:
            await play.stage.heal()


async def break_something(play: Play) -> None:
    stage, rng = play.stage, play.rng
    proxy = rng.choice(stage.proxies)
    node = rng.choice(stage.nodes)
    match rng.randrange(9):
        case 0 if node.is_running:
            await node.kill()
        case 1 if stage.redis.process.poll() is None:
            stage.redis.pause()
        case 2:
            await stage.stop_redis(kill=rng.random() < 0.5)
            play.notes.unconfirmed += 1  # what else breaks may keep a process from confirming the logs
        case 3:
            proxy.stall()
        case 4:
            proxy.cut(rng.randrange(3000), rng.choice(["up", "down"]))
        case 5:
            await proxy.refuse()
        case 6:
            proxy.half_close()
        case 7 if node.is_running:
            node.pause()
        case _:
            proxy.reset()
