"""Starts workers by fork, from a process that has imported what they need.

1. The fork server is forked before anything else runs in the supervisor: a process with one thread, no event
   loop and few descriptors. It imports, then waits for requests on a socket.
2. A worker begins with the imports done and shares their memory, until one of the two writes to it. It is a
   session of its own, with the signal handlers and the descriptors of a program that was just executed.
3. The fork server is the workers' parent: it reaps them and reports their exit codes. A worker is signalled
   by its pidfd, so never another process that was given its number.
4. If the fork server has ended, or the system has no pidfds, workers are started as programs (`child.py`).
   When the supervisor ends, the fork server reads the end of its socket and ends, too.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
import traceback
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import NoReturn

import msgspec
import trio

from liveserver.cluster.child import Process, open_process

MAX_REQUEST = 1 << 20  # bytes, of a request to start a worker: its arguments and its environment
MAX_REPLY = 256  # bytes
COMM = 15  # bytes, of a process' name in /proc/PID/comm

Main = Callable[[Sequence[str]], object]


class Start(msgspec.Struct, frozen=True):
    """A request to start a worker; its standard input and its output come with it."""

    arguments: list[str]
    environment: dict[str, str]
    name: str


class Started(msgspec.Struct, frozen=True, tag="started"):
    """The answer to `Start`; the pidfd comes with it."""

    pid: int


class Exited(msgspec.Struct, frozen=True, tag="exited"):
    """A worker has ended."""

    pid: int
    code: int  # negative: the signal's number


def is_supported() -> bool:
    """Return whether this system has what a fork server needs: Linux 5.4 or later."""
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return False
    return True


@contextmanager
def start(main: Main, preload: Callable[[], object]) -> Iterator[socket.socket | None]:
    """Fork the fork server; yield the socket to it, or None if the system does not support it.

    Call this before there are threads or an event loop. `preload` imports what workers need, `main` runs a
    worker with its arguments.
    """
    if not is_supported():
        yield None
        return
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if not pid:
        ours.close()
        _exit_with(lambda: _serve(theirs, main, preload))
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        os.kill(pid, signal.SIGKILL)  # it would end by itself; it may be importing
        os.waitpid(pid, 0)


class ForkedProcess:
    """A worker that the fork server has started, with the methods of `trio.Process` that `Child` uses."""

    def __init__(self, pid: int, pidfd: int, stdout: trio.abc.ReceiveStream) -> None:
        self.pid = pid
        self.stdout = stdout
        self._pidfd = pidfd
        self._code: int | None = None
        self._ended = trio.Event()

    def poll(self) -> int | None:
        return self._code

    async def wait(self) -> int:
        """Wait for its end; return its exit code, or the negative number of the signal that ended it."""
        await self._ended.wait()
        return self._code or 0

    def send_signal(self, number: signal.Signals) -> None:
        if self._code is None:
            with suppress(ProcessLookupError):  # it has ended, and the report of that is on its way
                signal.pidfd_send_signal(self._pidfd, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def set_ended(self, code: int) -> None:
        """Note the exit code, once."""
        if self._code is None:
            self._code = code
            os.close(self._pidfd)
            self._ended.set()

    async def wait_without_parent(self) -> None:
        """Wait for the end of a process whose exit code is not reported."""
        await trio.lowlevel.wait_readable(self._pidfd)
        self.set_ended(1)


class ForkServer:
    """The supervisor's end of the socket."""

    def __init__(self, control: socket.socket, say: Callable[[str], None]) -> None:
        control.setblocking(False)
        self._control = trio.socket.from_stdlib_socket(control)
        self._say = say
        self._processes: dict[int, ForkedProcess] = {}
        self._lock = trio.Lock()
        self._is_gone = False
        self._send_reply, self._replies = trio.open_memory_channel[tuple[int, int]](1)

    async def open_process(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], stdin: int
    ) -> Process:
        """Start `command` (`python -m liveserver ARGUMENTS…`) by fork, or as a program if that fails."""
        async with self._lock:
            forked = None if self._is_gone else await self._fork(name, command, environment, stdin)
        return forked or await open_process(command, environment, stdin)

    async def _fork(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], stdin: int
    ) -> ForkedProcess | None:
        request = msgspec.msgpack.encode(Start(list(command[3:]), dict(environment), name))
        reading, writing = os.pipe()
        stdout = trio.lowlevel.FdStream(reading)
        descriptors = array("i", [stdin, writing])
        try:
            await self._control.sendmsg(
                [request], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors.tobytes())]
            )
            pid, pidfd = await self._replies.receive()
        except (OSError, trio.EndOfChannel):
            await stdout.aclose()
            return None
        finally:
            os.close(writing)
        process = self._processes[pid] = ForkedProcess(pid, pidfd, stdout)
        return process

    async def run(self) -> None:
        """Take the fork server's messages; return when no worker is left after it has ended."""
        decoder = msgspec.msgpack.Decoder(Started | Exited)
        space = socket.CMSG_SPACE(array("i").itemsize)
        while True:
            try:
                message, ancillary, _, _ = await self._control.recvmsg(MAX_REPLY, space)
            except OSError:
                message = b""
            if not message:
                break
            match decoder.decode(message):
                case Started(pid):
                    [(_, _, descriptor)] = ancillary
                    await self._send_reply.send((pid, array("i", descriptor)[0]))
                case Exited(pid, code):
                    self._processes.pop(pid).set_ended(code)
        self._is_gone = True
        self._send_reply.close()
        self._say("the fork server has ended; workers are started as programs from now on")
        async with trio.open_nursery() as nursery:
            for process in self._processes.values():
                nursery.start_soon(process.wait_without_parent)


