"""Three datacenters whose links break and whose dispatchers die: `python -m tests.chaos.datacenters`.

In each a Redis, two dispatchers and a frontend; between each two a link in each direction, which is a proxy.
Publishers in all of them publish to all videos at once; viewers watch everywhere, and some change datacenters
all the time. Then every viewer must have received each accepted event once, those of each publisher in
order, and no gap.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import permutations
from pathlib import Path
from typing import Literal

import trio

from bench.proxy import HOST, Proxy, open_proxy
from liveserver.cluster.redis_server import RedisServer, run_redis_server
from liveserver.frontend.delivery.catchup import FEW
from tests.chaos.harness import QUICK, Node
from tests.chaos.history import Gap, Heard
from tests.chaos.viewer_processes import Notes, Publisher, Viewer, client
from tests.processes import running

NAMES = ("dc1", "dc2", "dc3")
PATIENCE = 120.0  # seconds until all viewers are ready and have all events, after the faults are over
RELAY = (
    "bus.timeout=3s", "frontend.dispatcher_timeout=3s",  # a busy machine is not a broken link
    "relay.timeout=3s", "relay.lease=6s", "relay.sweep_interval=1s", "relay.retry_max=500ms",
)  # fmt: skip
HOPPERS = FEW  # as many as may wait for half a minute for what they have received elsewhere


class World:
    """The datacenters; `links` by who listens, and to whom."""

    def __init__(self) -> None:
        self.redis: dict[str, RedisServer] = {}
        self.dispatchers: dict[str, list[Node]] = {name: [] for name in NAMES}
        self.frontends: dict[str, Node] = {}
        self.links: dict[tuple[str, str], Proxy] = {}


@asynccontextmanager
async def open_world(directory: Path) -> AsyncIterator[World]:
    """All of it, ready, while the block lasts; the nodes' logs are in `directory`."""
    world = World()
    async with AsyncExitStack() as stack:
        for name in NAMES:
            world.redis[name] = await stack.enter_async_context(run_redis_server())
        for here, there in permutations(NAMES, 2):
            world.links[here, there] = await stack.enter_async_context(open_proxy(world.redis[there].port))
        for name in NAMES:
            own = (*QUICK, f"node.datacenter={name}")
            peers = [
                f"peers.{there}.url=redis://{HOST}:{link.port}/0"
                for (here, there), link in world.links.items()
                if here == name
            ]
            url = world.redis[name].url
            for number in (1, 2):
                world.dispatchers[name].append(
                    Node(directory, f"{name}-di{number}", "dispatcher", url, *own, *peers, *RELAY)
                )
            urls = ",".join(f'"{node.url}"' for node in world.dispatchers[name])
            world.frontends[name] = Node(
                directory, f"{name}-fe1", "frontend", url, *own, f"frontend.dispatchers=[{urls}]"
            )
        nodes = [node for some in world.dispatchers.values() for node in some]
        await stack.enter_async_context(running(*nodes, *world.frontends.values()))
        yield world


async def break_things(world: World, rng: random.Random) -> None:
    """Each link once, in one way or another, and a relaying dispatcher in each datacenter."""
    acts: list[tuple[str, ...]] = [*world.links, *((name,) for name in NAMES)]
    for act in rng.sample(acts, len(acts)):
        if len(act) == 1:
            node = rng.choice(world.dispatchers[act[0]])
            await node.kill()
            await trio.sleep(rng.uniform(0, 2))
            await node.restart()
            continue
        link = world.links[act[0], act[1]]
        match rng.randrange(4):
            case 0:
                link.stall()
            case 1:
                await link.refuse()
                link.reset()
            case 2:
                link.cut(rng.randrange(5_000), "down")
            case _:
                link.delay(rng.uniform(0.05, 0.3))
        await trio.sleep(rng.uniform(0.5, 4))
        if rng.random() < 0.3:
            link.reset()
        await link.heal()


