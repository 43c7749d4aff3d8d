"""A Sentinel or a Cluster promotes a replica; clocks are set."""

from __future__ import annotations

import trio

from tests.chaos.runner import Play
from tests.chaos.scenarios.registry import scenario

HOUR = 3_600
# Seconds until no process is connected to a master that hangs. One that is resumed before goes on beside its
# successor: two logs, and viewers that change from one to the other get gaps and see events again.
ALL_LEFT = 6.0


async def promote_lagging(play: Play) -> None:
    """A replica that has got nothing for a while becomes the master."""
    await play.stage.lag()
    await play.breathe(2)
    await play.stage.fail_over(kill=play.rng.random() < 0.5)
    await trio.sleep(ALL_LEFT)
    await play.stage.resume_former()
    await play.breathe(4)


@scenario(losses=1, redis="sentinel")
async def sentinel_promotes_lagging(play: Play) -> None:
    """A Sentinel promotes a replica that lags; the former master is dead, or comes back."""
    await promote_lagging(play)


@scenario(losses=1, redis="cluster")
async def cluster_promotes_lagging(play: Play) -> None:
    """In a Redis Cluster a replica that lags takes its master's place, which is dead or comes back."""
    await promote_lagging(play)


@scenario("bus.timeout=4s", "frontend.dispatcher_timeout=4s", redis="stepped")  # each look at a clock is slow
async def clocks_stepped(play: Play) -> None:
    """The clocks of Redis and of all nodes are set an hour forward and back, each by itself."""
    clocks = play.stage.clocks
    for offset in play.shuffled([HOUR, -HOUR, 0, HOUR, -HOUR]):
        for name in play.shuffled(list(clocks)):
            clocks[name].set(offset if play.rng.random() < 0.7 else 0)
            await trio.sleep(play.rng.uniform(0, 0.3))
        await play.breathe(2)
