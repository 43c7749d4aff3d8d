"""A realistic load for as long as wanted: nothing is lost or doubled, and memory stays flat.

    python -m bench.soak                            # make soak: an hour
    python -m bench.soak --minutes 3 --viewers 200     # a quick run

Two frontends, a dispatcher and a real Redis, each a process. The number of viewers is that of an evening: few
at first, most after two thirds of the time, half of them at the end; with six tides, as videos begin and end.
They watch videos of very different size (Zipf); likes come in bursts. A third of the way the frontends are
restarted one after the other (SIGTERM), at two thirds Redis is killed (SIGKILL) and started with its data.

- Every viewer's numbers must follow each other, over reconnects too: no event lost or doubled, and no gap as
  long as the log has everything (`bench.follower`).
- Each process' memory and descriptors are sampled. Their growth is what time explains of them when the number
  of its viewers is held equal (`bench.trend`), over means of half a minute, and from `--warm-up` minutes on
  after its last start: until then the allocator grows to its working size (bench/README.md).

At the end all viewers must have the last number of their video. The run fails if any of this does not
hold, or if a process grows with certainty (95 %) by more than `--max-growth` MiB or descriptors an hour.
"""

from __future__ import annotations

import math
import random
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Annotated, Any

import httpx
import trio
import typer

from bench.follower import Follower
from bench.harness import HOST, progress
from bench.http_client import get
from bench.results import Sheet, finish, machine
from bench.soak_node import Node
from bench.trend import BLOCK, Trend, blocks, trend
from liveserver.cluster.redis_server import RedisServer, free_port

TIDES = 6
WARM_UP = 1 / 6  # of the time, at most
FEWEST_BLOCKS = 8
SAMPLE = 2.0  # seconds between two samples
SETTLED = 30.0  # seconds for the last events to arrive everywhere
READ = 64 * 1024