def _serve(control: socket.socket, main: Main, preload: Callable[[], object]) -> None:
    """Run the fork server until the supervisor has closed its end of the socket."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    preload()
    gc.collect()
    gc.freeze()  # collections in the workers do not write to these objects, so their memory stays shared
    reading, writing = os.pipe()
    for descriptor in (reading, writing):
        os.set_blocking(descriptor, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writing)
    while True:
        readable, _, _ = select.select([control.fileno(), reading], [], [])
        if control.fileno() in readable:
            request, descriptors, _, _ = socket.recv_fds(control, MAX_REQUEST, 2)
            if not request:
                return
            _start_worker(control, request, descriptors, (reading, writing), main)
        if reading in readable:
            os.read(reading, 4096)
            _report_ended(control)


def _start_worker(
    control: socket.socket, request: bytes, descriptors: Sequence[int], own: Sequence[int], main: Main
) -> None:
    start = msgspec.msgpack.decode(request, type=Start)
    pid = os.fork()
    if not pid:
        control.close()
        _exit_with(lambda: _run_worker(start, descriptors, own, main))
    pidfd = os.pidfd_open(pid)
    socket.send_fds(control, [msgspec.msgpack.encode(Started(pid))], [pidfd])
    for descriptor in (pidfd, *descriptors):
        os.close(descriptor)


def _run_worker(start: Start, descriptors: Sequence[int], own: Sequence[int], main: Main) -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    stdin, output = descriptors
    os.dup2(stdin, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    for descriptor in (*descriptors, *own):
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(start.environment)
    with suppress(OSError), open("/proc/self/comm", "w") as comm:
        comm.write(start.name[-COMM:])  # all workers have the supervisor's command line
    main(start.arguments)


def _report_ended(control: socket.socket) -> None:
    with suppress(ChildProcessError):  # there is none left
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            pid, status = ended
            code = os.waitstatus_to_exitcode(status)
            control.send(msgspec.msgpack.encode(Exited(pid, code)))


def _exit_with(run: Callable[[], object]) -> NoReturn:
    """Run `run` in a forked process, and end the process without returning to its parent's code."""
    code = 1
    try:
        run()
        code = 0
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
