"""A process that has imported liveserver and forks nodes: importing it costs a second of a core, each time.

`start` has it fork one. The forked process runs `liveserver` with the given arguments, environment and
working directory, as `python -m liveserver` would (tests/cluster starts nodes that way).

Each request is one message on a socket, with three descriptors: standard input, standard output and error,
and a pipe to which the exit code is written.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path

from tests import worker_forker

ROOT = Path(__file__).parents[1]
MESSAGE_BYTES = 128 * 1024

# What a node imports when it first serves the ordinary web.
DEFERRED = (
    "liveserver.frontend.websocket",
    "liveserver.node.pages",
    "liveserver.ops.app",
    "liveserver.ops.metrics",
    "liveserver.web.openapi",
)


class ForkedProcess:
    """A forked node, with as much of `subprocess.Popen`'s interface as the tests use."""

    def __init__(self, pid: int, stdin: int, status: int) -> None:
        self.pid = pid
        self.stdin: io.IOBase = open(stdin, "wb", buffering=0)  # noqa: SIM115  # closed by its user
        self.returncode: int | None = None
        self._status = status
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """The exit code, or minus the signal that ended it; None while it runs."""
        with self._lock:
            if self.returncode is None and select.select([self._status], [], [], 0)[0]:
                self.returncode = int(os.read(self._status, 16) or -signal.SIGKILL)
                os.close(self._status)
        return self.returncode

    def wait(self) -> int:
        """Return the exit code, once there is one."""
        while (code := self.poll()) is None:
            select.select([self._status], [], [])
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start(arguments: Sequence[str], output: int, environment: Mapping[str, str]) -> ForkedProcess:
    """Fork a `liveserver` with these arguments; standard output and error go to the descriptor `output`."""
    reading_stdin, stdin = os.pipe()
    status, writing_status = os.pipe()
    request = {"arguments": list(arguments), "environment": dict(environment), "directory": os.getcwd()}
    try:
        with _lock:
            forker = _running_forker()
            socket.send_fds(forker, [json.dumps(request).encode()], [reading_stdin, output, writing_status])
            pid = int(forker.recv(16))
    finally:
        os.close(reading_stdin)
        os.close(writing_status)
    return ForkedProcess(pid, stdin, status)


_lock = threading.Lock()
_forker: socket.socket | None = None


def _running_forker() -> socket.socket:
    """The socket to the forker of this process; it ends when the socket does."""
    global _forker
    if _forker is None:
        _forker, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if worker_forker.has_forked_this():
            worker_forker.request_node_forker(theirs)
            atexit.register(_forker.close)
        else:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.node_forker"], cwd=ROOT, stdin=theirs.fileno()
            )
            atexit.register(_end, _forker, process)
        theirs.close()
    return _forker


def _end(forker: socket.socket, process: subprocess.Popen[bytes]) -> None:
    forker.close()
    process.wait()


def preload() -> None:
    """Import what a node does, now and later."""
    import liveserver.node.process  # noqa: F401
    from liveserver.node.preload import MODULES

    for module in (*chain.from_iterable(MODULES.values()), *DEFERRED):
        importlib.import_module(module)


def serve(requests: int) -> None:
    """Fork a node on each request on this socket; returns in the node when it has ended, or at the last."""
    from liveserver.cli import main

    node = _serve(socket.socket(fileno=requests))
    if node is not None:
        main(node)


def _serve(requests: socket.socket) -> list[str] | None:
    """Fork on each request. Returns a node's arguments in the forked process, None when no more is asked."""
    reading_wakeup, wakeup = os.pipe()
    os.set_blocking(wakeup, False)
    signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    statuses: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([requests.fileno(), reading_wakeup], [], [])
        if reading_wakeup in ready:
            os.read(reading_wakeup, 4096)
            _report_ended(statuses)
        if requests.fileno() not in ready:
            continue
        message, descriptors, _, _ = socket.recv_fds(requests, MESSAGE_BYTES, 3)
        if not message:
            return None
        stdin, output, status = descriptors
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for descriptor, target in ((stdin, 0), (output, 1), (output, 2)):
                os.dup2(descriptor, target)
            for descriptor in {*descriptors, *statuses.values(), requests.fileno(), reading_wakeup, wakeup}:
                os.close(descriptor)
            requests.detach()
            request = json.loads(message)
            os.environ.clear()
            os.environ.update(request["environment"])
            os.chdir(request["directory"])
            arguments: list[str] = request["arguments"]
            return arguments
        statuses[pid] = status
        os.close(stdin)
        os.close(output)
        requests.send(str(pid).encode())


def _report_ended(statuses: dict[int, int]) -> None:
    while statuses:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        descriptor = statuses.pop(pid)
        with suppress(BrokenPipeError):
            os.write(descriptor, str(os.waitstatus_to_exitcode(status)).encode())
        os.close(descriptor)


if __name__ == "__main__":
    preload()
    gc.freeze()
    serve(os.dup(0))