async def play(seed: int, videos: int, directory: Path) -> Notes:
    """One round; `complaints` of the notes are what went wrong."""
    rng, notes = random.Random(seed), Notes()
    names = [f"v{number}" for number in range(videos)]
    async with open_world(directory) as world, trio.open_nursery() as nursery:
        watch = {name: node.url for name, node in world.frontends.items()}
        viewers: list[Viewer] = []
        for number, video in enumerate(names):
            for name in NAMES:
                how: Literal["sse", "poll"] = "poll" if (number + len(viewers)) % 3 == 0 else "sse"
                source = random.Random(rng.random())
                viewers.append(Viewer(f"{name}-{number}", notes, [watch[name]], video, how, source))
            if number >= HOPPERS:
                continue
            everywhere = rng.sample(list(watch.values()), len(watch))
            source = random.Random(rng.random())
            viewers.append(Viewer(f"hopper-{number}", notes, everywhere, video, "sse", source, hops=True))
        for viewer in viewers:
            nursery.start_soon(viewer.run)
        with trio.fail_after(PATIENCE):
            for viewer in viewers:
                await viewer.ready.wait()
        publishers = {
            name: Publisher(f"p{name}", notes, [node.url for node in nodes], names, rng)
            for name, nodes in world.dispatchers.items()
        }
        async with trio.open_nursery() as publishing:
            for publisher in publishers.values():
                publishing.start_soon(publisher.run)
            await break_things(world, rng)
            for publisher in publishers.values():
                publisher.rest()
        with trio.move_on_after(PATIENCE) as waited:
            async with client() as http:
                for publisher in publishers.values():
                    for video in names:
                        await publisher.publish(http, video, 1, own_ids=True)
            for viewer in viewers:
                for request in notes.requests:
                    if request.video == viewer.diary.video and request.answered is not None:
                        await viewer.wait_heard(request.keys[-1])
        if waited.cancelled_caught:
            notes.complaints.append(f"not all viewers have all events {PATIENCE:g} s after the faults")
        nursery.cancel_scope.cancel()
    judge(notes)
    return notes


def judge(notes: Notes) -> None:
    """What each viewer received against what was accepted."""
    for diary in notes.diaries:
        items = [item.key for item in diary.items if isinstance(item, Heard)]
        accepted = {
            key
            for request in notes.requests
            if request.video == diary.video and request.answered is not None
            for key in request.keys
        }
        who = f"{diary.name} of {diary.video}"
        if len(set(items)) < len(items):
            notes.complaints.append(f"{who} received {len(items) - len(set(items))} events twice")
        if lost := accepted - set(items):
            notes.complaints.append(f"{who} never received {len(lost)} events, {min(lost)} for one")
        if gaps := sum(isinstance(item, Gap) for item in diary.items):
            notes.complaints.append(f"{who} received {gaps} gaps, and nothing was lost")
        for publisher in {key.rpartition("-")[0] for key in items}:
            numbers = [int(key.rpartition("-")[2]) for key in items if key.rpartition("-")[0] == publisher]
            if numbers != sorted(numbers):
                notes.complaints.append(f"{who} received the events of {publisher} out of order")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, help="otherwise a random one, which is printed")
    parser.add_argument("--videos", type=int, default=20)
    options = parser.parse_args()
    seed = random.randrange(1_000_000) if options.seed is None else options.seed
    directory = Path(tempfile.mkdtemp(prefix="liveserver-chaos-datacenters-"))
    notes = trio.run(play, seed, options.videos, directory)
    accepted = sum(len(request.keys) for request in notes.requests if request.answered is not None)
    items = sum(isinstance(item, Heard) for diary in notes.diaries for item in diary.items)
    print(f"seed {seed}: {accepted} accepted, {items} delivered, {notes.reconnects} reconnects; {directory}")
    for complaint in notes.complaints[:20]:
        print(f"    {complaint}")
    print("failed" if notes.complaints else "passed")
    return 1 if notes.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
