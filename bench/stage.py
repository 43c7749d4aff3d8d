"""A server with its viewers and publisher, and the parts of a round."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from bench import likes, polls, sockets, viewers
from bench.harness import HOST, SEND_BUFFER, VIDEO, Worker
from bench.likes import RequestTemplate
from bench.nodes import run_redis
from bench.procfs import CoreUse
from bench.server import Server, run_server

PATH = f"/v1/videos/{VIDEO}/events"
POLL = f"/v1/videos/{VIDEO}/poll"


@dataclass(frozen=True)
class Manner:
    """How viewers watch and likes are published: the viewers' program, its paths, and its set-up."""

    program: Callable[[Connection], None]
    path: str
    setup: tuple[tuple[Any, ...], ...] = ()  # a method of the program, and its arguments
    template: RequestTemplate = field(default_factory=RequestTemplate)


TRANSPORTS = {
    "sse": Manner(viewers.run, PATH),
    "ws": Manner(sockets.run, "/v1/ws"),
    "poll": Manner(polls.run, POLL),
}
WRITES = "liveserver_frontend_fanout_writes_total"
FELL_BEHIND = "liveserver_frontend_fanout_fell_behind_total"
MAX_VIEWERS = 19_000
NAN = float("nan")


class Stage:
    """The server, its viewers and its publisher, while they run."""

    def __init__(self, server: Server, core: int, load_core: int, manner: Manner = TRANSPORTS["sse"]) -> None:
        self.server, self._core, self._manner = server, core, manner
        self.audience = Worker(manner.program, load_core)
        for method, *arguments in manner.setup:
            self.audience.ask(method, *arguments)
        self.publisher = Worker(likes.run, load_core)
        self.faults: list[str] = []

    @property
    def counts_writes(self) -> bool:
        """Whether the server counts all its writes; long-polls that find events are not counted."""
        return self._manner.program is not polls.run and WRITES in self.server.metrics()

    def gather(self, count: int, source: str, keep: int) -> dict[str, float]:
        """Connect the viewers; return the time of connecting, and the memory of an idle viewer."""
        time.sleep(0.5)
        before, cpu = self.server.resident_bytes(), self.server.cpu_seconds()
        connected = self.audience.ask(
            "connect", HOST, self.server.port, [self._manner.path], count, source, keep
        )
        cpu = self.server.cpu_seconds() - cpu
        time.sleep(2.0)
        return {
            "connect_s": round(connected["seconds"], 2),
            "connects_per_s": round(connected["per_second"]),
            "connect_cpu_us": round(cpu / count * 1e6, 1),
            "bytes_per_viewer": round((self.server.resident_bytes() - before) / count),
        }

    def like(self, rate: float, warmup: float, seconds: float, count: int) -> dict[str, float]:
        """Publish at `rate` for `warmup` + `seconds`, and measure the latter; then check that all viewers
        have all events.
        """
        self.audience.ask("restart")
        self.publisher.tell(
            "evenly", self.server.publish_port, rate, warmup + seconds + 0.5, 32, self._manner.template
        )
        time.sleep(warmup)
        before, began = self.server.metrics(), time.perf_counter()
        core, cpu, user = CoreUse(self._core), self.server.cpu_seconds(), self.server.user_seconds()
        self.audience.ask("begin", rate * count)
        time.sleep(seconds)
        seen = self.audience.ask("window")
        use = core.since(self.server.cpu_seconds() - cpu)
        user = (self.server.user_seconds() - user) / seen["seconds"]
        after = self.server.metrics()
        elapsed = time.perf_counter() - began  # between two readings of the server's counts
        published = self.publisher.answer()
        self._settle(int(published["accepted"]), count, f"{rate:g}/s")
        reads = seen["reads_per_s"]
        writes = reads
        if self.counts_writes:
            writes = (after[WRITES] - before[WRITES]) / elapsed
        result: dict[str, float] = seen | use
        return result | {
            "rate": published["rate"],
            "accepted": published["accepted"],
            "publish_p50_ms": published["answer_p50_ms"],
            "publish_p99_ms": published["answer_p99_ms"],
            "publish_late_ms": published["late_ms"],
            "writes_per_s": writes,
            "cpu_s_per_million": use["cpu"] / seen["deliveries_per_s"] * 1e6
            if seen["deliveries_per_s"]
            else NAN,
            "fell_behind": after.get(FELL_BEHIND, 0.0) - before.get(FELL_BEHIND, 0.0),
            "user_us_per_write": user / writes * 1e6 if writes else NAN,
            "events_per_write": seen["deliveries_per_s"] / writes if writes else NAN,
            "bytes_per_write": seen["bytes_per_s"] / writes if writes else NAN,
            "reads_per_write": reads / writes if writes else NAN,
        }

    def _settle(self, published: int, count: int, part: str) -> None:
        """Wait until every viewer has all events, or no more arrive; note which are missing or doubled."""
        tally = self.audience.ask("tally", published)
        quiet_since = time.monotonic()
        while tally["exact"] < count and time.monotonic() - quiet_since < 3.0:
            time.sleep(0.1)
            newer = self.audience.ask("tally", published)
            if newer["received"] != tally["received"]:
                quiet_since = time.monotonic()
            tally = newer
        time.sleep(0.2)  # duplicates would arrive now
        tally = self.audience.ask("tally", published)
        if tally["exact"] != count:
            self.faults.append(f"{part}: not every viewer has exactly the {published} events: {tally}")
        self.faults += [f"{part}: {fault}" for fault in self.audience.ask("verify", published)]

    def lone_like(self, patience: float = 10.0) -> dict[str, float]:
        """Publish one like on an idle server; return milliseconds until the first viewer has it, and until
        all have.
        """
        time.sleep(0.7)
        self.audience.ask("restart")
        self.audience.tell("lone", patience)
        time.sleep(0.3)
        sent = time.monotonic()
        answer = self.publisher.ask("evenly", self.server.port, 1.0, 1.0, 1)
        moments = self.audience.answer()
        if not moments:
            raise RuntimeError("the like did not reach a viewer")
        return {
            "first_ms": (moments[0] - sent) * 1000,
            "all_ms": (moments[-1] - sent) * 1000,
            "spread_ms": (moments[-1] - moments[0]) * 1000,
            "answer_ms": answer["answer_p50_ms"],
            "reached": len(moments),
        }

    def close(self) -> None:
        self.publisher.close()
        self.audience.close()


@contextmanager
def staged(
    redis: bool, core: int, load_core: int, command: str | None, transport: str = "sse"
) -> Iterator[Stage]:
    """Yield a ready server on `core`, everything else on `load_core`; all of it ends with the block."""
    with ExitStack() as stack:
        settings = [f"edge.max_connections={MAX_VIEWERS}", f"frontend.send_buffer={SEND_BUFFER}"]
        if redis:
            settings += stack.enter_context(run_redis(load_core)).settings
        server = stack.enter_context(run_server(core, *settings, command=command))
        stage = Stage(server, core, load_core, TRANSPORTS[transport])
        stack.callback(stage.close)
        yield stage
