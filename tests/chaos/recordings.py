"""Recorders of two datacenters, killed, without disk, Redis or link: `python -m tests.chaos.recordings`.

In each datacenter a Redis, a dispatcher and two recorders that share a directory; between the two a link in
each direction, which is a proxy. Publishers in both publish to all videos at once. Then each recording must
have each accepted event once, those of both datacenters the same events, and a recording made again from the
log the same bytes.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec
import trio

from bench.proxy import HOST, Proxy, open_proxy
from liveserver.bus.redis.bus import RedisBus
from liveserver.cluster.redis_server import RedisServer, free_port
from liveserver.config import BusSettings, HistorySettings, RecorderSettings
from liveserver.recorder.directory import Directory
from liveserver.recorder.recorder import Recorder
from liveserver.recorder.recording import Recording
from liveserver.units import Duration
from tests.chaos.datacenters import PATIENCE, RELAY
from tests.chaos.harness import QUICK, Node, break_link
from tests.chaos.viewer_processes import Notes, Publisher, client
from tests.processes import running

NAMES = ("dc1", "dc2")
SEGMENT = 2.0  # seconds
HELD = 200_000  # events of a video: none is to leave the log
FULL = 100  # bytes that a file may have while the disk is full


class World:
    """The datacenters; `links` by who listens."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.redis: dict[str, RedisServer] = {}
        self.dispatchers: dict[str, Node] = {}
        self.recorders: dict[str, list[Node]] = {name: [] for name in NAMES}
        self.links: dict[str, Proxy] = {}

    def recordings(self, name: str) -> Path:
        return self.directory / f"{name}-recordings"


@asynccontextmanager
async def open_world(directory: Path) -> AsyncIterator[World]:
    """All of it, ready, while the block lasts; the nodes' logs are in `directory`."""
    world = World(directory)
    async with AsyncExitStack() as stack:
        for name in NAMES:
            (directory / name).mkdir()
            server = world.redis[name] = RedisServer(free_port(), directory / name, appendonly=True)
            server.start()
            stack.callback(server.stop)
            await server.wait_ready()
        for name, peer in (NAMES, NAMES[::-1]):
            world.links[name] = await stack.enter_async_context(open_proxy(world.redis[peer].port))
        for name, peer in (NAMES, NAMES[::-1]):
            own = (
                *QUICK, f"node.datacenter={name}", f"history.max_events={HELD}",
                f"history.ephemeral_events={HELD}",
            )  # fmt: skip
            link = f"peers.{peer}.url=redis://{HOST}:{world.links[name].port}/0"
            url = world.redis[name].url
            world.dispatchers[name] = Node(directory, f"{name}-di1", "dispatcher", url, *own, link, *RELAY)
            for number in (1, 2):
                recording = (
                    "recorder.interval=200ms",
                    f"recorder.segment={SEGMENT:g}s",
                    f"recorder.directory={world.recordings(name)}",
                )
                world.recorders[name].append(
                    Node(directory, f"{name}-re{number}", "recorder", url, *own, *recording)
                )
        recorders = [node for some in world.recorders.values() for node in some]
        await stack.enter_async_context(running(*world.dispatchers.values(), *recorders))
        yield world


async def break_things(world: World, rng: random.Random) -> None:
    """Everything once in each datacenter, in any order; some of it at the same time."""
    acts = [(kind, name) for kind in ("kill", "disk", "redis", "link", "kill") for name in NAMES]
    async with trio.open_nursery() as nursery:
        locks = {act: trio.Lock() for act in set(acts)}

        async def perform(kind: str, name: str) -> None:
            async with locks[kind, name]:  # the same twice at once is another thing
                await FAULTS[kind](world, name, rng)

        for act in rng.sample(acts, len(acts)):
            nursery.start_soon(perform, *act)
            await trio.sleep(rng.uniform(0.3, 3))


async def kill(world: World, name: str, rng: random.Random) -> None:
    """Kill one of the recorders, or both, and start them again."""
    nodes = rng.sample(world.recorders[name], rng.choice([1, 2]))
    for node in nodes:
        await node.kill()
    await trio.sleep(rng.uniform(0, 3))
    for node in nodes:
        node.start()


async def fill_disk(world: World, name: str, rng: random.Random) -> None:
    """Let the recorders write hardly anything, as on a full disk; they go on."""
    for node in world.recorders[name]:
        limit(node, FULL)
    await trio.sleep(rng.uniform(1, 4))
    for node in world.recorders[name]:
        limit(node, None)


def limit(node: Node, size: int | None) -> None:
    """Bound the size of the files that the process writes."""
    if node.is_running and node.process is not None:
        _, most = resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (most if size is None else size, most))


