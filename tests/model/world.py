"""Two or three datacenters on memory buses, with relays, frontends and viewers, under random faults.

A world is made of its seed, and of the order of sets (`PYTHONHASHSEED`).
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import msgspec
import trio
from trio._core import _run
from trio.testing import MockClock

from liveserver.bus.interface import AppendRequest, Inbox, Slice, ignore
from liveserver.bus.memory import video_log
from liveserver.bus.memory.bus import MemoryBus
from liveserver.config import HistorySettings, Settings, convert
from liveserver.errors import BusError
from liveserver.event import Batch
from liveserver.viewer_count import ViewerCount
from tests.dispatcher.relay.harness import Link, Relaying
from tests.frontend.harness import Stage, settings, stage
from tests.model.history import History, Published
from tests.model.viewers import Viewer

VIDEO = "v"
QUIET = 24.0  # seconds after which all that was lost on the way has been found
ACTIONS = (
    *("publish",) * 8, *("hop",) * 6, "pause", "pause", "go_on", "copy", "retract",
    "lose", "cut", "heal", "kill", "begin_anew",
)  # fmt: skip


class UnsteadyBus(MemoryBus):
    """A memory bus whose reads take time or fail, and whose inboxes lose batches, while it `is_unsteady`."""

    def __init__(self, datacenter: str, history: HistorySettings, chance: random.Random) -> None:
        super().__init__(datacenter, history, 20)
        self.is_unsteady = False
        self._chance = chance

    async def read(self, video: str, after: int, limit: int) -> Slice:
        if self.is_unsteady:
            await trio.sleep(self._chance.choice((0.0, 0.0, 0.02, 0.5)))
            if self._chance.random() < 0.2:
                raise BusError("the link is down")
        found = await super().read(video, after, min(limit, 7))
        if self.is_unsteady:
            await trio.sleep(self._chance.choice((0.0, 0.0, 0.02, 0.5)))
        return found

    def loses(self, batch: Batch) -> bool:
        return self.is_unsteady and batch.video == VIDEO and self._chance.random() < 0.3

    @asynccontextmanager
    async def inbox(self, node: str, hear: Callable[[ViewerCount], None] = ignore) -> AsyncIterator[Inbox]:
        async with super().inbox(node, hear) as inner:
            yield UnsteadyInbox(inner, self)


class UnsteadyInbox:
    """What comes through."""

    def __init__(self, inner: Inbox, bus: UnsteadyBus) -> None:
        self._inner = inner
        self._bus = bus

    def __aiter__(self) -> UnsteadyInbox:
        return self

    async def __anext__(self) -> list[Batch]:
        while True:
            batches = await anext(self._inner)
            if not batches or (batches := [batch for batch in batches if not self._bus.loses(batch)]):
                return batches


class World:
    """The simulated system. `run` raises `Violation` if a viewer received something wrong."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.history = History()
        self.log: list[str] = []
        self.viewers: list[Viewer] = []
        chance = self._chance = random.Random(seed)
        self._names = [f"dc{number}" for number in range(1, chance.choice((2, 2, 3)) + 1)]
        self._max_events = chance.choice((6, 20, 1_000))
        self._ephemeral_events = chance.choice((0, 3, 10))
        if self._ephemeral_events:
            self.history.ephemeral = frozenset({"like"})
        self._buses = {
            name: UnsteadyBus(name, convert(self._history_settings(), HistorySettings), chance)
            for name in self._names
        }
        self._links: list[Link] = []
        self._relays: dict[tuple[str, str], Relaying] = {}
        self._epochs = 0
        self._published = 0
        self._age_range = (0.0, 0.0)

    def _history_settings(self) -> dict[str, object]:
        return {
            "max_events": self._max_events,
            "max_age": "60s" if self.seed % 3 else "8s",
            "ephemeral_types": sorted(self.history.ephemeral),
            "ephemeral_events": self._ephemeral_events or 1,
        }

    def _settings(self, datacenter: str) -> Settings:
        chance = self._chance
        return settings(
            node={"datacenter": datacenter},
            history=self._history_settings(),
            frontend={
                "lease": "6s",
                "linger": chance.choice(("0s", "5s")),
                "counts_interval": chance.choice(("1s", "10h")),
                "segment_size": chance.choice((1, 3, 500, 500)),
                "max_write": chance.choice((200, 200, 2000, 65536)),
                "flush_interval": chance.choice(("0s", "20ms", "500ms", "500ms")),
                "slow_timeout": "1h",
                "poll_bytes": chance.choice((400, 1 << 20)),
            },
        )

    def _new_epoch(self) -> str:
        self._epochs += 1
        return f"0{self._epochs:07}"

    async def run(self) -> None:
        async with trio.open_nursery() as nursery, AsyncExitStack() as stack:
            places: list[tuple[str, Stage]] = []
            for name in self._names:
                for number in range(1, self._chance.choice((1, 1, 2)) + 1):
                    opened = stage(self._settings(name), self._buses[name], node=f"{name}-fe{number}")
                    places.append((name, await stack.enter_async_context(opened)))
            for ours in self._names:
                for theirs in self._names:
                    if ours != theirs:
                        self._relay(ours, theirs, nursery)
            await trio.sleep(1)
            for number in range(self._chance.randint(2, 7)):
                viewer = Viewer(f"viewer {number}", self.history, places, self._chance)
                self.viewers.append(viewer)
                nursery.start_soon(viewer.run)
            for _ in range(self._chance.randint(10, 40)):
                await self._act(nursery)
                await trio.sleep(self._chance.choice((0.0, 0.01, 0.1, 0.3, 1.0, 2.0)))
            await self._become_quiet()
            for viewer in self.viewers:
                if viewer.story.known is not None:
                    head = (await MemoryBus.read(self._buses[viewer.datacenter], VIDEO, 0, 1)).head
                    viewer.story.end(head.cursor)
            nursery.cancel_scope.cancel()

    def _relay(self, ours: str, theirs: str, nursery: trio.Nursery) -> None:
        link = Link(self._buses[theirs])
        link.latency = self._chance.choice((0.0, 0.01, 0.4))
        self._links.append(link)
        relay = self._relays[ours, theirs] = Relaying(
            link, self._buses[ours], lease="12s", retry_max="1s", full_sweep_interval="10s"
        )  # fmt: skip
        nursery.start_soon(relay.run)

    async def _act(self, nursery: trio.Nursery) -> None:
        chance = self._chance
        what, where = chance.choice(ACTIONS), chance.choice(self._names)
        self.log.append(f"{trio.current_time():.2f} {what} {where}")
        bus, viewer, link = self._buses[where], chance.choice(self.viewers), chance.choice(self._links)
        match what:
            case "publish":
                for _ in range(chance.choice((1, 1, 3, 12))):
                    await self._publish(where, chance.choice(("like", "comment")))
            case "copy":
                if comments := [event for event in self.history.events.values() if event.type == "comment"]:
                    original = chance.choice(comments)
                    await self._publish(original.origin, "comment", of=original.id)
            case "retract":
                if comments := [event for event in self.history.events.values() if event.type == "comment"]:
                    await self._publish(where, "retract", target=chance.choice(comments).id)
            case "hop":
                viewer.hop()
            case "pause":
                viewer.pause()
            case "go_on":
                viewer.go_on()
            case "lose":
                bus.is_unsteady = not bus.is_unsteady
            case "cut":
                link.is_cut = True
            case "heal":
                self._heal()
            case "kill":
                ours, theirs = chance.choice(list(self._relays))
                self._relays[ours, theirs].kill()
                self._relay(ours, theirs, nursery)
            case "begin_anew":
                bus._videos.pop(VIDEO, None)  # the store came back empty

    async def _publish(self, where: str, kind: str, of: str = "", target: str = "") -> None:
        self._published += 1
        name = self._published
        event_id = of or f"id{name}"
        said: dict[str, object] = {"n": name, "p": "x" * self._chance.choice((0, 50, 700))}
        if target:
            said = {"id": target, "n": name}
        event = {"id": event_id, "video": VIDEO, "type": kind, "at": 1, "data": said}
        line = kind.encode() + b" " + msgspec.json.encode(event)
        # As the dispatcher does; nothing else happens before its number is known.
        result = (await self._buses[where].append([AppendRequest(VIDEO, f"t{name}", [line], [None])]))[0]
        self.history.add(Published(where, result.epoch, result.number, name, event_id, kind, target))
        self.log[-1] += f" {where}-{result.epoch}-{result.number}={event_id} {target}"

    def _heal(self) -> None:
        for link in self._links:
            link.is_cut = False
        for bus in self._buses.values():
            bus.is_unsteady = False

    async def _become_quiet(self) -> None:
        """Heal all faults, publish in each datacenter so that lost last events are detected, and wait."""
        self._heal()
        for viewer in self.viewers:
            viewer.go_on()
            viewer.is_hurried = True
        await trio.sleep(QUIET / 2)
        self.log.append(f"{trio.current_time():.2f} the end")
        for name in self._names:
            await self._publish(name, "like")
        await trio.sleep(QUIET)

    def report(self) -> str:
        bounds = f"{self._max_events} events, {self._ephemeral_events} ephemeral"
        lines = [f"world {self.seed}: {self._names}, {bounds}", *self.log]
        for viewer in self.viewers:
            lines += ["", viewer.story.name, *viewer.story.lines]
        return "\n".join(lines)


@contextmanager
def determined(seed: int, new_epoch: Callable[[], str]) -> Iterator[None]:
    """Have chance, the order of Trio's tasks, and epochs' names depend on the seed alone."""
    scheduling = "_ALLOW_DETERMINISTIC_SCHEDULING"
    before, made = getattr(_run, scheduling), video_log.__dict__["new_epoch"]
    setattr(_run, scheduling, True)
    _run._r.seed(seed)
    random.seed(seed)
    video_log.__dict__["new_epoch"] = new_epoch
    try:
        yield
    finally:
        setattr(_run, scheduling, before)
        video_log.__dict__["new_epoch"] = made


def play(seed: int) -> World:
    """Run one world; the same seed gives the same world. Raises the first failure."""
    world = World(seed)
    with determined(seed, world._new_epoch):
        try:
            trio.run(world.run, clock=MockClock(autojump_threshold=0))
        except BaseException as error:
            error.add_note(world.report())
            raise
    return world
