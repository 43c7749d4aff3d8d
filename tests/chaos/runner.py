"""Runs one scenario with one seed: starts cluster and viewers, injects faults, checks the history."""

from __future__ import annotations

import random
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

import msgspec
import trio

from liveserver.bus.redis.bus import RedisBus
from liveserver.config import BusSettings, HistorySettings
from tests.chaos.checker import check
from tests.chaos.harness import Stage, open_stage
from tests.chaos.history import Gap, Heard, History, Place
from tests.chaos.viewer_processes import Notes, Publisher, Viewer, client

if TYPE_CHECKING:
    from tests.chaos.scenarios.registry import Scenario

# Seconds.
LIMIT = 360.0  # for all of it; beyond it something hangs
SETTLE = 60.0  # seconds until all viewers have all events, after the faults are over
READY = 60.0

# Drawn for each play, so that what is rare in earnest is not rare here: full segments, pages and inboxes.
VARIED = {
    "bus.inbox_batches": ["3", "10000"],
    "dispatcher.commit_events": ["30", "4000"],
    "frontend.flush_interval": ["0ms", "20ms", "100ms"],
    "frontend.linger": ["200ms", "1s"],
    "frontend.poll_events": ["7", "500"],
    "frontend.segment_size": ["1", "2", "200"],
}

T = TypeVar("T")


class Verdict(NamedTuple):
    """What came of it. `directory` has the nodes' logs."""

    complaints: list[str]
    accepted: int
    maybe: int
    delivered: int
    gaps: int
    reconnects: int
    seconds: float
    directory: Path


class Play:
    """What a scenario works with."""

    def __init__(self, stage: Stage, rng: random.Random, nursery: trio.Nursery) -> None:
        self.stage = stage
        self.rng = rng
        self.notes = Notes()
        self.videos: list[str] = []
        self.viewers: list[Viewer] = []
        self.publishers: list[Publisher] = []
        self._nursery = nursery
        self._publishing = trio.CancelScope()
        self._published = trio.Event()

    async def begin(self) -> None:
        """Start viewers of every kind on two or three videos, and publishers."""
        for number in range(self.rng.randint(2, 3)):
            self.add_video(f"v{number}")
        await self._all_ready()
        for number in range(3):
            source = random.Random(self.rng.random())
            self.publishers.append(
                Publisher(f"p{number}", self.notes, self.stage.publish_urls, self.videos, source)
            )
        self._nursery.start_soon(self._publish)

    async def _all_ready(self) -> None:
        with trio.move_on_after(READY):
            for viewer in self.viewers:
                await viewer.ready.wait()
            return
        late = ", ".join(viewer.diary.name for viewer in self.viewers if not viewer.ready.is_set())
        self.notes.complaints.append(f"not ready within {READY:g} s, although all is well: {late}")

    async def _publish(self) -> None:
        with self._publishing:
            async with trio.open_nursery() as nursery:
                for publisher in self.publishers:
                    nursery.start_soon(publisher.run)
        self._published.set()

    def add_video(self, video: str) -> None:
        self.videos.append(video)
        for transport in ("sse", "poll", "ws"):
            for hops in (False, True):
                self.watch(video, transport, hops=hops)

    def watch(
        self,
        video: str,
        transport: Literal["sse", "poll", "ws"],
        *,
        hops: bool = False,
        stalls: bool = False,
        direct: bool = False,
        urls: Sequence[str] = (),
    ) -> Viewer:
        """A new viewer; `direct`ly at the frontends rather than through the proxies."""
        everywhere = [node.url for node in self.stage.frontends] if direct else self.stage.watch_urls
        viewer = Viewer(
            f"viewer {len(self.viewers)}", self.notes, urls or self.shuffled(everywhere), video, transport,
            random.Random(self.rng.random()), hops=hops, stalls=stalls,
        )  # fmt: skip
        self.viewers.append(viewer)
        self._nursery.start_soon(viewer.run)
        return viewer

    def shuffled(self, some: Sequence[T]) -> list[T]:
        return self.rng.sample(some, len(some))

    def pad(self, size: int) -> None:
        """More bytes in each event, and more events."""
        for publisher in self.publishers:
            publisher.padding, publisher.pause = size, 0.04

    async def breathe(self, most: float = 1.0) -> None:
        await trio.sleep(self.rng.uniform(0.1, most))

    async def rows(self, video: str) -> list[str]:
        """The nodes with a living lease."""
        now = await self.stage.ask_redis("TIME")
        assert isinstance(now, list | tuple)
        rows = await self.stage.ask_redis(
            "ZRANGEBYSCORE", f"ls:{{{video}}}:nodes", int(now[0]) * 1000, "+inf"
        )
        assert isinstance(rows, list)
        return rows

    async def end(self) -> None:
        """End all faults; wait until requests are answered and all viewers have all events, or fail."""
        await self.stage.heal()
        await self._all_ready()
        for publisher in self.publishers:
            publisher.rest()
        for viewer in self.viewers:
            viewer.stalls = False
            viewer.away = 0.0
        with trio.move_on_after(SETTLE):
            await self._published.wait()
        if not self._published.is_set():
            self.notes.complaints.append("not all publishers were answered after all was mended")
            self._publishing.cancel()
            await self._published.wait()
        last = {video: f"last-{video}" for video in self.videos}
        with trio.move_on_after(SETTLE):
            async with client() as http:
                for video in self.videos:
                    closing = Publisher(last[video], self.notes, self.stage.publish_urls, [], self.rng)
                    await closing.publish(http, video, 1, own_ids=True)
            for viewer in self.viewers:
                await viewer.wait_heard(f"last-{viewer.diary.video}-0")
        for viewer in self.viewers:
            if f"last-{viewer.diary.video}-0" not in viewer.heard:
                self.notes.complaints.append(
                    f"{viewer.diary.name} of {viewer.diary.video} did not receive the last event within "
                    f"{SETTLE:g} s; lost last: {viewer.last_loss or 'never'}"
                )
        for node in self.stage.nodes:
            try:
                with trio.fail_after(READY):
                    await node.wait_ready()
            except (trio.TooSlowError, AssertionError):
                self.notes.complaints.append(f"{node.name} was not ready again")

    async def read_logs(self) -> dict[str, list[tuple[Place, str]]]:
        """The logs as Redis has them now."""
        logs: dict[str, list[tuple[Place, str]]] = {}
        async with RedisBus.open("dc1", BusSettings(url=self.stage.redis_url), HistorySettings()) as bus:
            for video in self.videos:
                stretch = await bus.read(video, 0, 100_000)
                logs[video] = [
                    (Place(batch.origin_epoch, batch.number + index), _key(line))
                    for batch in stretch.batches
                    for index, line in enumerate(batch.lines)
                ]
        return logs


