"""Three datacenters, two dispatchers in each, and everything that can go wrong between them, at random.

Held against what was published: each log has each origin's events in their order, once, and nothing is
missing but what its origin had lost.
"""

from __future__ import annotations

import random
from collections import defaultdict
from typing import NamedTuple

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from liveserver.bus.memory.bus import MemoryBus
from liveserver.state import State
from tests.dispatcher.relay.harness import Link, Relaying, datacenter, publish, publish_keyed, state

pytestmark = pytest.mark.slow

NAMES = ("dc1", "dc2", "dc3")
VIDEOS = ("v",)
QUIET = 40.0  # seconds: a lease, two sweeps and what they find


class Forwarded(NamedTuple):
    """An event as a log forwarded it to its nodes."""

    life: str  # the log's own
    epoch: str
    number: int
    text: str


class UnsteadyLink(Link):
    """Each call takes as long as chance will have it."""

    def __init__(self, bus: MemoryBus, chance: random.Random) -> None:
        super().__init__(bus)
        self._chance = chance

    async def _pass(self) -> None:
        await trio.sleep(self._chance.choice((0.0, 0.01, 0.3, 1.5)))
        await super()._pass()


class World:
    """The datacenters; `received[ours][video, origin]` is what was forwarded there, in order."""

    def __init__(self, seed: int, events: int, nursery: trio.Nursery) -> None:
        self.buses = {name: datacenter(name, max_events=events) for name in NAMES}
        self.received = {name: defaultdict[tuple[str, str], list[Forwarded]](list) for name in NAMES}
        self.links: list[UnsteadyLink] = []
        self.relays: dict[tuple[str, str, str], Relaying] = {}
        self.published = 0
        self._chance = random.Random(seed)
        self._nursery = nursery

    async def begin(self) -> None:
        for ours in NAMES:
            await self._nursery.start(self._listen, ours)
            for theirs in NAMES:
                for node in ("di1", "di2"):
                    if ours != theirs:
                        self.start(ours, theirs, node)
        await trio.sleep(20)

    def start(self, ours: str, theirs: str, node: str) -> None:
        link = UnsteadyLink(self.buses[theirs], self._chance)
        self.links.append(link)
        relay = self.relays[ours, theirs, node] = Relaying(
            link,
            self.buses[ours],
            node,
            lease="3s",
            batch_events=7,
            buffer="2KiB",
            retry_max="1s",
            full_sweep_interval="10s",
        )  # fmt: skip
        self._nursery.start_soon(relay.run)

    async def _listen(self, ours: str, task_status: trio.TaskStatus[None]) -> None:
        bus = self.buses[ours]
        async with bus.inbox("n") as inbox:
            await bus.subscribe("n", dict.fromkeys(VIDEOS, 1), 1e6)
            task_status.started()
            async for batches in inbox:
                for batch in batches:
                    self.received[ours][batch.video, batch.origin] += [
                        Forwarded(batch.epoch, batch.origin_epoch, number, line.decode())
                        for number, line in enumerate(batch.lines, batch.number)
                    ]

    async def act(self, what: str, where: int, how_much: int) -> None:
        """One thing that happens."""
        name, video = NAMES[where % 3], VIDEOS[0]
        link = self.links[where % len(self.links)]
        match what:
            case "publish":
                for _ in range(how_much):
                    self.published += 1
                    await publish(self.buses[name], video, str(self.published))
            case "lose":
                link.loses = how_much
            case "cut":
                link.is_cut = True
            case "heal":
                self.heal()
            case "renew":
                bus = self.buses[name]
                bus._videos.pop(video, None)  # the store came back empty
                await bus.subscribe("n", {video: 1}, 1e6)
            case "kill":
                key = sorted(self.relays)[where % len(self.relays)]
                self.relays[key].kill()
                self.start(*key)
        await trio.sleep(self._chance.choice((0.0, 0.05, 1.0, 4.0)))

    def heal(self) -> None:
        for link in self.links:
            link.is_cut, link.loses = False, 0


