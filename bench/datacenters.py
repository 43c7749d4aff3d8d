"""A second datacenter: the delay that its relay adds, and the time to catch up after a broken link.

    python -m bench.datacenters --seconds 10 --rounds 3
    python -m bench.datacenters --delays 0 --cut 10

Two datacenters, each a Redis, a dispatcher and a frontend, all processes of their own; between dc2's
dispatcher and dc1's Redis a link (bench/proxy.py) that holds every byte back for so long. Likes are
published in dc1 at an even rate, spread over `--videos`, and watched in both.

- **delays**: the ages of the likes, from their `at` to the read of them, in dc1 and in dc2. `added` is the
  difference without the link's own delay: the relay's share.
- **cut**: the link carries nothing for so many seconds while likes go on. `caught_up_s` is from the heal
  until dc2's viewers have received as much as dc1's; `per_second` is at which rate.

dc1 has one core; dc2, the link, the viewers and the publisher have the other: on one core both datacenters
would be short of it at 1,000 likes/s, and the scheduler would choose who waits. Every round ends with a
check: all viewers of both datacenters have every like once. If not, the run says so and exits with 1.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from multiprocessing.connection import Connection
from typing import Annotated, Any

import trio
import typer

from bench import likes, viewers
from bench.harness import Worker, cores, progress
from bench.likes import RequestTemplate
from bench.nodes import Datacenter, run_datacenter
from bench.proxy import HOST, Proxy, open_proxy
from bench.results import Sheet, by_measure, finish, machine, medians

SETTLED = 30.0  # seconds for the last likes to arrive everywhere
POLL_INTERVAL = 0.05  # seconds between two reads of how many likes dc2 has
MEASURES = {
    "here_p50_ms": "dc1, p50 ms",
    "here_p99_ms": "p99",
    "there_p50_ms": "dc2, p50 ms",
    "there_p99_ms": "p99",
    "added_p50_ms": "the relay adds, p50 ms",
    "added_p99_ms": "p99",
    "missed": "likes published during the cut",
    "caught_up_s": "caught up after the heal, s",
    "per_second": "meanwhile delivered, likes/s",
}


class Link:
    """The link of two datacenters, controlled by the parent."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def delay(self, seconds: float) -> None:
        self._proxy.delay(seconds)

    def cut(self) -> None:
        self._proxy.stall()

    async def heal(self) -> None:
        """End the cut; connections that broke meanwhile stay broken."""
        await self._proxy.heal()


def run_link(control: Connection) -> None:
    """Run as a worker (see `harness.Worker`). The first request names the target port."""

    async def run() -> None:
        _, (target,) = await trio.to_thread.run_sync(control.recv)
        async with open_proxy(target) as proxy:
            link = Link(proxy)
            control.send(proxy.port)
            while True:
                try:
                    method, arguments = await trio.to_thread.run_sync(control.recv)
                except (EOFError, ConnectionResetError):
                    return
                done = getattr(link, method)(*arguments)
                control.send(await done if method == "heal" else done)

    trio.run(run)


class Pair:
    """The two datacenters with their viewers, the link and the publisher."""

    def __init__(self, here: Datacenter, there: Datacenter, link: Worker, core: int, videos: int) -> None:
        self.link = link
        self.publisher = Worker(likes.run, core)
        self.audiences = [Worker(viewers.run, core) for _ in (here, there)]
        self.faults: list[str] = []
        self._port = here.dispatcher.port
        self._videos = videos
        paths = tuple(f"/v1/videos/bench{number}/events" for number in range(videos))
        self._template = RequestTemplate(paths)
        for audience, datacenter in zip(self.audiences, (here, there), strict=True):
            audience.ask("connect", HOST, datacenter.frontends[0].port, paths, videos, "", 0)

    def close(self) -> None:
        for worker in (self.publisher, *self.audiences):
            worker.close()

    def delayed(self, delay: float, rate: float, warmup: float, seconds: float) -> dict[str, float]:
        """Run one round over a link with this delay, in seconds."""
        self.link.ask("delay", delay)
        self._restart()
        self.publisher.tell("evenly", self._port, rate, warmup + seconds + 0.5, 32, self._template)
        time.sleep(warmup)
        for audience in self.audiences:
            audience.ask("begin")
        time.sleep(seconds)
        here, there = (audience.ask("window") for audience in self.audiences)
        self._settle(int(self.publisher.answer()["accepted"]), f"{delay * 1000:g} ms")
        found = {}
        for share in ("p50_ms", "p99_ms"):
            found[f"here_{share}"], found[f"there_{share}"] = here[share], there[share]
            found[f"added_{share}"] = there[share] - here[share] - delay * 1000
        return found

    def cut(self, seconds: float, rate: float, warmup: float) -> dict[str, float]:
        """Run one round with a link that carries nothing for so many seconds."""
        self.link.ask("delay", 0.0)
        self._restart()
        self.publisher.tell("evenly", self._port, rate, warmup + seconds + SETTLED / 2, 32, self._template)
        time.sleep(warmup)
        self.link.ask("cut")
        time.sleep(seconds)
        before = [audience.ask("tally", 0)["received"] for audience in self.audiences]
        self.link.ask("heal")
        began = time.monotonic()
        while True:
            # dc1 first: dc2 is level when it has what dc1 had a moment before.
            here, there = (audience.ask("tally", 0)["received"] for audience in self.audiences)
            elapsed = time.monotonic() - began
            if there >= here - rate * POLL_INTERVAL or elapsed > SETTLED:
                break
            time.sleep(POLL_INTERVAL)
        self._settle(int(self.publisher.answer()["accepted"]), f"a cut of {seconds:g} s")
        return {
            "missed": before[0] - before[1],
            "caught_up_s": elapsed,
            "per_second": (there - before[1]) / elapsed,
        }

    def _restart(self) -> None:
        for audience in self.audiences:
            audience.ask("restart")

    def _settle(self, published: int, part: str) -> None:
        """Wait until both datacenters have all events; note which events are missing or doubled."""
        until = time.monotonic() + SETTLED
        for audience, name in zip(self.audiences, ("dc1", "dc2"), strict=True):
            while (got := audience.ask("tally", 0)["received"]) < published and time.monotonic() < until:
                time.sleep(0.1)
            if got != published:
                self.faults.append(f"{part}: {name} received {got} of {published} likes")


