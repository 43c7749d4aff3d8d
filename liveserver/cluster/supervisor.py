"""Starts the processes of a cluster, reports when they are ready, ends them.

1. Redis is started first, then all nodes at once; when all are ready, the addresses are printed.
2. The first Ctrl-C (SIGTERM) ends the processes in order of their dependencies: frontends, dispatchers,
Redis.
   The second kills the remaining ones at once.
3. SIGHUP restarts every node in turn (`rolling.py`), unless it means that the terminal was closed.
4. No child outlives this process, however it ends (`parent_watch.py`).
"""

from __future__ import annotations

import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from functools import partial
from itertools import count, cycle
from pathlib import Path

import trio
from rich.console import Console
from rich.text import Text

from liveserver.cluster import ports, probe, rolling
from liveserver.cluster.child import Child, backoff, describe
from liveserver.cluster.parent_watch import ParentWatch
from liveserver.cluster.pidfile import hold_pidfile
from liveserver.cluster.printer import COLOURS, Printer
from liveserver.cluster.redis_server import run_redis_server
from liveserver.cluster.topology import HOST, DatacenterSpec, Topology
from liveserver.config import Address
from liveserver.errors import LiveserverError
from liveserver.terminal import has_terminal

REDIS_EVERY = 0.2  # seconds between two checks whether Redis still runs


async def run(layout: Topology) -> None:
    """Run the cluster until a signal; return when all processes have ended.

    Raises `LiveserverError` if a port is in use, Redis cannot be started, or a node cannot run with its
    settings; all started processes are ended first.
    """
    _check_ports(layout)
    with hold_pidfile(layout.source):
        await Supervisor(layout).run()