class Evening:
    """The cluster with its viewers and publishers."""

    def __init__(
        self, seed: int, minutes: float, max_viewers: int, videos: int, rate: float, warm_up: float = 10.0
    ) -> None:
        self.warm_up = min(warm_up * 60, minutes * 60 * WARM_UP)
        self.rng = random.Random(seed)
        self.seconds = minutes * 60
        self.max_viewers = max_viewers
        self.rate = rate
        self.videos = [f"soak-{number}" for number in range(videos)]
        self.weights = [1 / rank for rank in range(1, videos + 1)]
        self.accepted: Counter[str] = Counter()
        self.watching: dict[Follower, str] = {}
        self.connections: Counter[int] = Counter()  # of each frontend, by its port
        self.faults: list[str] = []
        self.figures: Counter[str] = Counter()
        self.frontends: list[Node] = []
        self.ready: list[Node] = []  # the frontends that accept viewers now
        self.dispatcher: Node
        self.redis: RedisServer
        self._leaving: dict[Follower, trio.CancelScope] = {}
        self._begun = time.monotonic()
        self._is_over = False
        self._published = trio.Event()

    @property
    def second(self) -> float:
        return time.monotonic() - self._begun

    @property
    def nodes(self) -> list[Node]:
        return [self.dispatcher, *self.frontends]

    async def run(self, directory: Path, step: Any) -> None:
        """Run all of it."""
        (directory / "redis").mkdir()
        self.redis = RedisServer(free_port(), directory / "redis", appendonly=True)
        self.redis.start()
        try:
            await self.redis.wait_ready()
            await self._start_nodes(directory)
            await self._play(step)
        finally:
            for node in self.nodes:
                node.process.kill()
                node.process.wait()
            self.redis.process.kill()
            self.redis.process.wait()

    async def _start_nodes(self, directory: Path) -> None:
        common = [
            "bus.kind=redis",
            f"bus.url={self.redis.url}",
            "history.max_events=2000",
            "history.ephemeral_events=2000",
            "history.max_age=60s",
        ]
        self.dispatcher = Node("dispatcher", common, directory)
        await self.dispatcher.start()
        there = f'frontend.dispatchers=["http://{HOST}:{self.dispatcher.port}"]'
        for number in (1, 2):
            node = Node("frontend", [*common, there, f"node.name=dc1-fe{number}"], directory)
            await node.start()
            self.frontends.append(node)
        self.ready = list(self.frontends)

    async def _play(self, step: Any) -> None:
        self._begun = time.monotonic()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._publish)
            nursery.start_soon(self._sample)
            nursery.start_soon(self._break)
            while self.second < self.seconds:
                self._tide(nursery)
                step(f"{len(self.watching)} viewers, {self.figures['delivered']:,} deliveries", 0)
                await trio.sleep(0.2)
            self._is_over = True
            with trio.fail_after(SETTLED):
                await self._published.wait()
            await self._settle(step)
            nursery.cancel_scope.cancel()

    def _tide(self, nursery: trio.Nursery) -> None:
        """Start or stop viewers, to the number of this moment of the tide; some leave at any time."""
        wanted = round(self.max_viewers * viewers_at(self.second / self.seconds))
        for follower in self.rng.sample(
            list(self._leaving), min(len(self._leaving), self.max_viewers // 100)
        ):
            self._leaving[follower].cancel()
        for _ in range(max(0, len(self._leaving) - wanted)):
            self._leaving[self.rng.choice(list(self._leaving))].cancel()
        for _ in range(min(40, wanted - len(self._leaving))):
            self.figures["came"] += 1
            follower = Follower(f"viewer {self.figures['came']}")
            (video,) = self.rng.choices(self.videos, self.weights)
            self._leaving[follower] = scope = trio.CancelScope()
            nursery.start_soon(self._watch, follower, video, scope)

    async def _watch(self, follower: Follower, video: str, leaving: trio.CancelScope) -> None:
        """Watch until asked to leave, over as many connections as necessary."""
        with leaving:
            while True:
                before = follower.events
                try:
                    await self._watch_once(follower, video)
                except (OSError, trio.BrokenResourceError):
                    pass
                finally:
                    self.figures["delivered"] += follower.events - before
                    self.watching.pop(follower, None)
                self.figures["reconnects"] += 1
                await trio.sleep(self.rng.uniform(0.2, 2.0))
        self._leaving.pop(follower, None)
        self.figures["gaps_received"] += follower.gaps
        self.figures["resumed"] += follower.resumed
        self.faults += follower.faults

    async def _watch_once(self, follower: Follower, video: str) -> None:
        port = self.rng.choice(self.ready or self.frontends).port
        lines = [f"Last-Event-ID: {follower.cursor.decode()}"] if follower.cursor else []
        stream = await trio.open_tcp_stream(HOST, port)
        async with stream:
            self.connections[port] += 1
            try:
                await self._read(stream, follower, video, port, lines)
            finally:
                self.connections[port] -= 1

    async def _read(
        self, stream: trio.SocketStream, follower: Follower, video: str, port: int, lines: list[str]
    ) -> None:
        follower.begin()
        path = f"/v1/videos/{video}/events"
        await stream.send_all(get(path, f"{HOST}:{port}", "Accept: text/event-stream", *lines))
        while data := await stream.receive_some(READ):
            before = follower.events
            follower.feed(data)
            self.figures["delivered"] += follower.events - before
            if follower.cursor:
                self.watching[follower] = video
            if follower.said_bye:
                self.figures["byes"] += 1
                return

    async def _publish(self) -> None:
        """Publish bursts of likes; each is repeated with its ids until it is accepted."""
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            while not self._is_over:
                burst = min(200, int(self.rng.paretovariate(1.2)))
                (video,) = self.rng.choices(self.videos, self.weights)
                await self._publish_burst(client, video, burst)
                await trio.sleep(self.rng.expovariate(self.rate / 4.5))  # a burst has 4.5 on average
        self._published.set()

    async def _publish_burst(self, client: httpx.AsyncClient, video: str, burst: int) -> None:
        self.figures["bursts"] += 1
        name = f"soak-{self.figures['bursts']}"
        events = [{"type": "like", "id": f"{name}-{number}", "user": "soak"} for number in range(burst)]
        url = f"http://{HOST}:{self.dispatcher.port}/v1/videos/{video}/events"
        while True:
            try:
                answer = await client.post(url, json=events)
            except httpx.HTTPError:
                answer = None
            if answer is not None and answer.status_code == 202:
                self.accepted[video] += burst
                self.figures["published"] += burst
                return
            self.figures["publish_retries"] += 1
            await trio.sleep(0.2)

    async def _sample(self) -> None:
        while True:
            await trio.sleep(SAMPLE)
            for node in self.nodes:
                node.sample(self.second, self.connections.get(node.port, len(self.watching)))

    async def _break(self) -> None:
        await trio.sleep(self.seconds / 3)
        for node in self.frontends:
            self.ready.remove(node)
            await node.stop()
            await node.start()
            self.ready.append(node)
        await trio.sleep(max(0.0, 2 * self.seconds / 3 - self.second))
        self.redis.process.kill()
        await trio.to_thread.run_sync(self.redis.process.wait)
        await trio.sleep(1.0)
        self.redis.start()
        await self.redis.wait_ready()

    async def _settle(self, step: Any) -> None:
        """Wait until all viewers have all events; otherwise report those that do not."""
        step("the last events", 0)
        until = time.monotonic() + SETTLED
        while (behind := self._behind()) and time.monotonic() < until:  # noqa: ASYNC110  # of other processes
            await trio.sleep(0.2)
        self.figures["at_the_end"] = len(self.watching)
        self.faults += behind[:10]
        for follower in self._leaving:
            self.figures["gaps_received"] += follower.gaps
            self.figures["resumed"] += follower.resumed
            self.faults += follower.faults
        if self.figures["gaps_received"]:
            self.faults.append(
                f"{self.figures['gaps_received']} gaps were sent, although the log had everything"
            )

    def _behind(self) -> list[str]:
        found = [
            f"{follower.name} of {video} ends at {follower.number} of {self.accepted[video]}"
            for follower, video in self.watching.items()
            if follower.number != self.accepted[video]
        ]
        missing = len(self._leaving) - len(self.watching)
        return found + ([f"{missing} viewers have no stream"] if missing else [])

    def trends(self) -> dict[str, dict[str, Trend]]:
        """Return the growth of each process' memory (MiB) and descriptors."""
        found: dict[str, dict[str, Trend]] = defaultdict(dict)
        for node in self.nodes:
            begun = node.samples[0].second + self.warm_up if node.samples else 0.0
            samples = [sample for sample in node.samples if sample.second >= begun]
            length = min(BLOCK, (self.seconds - begun) / FEWEST_BLOCKS)
            if len(samples) >= 2 * FEWEST_BLOCKS:
                seconds, viewers, mib, descriptors = zip(*samples, strict=True)
                found[node.name]["MiB"] = trend(*blocks(seconds, mib, viewers, length))
                found[node.name]["descriptors"] = trend(*blocks(seconds, descriptors, viewers, length))
        return found


def viewers_at(share: float) -> float:
    """Return the viewers after this share of an evening, as a share of the most: a daily curve, and tides."""
    daily = 0.5 * (1 - math.cos(2 * math.pi * (share * 0.75)))  # its top at two thirds
    tides = 1 - math.cos(2 * math.pi * TIDES * share)
    return (0.15 + 0.85 * daily) * (0.6 + 0.2 * tides)


def main(
    minutes: Annotated[float, typer.Option(help="Minutes of the run.")] = 60.0,
    viewers: Annotated[int, typer.Option(help="Viewers at high tide.")] = 400,
    videos: Annotated[int, typer.Option(help="Videos; the first has most viewers and likes.")] = 30,
    rate: Annotated[float, typer.Option(help="Likes a second over all videos, on average.")] = 60.0,
    max_growth: Annotated[float, typer.Option(help="MiB an hour that a process may grow.")] = 16.0,
    warm_up: Annotated[float, typer.Option(help="Minutes after a start that do not count.")] = 10.0,
    seed: Annotated[int, typer.Option(help="Seed of the random load.")] = 1,
) -> None:
    """Run a small cluster under a realistic load, with a rolling restart and a Redis kill; check it.

    Example: python -m bench.soak --minutes 60
    """
    facts = machine()
    evening = Evening(seed, minutes, viewers, videos, rate, warm_up)
    with tempfile.TemporaryDirectory(prefix="liveserver-soak-") as directory, progress(1) as step:
        trio.run(evening.run, Path(directory), step)
    trends = evening.trends()
    for name, grown in trends.items():
        if grown["MiB"].at_least > max_growth:
            evening.faults.append(f"{name} grows by {grown['MiB'].per_hour:.1f} MiB an hour")
        if grown["descriptors"].at_least > max_growth:
            growth = grown["descriptors"].per_hour
            evening.faults.append(f"{name} grows by {growth:.1f} descriptors an hour")
    result = {
        "bench": "soak", "minutes": minutes, "viewers": viewers, "seed": seed,
        "figures": dict(evening.figures),
        "trends": {name: {what: list(each) for what, each in of.items()} for name, of in trends.items()},
        "faults": evening.faults, "machine": facts,
    }  # fmt: skip
    finish(result, sheets(result))


def sheets(result: dict[str, Any]) -> list[Sheet]:
    """Return the tables of a result."""
    rows = [
        [name.split()[0], *(f"{each[0]:+.1f} ± {each[1]:.1f}" for each in grown.values())]
        for name, grown in result["trends"].items()
    ]
    labels = {"came": "viewers that came", "bursts": "bursts of likes", "at_the_end": "viewers at the end"}
    figures = [[labels.get(name, name.replace("_", " ")), count] for name, count in result["figures"].items()]
    return [
        Sheet(f"{result['minutes']:g} minutes, up to {result['viewers']:,} viewers", ["", ""], figures),
        Sheet("growth an hour, with 95 % confidence", ["", "MiB", "descriptors"], rows),
    ]


if __name__ == "__main__":
    typer.run(main)