def _key(line: bytes) -> str:
    event = msgspec.json.decode(line.partition(b" ")[2])
    return str(event["user"])


def causes(error: BaseException) -> Iterator[str]:
    """What a group of exceptions comes down to, and where in the tests each was raised."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from causes(inner)
        return
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/tests/" in frame.filename]
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    yield f"{type(error).__name__} {error}{where}"


async def perform(scenario: Scenario, seed: int) -> Verdict:
    """Play it through and judge it. The plan depends on the seed alone."""
    directory = Path(tempfile.mkdtemp(prefix=f"liveserver-chaos-{scenario.name}-"))
    began = trio.current_time()
    notes = Notes()
    logs: dict[str, list[tuple[Place, str]]] = {}
    is_whole = False
    rng = random.Random(f"{scenario.name} {seed}")
    varied = [f"{name}={rng.choice(values)}" for name, values in VARIED.items()]
    with trio.move_on_after(LIMIT) as limit:
        try:
            async with (
                open_stage(directory, [*varied, *scenario.settings], scenario.redis) as stage,
                trio.open_nursery() as nursery,
            ):
                play = Play(stage, rng, nursery)
                notes = play.notes
                await play.begin()
                await play.breathe()
                await scenario.action(play)
                await play.end()
                logs = await play.read_logs()
                is_whole = True
                nursery.cancel_scope.cancel()
        except Exception as error:
            notes.complaints += [f"it broke off: {cause}" for cause in causes(error)]
    if limit.cancelled_caught:
        notes.complaints.append(f"it did not end within {LIMIT:g} s")
    losses = scenario.losses + notes.unconfirmed
    history = History(notes.requests, notes.diaries, logs, losses, scenario.whole)
    events = [(request, key) for request in notes.requests for key in request.keys]
    return Verdict(
        complaints=notes.complaints + (check(history) if is_whole else []),
        accepted=sum(request.answered is not None for request, _ in events),
        maybe=sum(request.answered is None for request, _ in events),
        delivered=sum(isinstance(item, Heard) for diary in notes.diaries for item in diary.items),
        gaps=sum(isinstance(item, Gap) for diary in notes.diaries for item in diary.items),
        reconnects=notes.reconnects,
        seconds=trio.current_time() - began,
        directory=directory,
    )