class Supervisor:
    """Runs a cluster's processes. `ready` is set once all nodes are ready."""

    def __init__(self, layout: Topology, console: Console | None = None) -> None:
        self.ready = trio.Event()
        self.children: dict[str, Child] = {}
        self._layout = layout
        self._printer = Printer(("cluster", *(node.name for node in layout.nodes)), console)
        self.say = self._printer.say
        self._redis: dict[str, subprocess.Popen[bytes]] = {}
        self._running = trio.CancelScope()
        self._had_terminal = has_terminal()
        self._ask_roll, self._rolls = trio.open_memory_channel[None](1)

    async def run(self) -> None:
        """Run the cluster, without checking its ports first."""
        with (
            trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals,
            tempfile.TemporaryDirectory(prefix="liveserver-") as directory,
            ParentWatch() as parent_watch,
        ):
            async with trio.open_nursery() as obeying:
                obeying.start_soon(self._obey, signals)
                async with trio.open_nursery() as redis:
                    async with trio.open_nursery() as dispatchers:
                        with self._running:
                            for datacenter in self._layout.datacenters:
                                await redis.start(self._keep_redis, datacenter, parent_watch, Path(directory))
                            await self._run_nodes(parent_watch, dispatchers)
                        dispatchers.cancel_scope.cancel()
                    redis.cancel_scope.cancel()
                obeying.cancel_scope.cancel()
        self.say("cluster", "all ended")

    def kill(self) -> None:
        """Kill all processes."""
        for child in self.children.values():
            child.kill()
        for process in self._redis.values():
            if process.poll() is None:
                process.kill()

    async def _obey(self, signals: AsyncIterator[int]) -> None:
        async for number in signals:
            if number == signal.SIGHUP and not (self._had_terminal and not has_terminal()):
                try:
                    self._ask_roll.send_nowait(None)
                except trio.WouldBlock:
                    self.say("cluster", "a rolling restart is already pending")
            elif self._running.cancel_called:
                self.say("cluster", "killing the remaining processes")
                self.kill()
            else:
                self.say("cluster", "ending; press Ctrl-C again to kill the remaining processes")
                self._running.cancel()

    async def _keep_redis(
        self,
        datacenter: DatacenterSpec,
        parent_watch: ParentWatch,
        directory: Path,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Keep one datacenter's Redis running. A restarted one has lost its data, which the nodes detect."""
        home = directory / datacenter.name
        home.mkdir()
        for failures in count(1):
            async with (
                run_redis_server(port=datacenter.redis, directory=home) as server,
                parent_watch.guarding(server.process.pid),
            ):
                self._redis[datacenter.name] = server.process
                if failures == 1:
                    task_status.started()
                while server.process.poll() is None:  # noqa: ASYNC110  # Popen's: no event
                    await trio.sleep(REDIS_EVERY)
            fate = describe(server.process.returncode)
            if self._running.cancel_called:
                return  # killed, by the second signal
            delay = backoff(failures)
            self.say("cluster", f"Redis of {datacenter.name} {fate}; starting it again in {delay:.1f} s")
            await trio.sleep(delay)

    async def _run_nodes(self, parent_watch: ParentWatch, dispatchers: trio.Nursery) -> None:
        """Start all nodes; the dispatchers in a nursery that outlives the others'."""
        async with trio.open_nursery() as others:
            for node, colour in zip(self._layout.nodes, cycle(COLOURS), strict=False):
                child = self.children[node.name] = Child(
                    node.name,
                    node.command,
                    environment=node.environment,
                    stdin=parent_watch.reading_end,
                    stop_after=self._layout.stop_after,
                    output=partial(self.say, node.name, colour=colour),
                    say=partial(self.say, "cluster"),
                )
                (dispatchers if node.role == "dispatcher" else others).start_soon(child.run)
            await self._wait_ready()
            self._show_addresses()
            self.ready.set()
            async for _ in self._rolls:
                await rolling.roll(self._layout.nodes, self.children, partial(self.say, "cluster"))

    async def _wait_ready(self) -> None:
        async with trio.open_nursery() as nursery:
            for node in self._layout.nodes:
                complain = partial(self._still_waiting, node.name)
                for ops in node.all_ops:
                    nursery.start_soon(probe.wait_ready, ops, complain)

    def _still_waiting(self, name: str, what: str) -> None:
        self.say("cluster", f"still waiting for {name}; {what}")

    def _show_addresses(self) -> None:
        rows = [("node", "role", "public", "ops", "pid")]
        for datacenter in self._layout.datacenters:
            for node in datacenter.nodes:
                pid = str(self.children[node.name].pid)
                rows.append((node.name, node.role, f"http://{node.public}", f"http://{node.ops}", pid))
            pid = str(self._redis[datacenter.name].pid)
            rows.append((f"{datacenter.name} Redis", "", f"redis://{HOST}:{datacenter.redis}", "", pid))
        # Not a rich table, which would truncate addresses in a narrow terminal.
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        say = self._printer.show
        say(Text("\nEverything is ready\n", "bold"))
        for row in rows:
            line = "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
            say(Text(line.rstrip(), "bold" if row is rows[0] else ""))
        say()
        for role, line in (
            ("frontend", "curl -N http://{}/v1/videos/demo/events"),
            (
                "dispatcher",
                "curl http://{}/v1/videos/demo/events -H content-type:application/json"
                """ -d '{{"type":"like","user":"me"}}'""",
            ),
        ):
            addresses = [node.public for node in self._layout.nodes if node.role == role]
            if addresses:
                say(Text(line.format(addresses[0])))
        for role, address in (("backend", "public"), ("frontend", "ops")):
            pages = [getattr(node, address) for node in self._layout.nodes if node.role == role]
            if pages:
                say(Text(f"{'page' if role == 'backend' else 'dashboard':10} http://{pages[0]}/"))
        say("Ctrl-C ends everything.\n")


def busy_ports(layout: Topology) -> list[str]:
    """Return the ports of a cluster that are in use, each with its purpose."""
    wanted = [(f"Redis of {each.name}", Address(f"{HOST}:{each.redis}")) for each in layout.datacenters]
    for node in layout.nodes:
        wanted += [(f"{node.name}, public", node.public)]
        wanted += [(f"{node.name}, ops", ops) for ops in node.all_ops]
    return [f"{address.port} ({whose})" for whose, address in wanted if ports.is_busy(address)]


def _check_ports(layout: Topology) -> None:
    if busy := busy_ports(layout):
        raise LiveserverError(
            f"{'port' if len(busy) == 1 else 'ports'} {', '.join(busy)}: already in use; "
            f"stop what listens there (another cluster?), or choose other ports in {layout.source}"
        )
