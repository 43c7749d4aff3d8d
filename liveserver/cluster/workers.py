"""`node.workers` = N: a supervisor, and N processes that share the public port and the TLS port.

1. Each worker is a node of its own: its name is the node's with `-w1` … `-wN` appended; its ops port is the
   configured one for the first worker, and the following ones for the others.
2. The kernel distributes the connections (SO_REUSEPORT). The supervisor is bound to the port, too, without
   listening: so no other process can take it while all workers are restarting, and a port that is in use is
   detected before any worker is started.
3. The workers are forked from a process that has done the imports (`fork_server.py`).
4. A worker that ends by itself is restarted (`child.py`). After SIGTERM or SIGINT all workers drain at the
   same time, and the supervisor ends after the last one; a second signal kills the remaining ones.
"""

from __future__ import annotations

import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import cycle

import msgspec
import trio

from liveserver.cluster import ports
from liveserver.cluster.child import Child, OpenProcess, open_process
from liveserver.cluster.fork_server import ForkServer
from liveserver.cluster.parent_watch import PATIENCE, ParentWatch
from liveserver.cluster.printer import COLOURS, Printer
from liveserver.config import Address, Settings
from liveserver.errors import ConfigError, LiveserverError
from liveserver.terminal import has_terminal

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Worker(msgspec.Struct, frozen=True):
    """One worker process, with its own settings."""

    name: str
    ops: Address
    public: Address
    tls: Address | None = None

    @property
    def options(self) -> list[str]:
        """The options of its command line."""
        pairs = {"node.name": self.name, "listen.ops": self.ops, "listen.public": self.public}
        if self.tls is not None:
            pairs["listen.tls"] = self.tls
        return [word for name, value in pairs.items() for word in ("--set", f'{name}="{value}"')]


def ops_addresses(settings: Settings) -> tuple[Address, ...]:
    """Return the ops address of each worker, in order."""
    return tuple(settings.listen.ops.after(index) for index in range(settings.node.workers))


def plan(settings: Settings, public: Address, tls: Address | None = None) -> list[Worker]:
    """Return the workers of a node that listens at `public`, and at `tls`."""
    node = settings.node
    name = node.name or f"{node.datacenter}-{'-'.join(node.roles)}-{secrets.token_hex(3)}"
    return [
        Worker(f"{name}-w{number}", ops, public, tls) for number, ops in enumerate(ops_addresses(settings), 1)
    ]


async def run(
    settings: Settings,
    options: Sequence[str],
    environment: Mapping[str, str],
    fork_server: socket.socket | None = None,
) -> None:
    """Run the workers until SIGTERM or SIGINT; return when all have ended.

    `options` are those of `liveserver run` that led to `settings`, which the workers read again, and
    `environment` the variables with the secrets among them. `fork_server` starts them, if there is one.

    Raises `ConfigError` if an address is in use, or a worker cannot run with its settings.
    """
    shared = {"listen.public": settings.listen.public}
    if settings.listen.tls is not None:
        shared["listen.tls"] = settings.listen.tls
    for setting, address in (*shared.items(), *(("listen.ops", ops) for ops in ops_addresses(settings))):
        if ports.is_busy(address):
            raise ConfigError(
                setting, f"{address} is already in use; stop what listens there, or choose another"
            )
    with ExitStack() as stack:
        ports_held = [stack.enter_context(held(setting, address)) for setting, address in shared.items()]
        try:
            stop_after = settings.node.lame_duck + settings.node.drain_timeout + PATIENCE
            await Workers(plan(settings, *ports_held), options, environment, stop_after, fork_server).run()
        except* LiveserverError as failed:
            raise ConfigError("node", str(_first(failed))) from None


class Workers:
    """Runs the workers. One that has not ended `stop_after` seconds after SIGTERM is killed."""

    def __init__(
        self,
        workers: Sequence[Worker],
        options: Sequence[str],
        environment: Mapping[str, str],
        stop_after: float,
        fork_server: socket.socket | None = None,
    ) -> None:
        self._workers = workers
        self._options = options
        self._environment = environment
        self._stop_after = stop_after
        self._printer = Printer(("workers", *(worker.name for worker in workers)))
        self._say = partial(self._printer.say, "workers")
        self._children: list[Child] = []
        self._running = trio.CancelScope()
        self._fork_server = ForkServer(fork_server, self._say) if fork_server else None

    async def run(self) -> None:
        """Run the workers, without checking the addresses first."""
        with trio.open_signal_receiver(*ENDING) as signals, ParentWatch() as parent_watch:
            async with trio.open_nursery() as obeying:
                obeying.start_soon(self._obey, signals)
                if self._fork_server is not None:
                    obeying.start_soon(self._fork_server.run)
                with self._running:
                    async with trio.open_nursery() as nursery:
                        for worker, colour in zip(self._workers, cycle(COLOURS), strict=False):
                            child = self._child(worker, colour, parent_watch)
                            self._children.append(child)
                            nursery.start_soon(child.run)
                        self._say(
                            f"{len(self._workers)} workers share {self._workers[0].public}; "
                            f"ops at {', '.join(worker.ops for worker in self._workers)}"
                        )
                obeying.cancel_scope.cancel()
        self._say("all ended")

    def _child(self, worker: Worker, colour: str, parent_watch: ParentWatch) -> Child:
        command = [sys.executable, "-m", "liveserver", "run", "--until-eof", "--as-worker"]
        opened: OpenProcess = open_process
        if self._fork_server is not None:
            opened = partial(self._fork_server.open_process, worker.name)
        return Child(
            worker.name,
            [*command, *self._options, *worker.options],
            environment=self._environment,
            stdin=parent_watch.reading_end,
            stop_after=self._stop_after,
            output=partial(self._printer.say, worker.name, colour=colour),
            say=self._say,
            open_process=opened,
        )

    async def _obey(self, signals: AsyncIterator[int]) -> None:
        had_terminal = has_terminal()
        async for number in signals:
            if number == signal.SIGHUP and not (had_terminal and not has_terminal()):
                self._say("all workers read their configuration anew")
                for child in self._children:
                    child.send_signal(signal.SIGHUP)
                continue
            if self._running.cancel_called:
                if number == signal.SIGHUP:
                    continue  # the terminal was closed while all drain
                self._say("killing what is left")
                for child in self._children:
                    child.kill()
            else:
                self._say("draining; another signal kills what is left")
                self._running.cancel()


@contextmanager
def held(setting: str, address: Address) -> Iterator[Address]:
    """Hold a port for processes that share it, without listening; yield its address, with the real port."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            holder.bind((address.host, address.port))
        except OSError as error:
            raise ConfigError(setting, f"cannot listen at {address} ({error.strerror})") from error
        # It was for connections of an earlier server that linger in TIME_WAIT. Left on, it would let others
        # listen here as well.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        yield Address(f"{address.rpartition(':')[0]}:{holder.getsockname()[1]}")


def _first(failed: BaseExceptionGroup[LiveserverError]) -> BaseException:
    first: BaseException = failed
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first
