"""Which process runs the cluster of a file: so that a signal reaches it, and no other process in its place.

A file in the temporary directory holds the process' id, and the process holds a lock on it. The kernel
lets go of the lock when the process ends, however it ends; so an id that is left over is never taken
for a running process', nor for another one that has that id by then.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from liveserver.errors import LiveserverError


def pidfile_path(source: Path) -> Path:
    """Where the id of the process that runs `source` stands: one place per user and cluster file."""
    digest = hashlib.sha256(os.fsencode(source.resolve())).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"liveserver-{os.getuid()}-{digest}.pid"


@contextmanager
def hold_pidfile(source: Path) -> Iterator[None]:
    """This process runs `source`, within the block; unless another one does, or no file can be made."""
    try:
        descriptor = _open(pidfile_path(source), os.O_RDWR | os.O_CREAT)
    except OSError:
        yield  # it can still be reached by its id
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        yield
        return
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        yield
    finally:
        pidfile_path(source).unlink(missing_ok=True)
        os.close(descriptor)


def holder(source: Path) -> int | None:
    """The id of the process that runs `source`; None when none does."""
    try:
        descriptor = _open(pidfile_path(source), os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.read(descriptor, 32)
        return int(text) if text.strip().isdigit() else None
    finally:
        os.close(descriptor)
    return None


def request_rolling_restart(source: Path) -> int:
    """Have the cluster of `source` restart its nodes in turn; returns its process' id.

    Raises `LiveserverError` when none runs.
    """
    process = holder(source)
    if process is None:
        raise LiveserverError(
            f"no cluster of {source} runs here; start it with liveserver cluster --config {source}"
        )
    os.kill(process, signal.SIGHUP)
    return process


def _open(path: Path, flags: int) -> int:
    """Our own file only: all users share the directory. Raises `OSError`."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    if os.fstat(descriptor).st_uid != os.getuid():
        os.close(descriptor)
        raise PermissionError(path)
    return descriptor
