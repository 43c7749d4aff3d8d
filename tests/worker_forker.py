"""Test workers that are forked from one process, which has imported all test modules.

Importing them takes eight seconds of a core, and twelve the first time; each of pytest-xdist's workers
would do it for itself. `prepare` forks the process that imports (the *forker*), and has xdist start this file
in place of Python. It passes its standard streams to the forker, waits until the worker that the forker forks
has ended, and ends as well.

The process that forks nodes for a worker (tests/node_forker.py) is forked there, too.
"""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

ROOT = Path(__file__).parents[1]
CODE_BYTES = 16 * 1024
NODES = b"nodes"  # in place of code: what forks nodes is wanted

_forker = ""  # the address of the forker, in a worker


def is_possible(config: pytest.Config) -> bool:
    """Return whether workers may be forked: coverage has to be measured from their first import on."""
    return sys.platform == "linux" and not config.pluginmanager.has_plugin("_cov")


def prepare(config: pytest.Config) -> None:
    """Have xdist's workers forked, if this process is about to start any."""
    specs: list[str] = config.getoption("tx", None) or []
    if hasattr(config, "workerinput") or set(specs) != {"popen"} or not is_possible(config):
        return
    here, theirs = socket.socketpair()  # the forker ends with this process
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    address = _address(os.getpid())
    listener.bind(address)
    listener.listen(2 * len(specs))
    if os.fork() == 0:
        here.close()
        _run_forker(address, listener, theirs, _modules(config.args))
    theirs.close()
    listener.close()
    config.add_cleanup(here.close)
    python = f"{sys.executable} -I -S {__file__} {os.getpid()}"
    config.option.tx = [f"popen//python={python}" for _ in specs]


def _modules(arguments: list[str]) -> list[str]:
    """Return the names of the test modules in these files and directories."""
    paths = [Path(argument.partition("::")[0]).resolve() for argument in arguments]
    files = {file for path in paths for file in (path.rglob("test_*.py") if path.is_dir() else [path])}
    return [
        ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for file in sorted(files)
        if file.is_relative_to(ROOT) and file.suffix == ".py"
    ]


def _address(parent: int | str) -> str:
    return f"\0liveserver-tests-{parent}"


def _run_forker(address: str, listener: socket.socket, parent: socket.socket, modules: list[str]) -> NoReturn:
    """Import the modules and fork workers, until the parent has ended."""
    import atexit
    import gc
    import importlib
    import select
    import signal
    import warnings

    from tests import node_forker

    atexit._clear()
    with warnings.catch_warnings():
        # A module that does not import, or warns, is left to the workers: they report it.
        warnings.simplefilter("error")
        for module in modules:
            with suppress(BaseException):
                importlib.import_module(module)
        with suppress(BaseException):
            node_forker.preload()
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        ready, _, _ = select.select([listener, parent], [], [])
        if parent in ready:
            os._exit(0)
        connection, _ = listener.accept()
        code, streams, _, _ = socket.recv_fds(connection, CODE_BYTES, 3)
        if os.fork() == 0:
            listener.close()
            parent.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if code == NODES:
                connection.close()
                _run(node_forker.serve, streams[0])
            global _forker
            _forker = address
            _run(_work, code.decode(), streams)
        connection.close()
        for stream in streams:
            os.close(stream)


def _run(main: Callable[..., None], *arguments: object) -> NoReturn:
    """Call `main` as if this process were a program of its own, and end it."""
    import atexit
    import traceback
    import warnings

    status = 1
    warnings.resetwarnings()  # pytest's are errors; these are Python's own
    for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
        warnings.simplefilter("ignore", category)
    try:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115  # pytest captures the former ones
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
        main(*arguments)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _work(code: str, streams: list[int]) -> None:
    """Run the code as `python -c` would, with these standard streams."""
    for stream, target in zip(streams, (0, 1, 2), strict=True):
        os.dup2(stream, target)
        os.close(stream)
    sys.argv = ["-c"]
    exec(code, {"__name__": "__main__"})


def has_forked_this() -> bool:
    """Return whether this process is a worker that was forked."""
    return bool(_forker)


def request_node_forker(requests: socket.socket) -> None:
    """Have the forker fork what forks nodes on these requests (`node_forker.serve`)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.connect(_forker)
        socket.send_fds(connection, [NODES], [requests.fileno()])


def _request_worker(parent: str, code: str) -> None:
    """Have the forker fork a worker with this process' standard streams; return when it has ended."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.connect(_address(parent))
        socket.send_fds(connection, [code.encode()], [0, 1, 2])
        with suppress(OSError):
            connection.recv(1)


if __name__ == "__main__":
    # As execnet starts a Python: `-u -c CODE`, after what `prepare` has named.
    _request_worker(sys.argv[1], sys.argv[-1])