@contextmanager
def opened(core: int, load_core: int, videos: int, events: int) -> Iterator[Pair]:
    """Yield the two datacenters, ready."""
    with ExitStack() as stack:

        def start(name: str, core: int, *peers: str) -> Datacenter:
            own = (
                f"node.datacenter={name}",
                f"history.max_events={events}",
                f"history.ephemeral_events={events}",
            )
            return stack.enter_context(
                run_datacenter(core, core, [core], settings=own, dispatcher_settings=peers)
            )

        here = start("dc1", core)
        link = stack.enter_context(closing(Worker(run_link, load_core)))
        port = link.ask("open", here.redis.port)
        there = start("dc2", load_core, f"peers.dc1.url=redis://{HOST}:{port}/0")
        yield stack.enter_context(closing(Pair(here, there, link, load_core, videos)))


def main(
    delays: Annotated[str, typer.Option(help="Delays of the link, in milliseconds.")] = "0,40,120",
    cut: Annotated[float, typer.Option(help="Seconds without a link; 0: no such round.")] = 30.0,
    rate: Annotated[float, typer.Option(help="Likes/s during the cut.")] = 1_000.0,
    delay_rate: Annotated[float, typer.Option(help="Likes/s of the rounds with delays.")] = 200.0,
    videos: Annotated[int, typer.Option(help="Videos that the likes are spread over.")] = 20,
    seconds: Annotated[float, typer.Option(help="Seconds counted in each round.")] = 10.0,
    warmup: Annotated[float, typer.Option(help="Seconds of warm-up before that.")] = 2.0,
    rounds: Annotated[int, typer.Option(help="Rounds; figures are their medians.")] = 3,
) -> None:
    """Measure likes from one datacenter to the other.

    Example: python -m bench.datacenters --delays 0,40,120 --cut 30
    """
    try:
        milliseconds = [float(word) for word in delays.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{delays!r} is not a list of milliseconds such as 0,40,120") from None
    facts = machine()
    core, load_core = cores()
    found: dict[str, list[dict[str, float]]] = {}
    events = max(10_000, int(2 * rate * (cut + SETTLED) / videos))
    with ExitStack() as stack:
        step = stack.enter_context(progress(rounds * (len(milliseconds) + bool(cut))))
        step("starting two datacenters", 0)
        pair = stack.enter_context(opened(core, load_core, videos, events))
        for number in range(1, rounds + 1):
            for delay in milliseconds:
                step(f"round {number}: a link of {delay:g} ms")
                measured = pair.delayed(delay / 1000, delay_rate, warmup, seconds)
                found.setdefault(f"{delay:g} ms", []).append(measured)
            if cut:
                step(f"round {number}: a cut of {cut:g} s")
                found.setdefault(f"cut of {cut:g} s", []).append(pair.cut(cut, rate, warmup))
        faults = pair.faults
    result: dict[str, Any] = {
        "bench": "datacenters",
        "rate": rate,
        "delay_rate": delay_rate,
        "videos": videos,
        "medians": {part: medians(measured) for part, measured in found.items()},
        "rounds": found,
        "faults": faults,
        "machine": facts,
    }
    finish(result, sheets(result))


def sheets(result: dict[str, Any]) -> list[Sheet]:
    """Return the tables of a result."""
    title = f"two datacenters, {result['videos']} videos, {result['delay_rate']:g} likes/s"
    return [by_measure(f"{title}; during the cut {result['rate']:g}", MEASURES, result["medians"])]


if __name__ == "__main__":
    typer.run(main)