STEPS = st.lists(
    st.tuples(
        st.sampled_from(("publish", "publish", "publish", "lose", "cut", "heal", "renew", "kill")),
        st.integers(0, 11),
        st.integers(1, 6),
    ),
    min_size=12,
    max_size=40,
)


@settings(max_examples=settings().max_examples // 3)
@given(STEPS, st.sampled_from((4, 10_000)), st.integers(0, 1000))
def test_each_log_has_each_origins_events_once_and_in_order(
    steps: list[tuple[str, int, int]], events: int, seed: int
) -> None:
    async def run() -> None:
        async with trio.open_nursery() as nursery:
            world = World(seed, events, nursery)
            await world.begin()
            for step in steps:
                await world.act(*step)
            world.heal()
            await trio.sleep(QUIET)
            for ours in NAMES:
                for origin in NAMES:
                    for video in VIDEOS:
                        await judge(world, ours, origin, video, forgetful=events == 4)
            nursery.cancel_scope.cancel()

    trio.run(run, clock=MockClock(autojump_threshold=0))


async def judge(world: World, ours: str, origin: str, video: str, *, forgetful: bool) -> None:
    truth = world.received[origin][video, origin]  # what the origin forwarded to its own nodes
    lives = list(dict.fromkeys(received.epoch for received in truth))
    texts = {(received.epoch, received.number): received.text for received in truth}
    here = world.received[ours][video, origin]
    for life in dict.fromkeys(received.life for received in here):
        received = [each for each in here if each.life == life]
        places = [(lives.index(each.epoch), each.number) for each in received]
        assert places == sorted(set(places)), f"{ours} has {origin}'s events twice or out of order"
        assert all(texts[each.epoch, each.number] == each.text for each in received)
        if not forgetful:
            for epoch in {each.epoch for each in received}:
                numbers = [each.number for each in received if each.epoch == epoch]
                assert numbers == list(range(1, len(numbers) + 1)), f"{ours} lacks some of {origin}'s"
    stretch = await world.buses[origin].read(video, 0, 10_000)
    if any(batch.origin == origin for batch in stretch.batches):  # others' events may have displaced them
        mark = (await world.buses[ours].read(video, 0, 1)).head.cursor.get(origin)
        assert mark == stretch.head.cursor.get(origin), f"{ours} has not come to {origin}'s end"


KEYED_STEPS = st.lists(
    st.tuples(
        st.sampled_from(("key", "key", "key", "publish", "lose", "cut", "heal", "kill")),
        st.integers(0, 11),
        st.integers(1, 6),
    ),
    min_size=12,
    max_size=40,
)


@settings(max_examples=settings().max_examples // 3)
@given(KEYED_STEPS, st.sampled_from((4, 10_000)), st.integers(0, 1000))
def test_every_datacenter_converges_to_one_state(
    steps: list[tuple[str, int, int]], events: int, seed: int
) -> None:
    """Whatever the order in which events arrive, and also of those that a log had lost meanwhile."""

    async def run() -> None:
        chance = random.Random(seed)
        newest = State()
        async with trio.open_nursery() as nursery:
            world = World(seed, events, nursery)
            await world.begin()
            for what, where, how_much in steps:
                if what != "key":
                    await world.act(what, where, how_much)
                    continue
                for _ in range(how_much):
                    said = f"k{chance.randrange(4)}", chance.randrange(20), chance.randrange(1000, 1010)
                    bus = world.buses[NAMES[where % 3]]
                    newest.fold(await publish_keyed(bus, "v", *said))
                await trio.sleep(chance.choice((0.0, 0.05, 4.0)))
            world.heal()
            await trio.sleep(QUIET)
            wanted = {event.key: event for event in newest}
            for name in NAMES:
                assert await state(world.buses[name], "v") == wanted, f"{name} has another state"
            nursery.cancel_scope.cancel()

    trio.run(run, clock=MockClock(autojump_threshold=0))