async def restart_redis(world: World, name: str, rng: random.Random) -> None:
    await trio.to_thread.run_sync(world.redis[name].stop)
    await trio.sleep(rng.uniform(0, 2))
    world.redis[name].start()
    await world.redis[name].wait_ready()


async def break_the_link(world: World, name: str, rng: random.Random) -> None:
    await break_link(world.links[name], rng, 5)


FAULTS = {"kill": kill, "disk": fill_disk, "redis": restart_redis, "link": break_the_link}


def recorded(directory: Path, video: str) -> list[str]:
    """Return the keys of the events that are recorded, as often as they are."""
    lines = Recording(Directory(directory), video, SEGMENT).between(0, float("inf"))
    return [msgspec.json.decode(line)["user"] for some in lines for line in some]


async def play(seed: int, videos: int, directory: Path) -> Notes:
    """One round; `complaints` of the notes are what went wrong."""
    rng, notes = random.Random(seed), Notes()
    names = [f"v{number}" for number in range(videos)]
    async with open_world(directory) as world:
        publishers = [
            Publisher(f"p{name}", notes, [world.dispatchers[name].url], names, random.Random(rng.random()))
            for name in NAMES
        ]
        async with trio.open_nursery() as publishing:
            for publisher in publishers:
                publishing.start_soon(publisher.run)
            await break_things(world, rng)
            for publisher in publishers:
                publisher.rest()
        async with client() as http:
            for publisher in publishers:
                for video in names:
                    await publisher.publish(http, video, 1, own_ids=True)
        with trio.move_on_after(PATIENCE):
            while complaints(notes, world, names):  # noqa: ASYNC110  # other processes write the files
                await trio.sleep(0.5)
        notes.complaints += complaints(notes, world, names)
        for some in world.recorders.values():
            for node in some:
                if not node.is_running:
                    notes.complaints.append(node.describe_end())
                await node.terminate()
        for name in NAMES:
            notes.complaints += await made_again(world, name, names)
    return notes


def complaints(notes: Notes, world: World, videos: list[str]) -> list[str]:
    """Return what is wrong with the recordings as they are."""
    found = []
    for video in videos:
        accepted = {
            key
            for request in notes.requests
            if request.video == video and request.answered is not None
            for key in request.keys
        }
        keys = {name: recorded(world.recordings(name), video) for name in NAMES}
        for name, some in keys.items():
            if len(set(some)) < len(some):
                found.append(f"{name} has {len(some) - len(set(some))} events of {video} twice")
            if lost := accepted - set(some):
                found.append(f"{name} has not {len(lost)} events of {video}, {min(lost)} for one")
            index = Recording(Directory(world.recordings(name)), video, SEGMENT).index()
            if any(entry.gap for entry in index.segments):
                found.append(f"{name} has a gap in {video}, and nothing was lost")
        if differ := set(keys["dc1"]) ^ set(keys["dc2"]):
            found.append(f"{len(differ)} events of {video} are in one datacenter only, {min(differ)} for one")
    return found


async def made_again(world: World, name: str, videos: list[str]) -> list[str]:
    """Return how recordings differ that are made again from the log, at once."""
    again, found = world.directory / f"{name}-again", []
    bus, history = BusSettings(url=world.redis[name].url), HistorySettings(max_events=HELD)
    async with RedisBus.open(name, bus, history) as reader:
        settings = RecorderSettings(segment=Duration(SEGMENT))
        await Recorder(reader, Directory(again), settings).catch_up()
    for video in videos:
        files = [
            {path.name: path.read_bytes() for path in (root / video).iterdir() if path.suffix == ".gz"}
            for root in (world.recordings(name), again)
        ]
        indices = [
            Recording(Directory(root), video, SEGMENT).index().segments
            for root in (world.recordings(name), again)
        ]
        if files[0] != files[1] or indices[0] != indices[1]:
            found.append(f"{name} made again has other bytes of {video}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, help="otherwise a random one, which is printed")
    parser.add_argument("--videos", type=int, default=5)
    options = parser.parse_args()
    seed = random.randrange(1_000_000) if options.seed is None else options.seed
    directory = Path(tempfile.mkdtemp(prefix="liveserver-chaos-recordings-"))
    notes = trio.run(play, seed, options.videos, directory)
    accepted = sum(len(request.keys) for request in notes.requests if request.answered is not None)
    print(f"seed {seed}: {accepted} accepted; {directory}")
    for complaint in notes.complaints[:20]:
        print(f"    {complaint}")
    print("failed" if notes.complaints else "passed")
    return 1 if notes.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
