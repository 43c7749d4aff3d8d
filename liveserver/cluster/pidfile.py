"""A pidfile per cluster file, so that a signal reaches the process that runs it, and no other.

The file, in the temporary directory, has the process' id, and the process holds a lock on it. The kernel
releases the lock when the process ends; so a stale id is never mistaken for a running process.
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
    """Return the pidfile of `source`: one per user and cluster file."""
    digest = hashlib.sha256(os.fsencode(source.resolve())).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"liveserver-{os.getuid()}-{digest}.pid"


@contextmanager
def hold_pidfile(source: Path) -> Iterator[None]:
    """Hold the pidfile of `source` for the duration of the block, unless another process does."""
    try:
        descriptor = _open(pidfile_path(source), os.O_RDWR | os.O_CREAT)
    except OSError:
        yield  # the process can still be signalled by its id
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
    """Return the id of the process that runs `source`, or None."""
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
    """Let the cluster of `source` restart its nodes in turn; return its process' id.

    Raises `LiveserverError` if it is not running.
    """
    process = holder(source)
    if process is None:
        raise LiveserverError(
            f"no cluster of {source} runs here; start it with liveserver cluster --config {source}"
        )
    os.kill(process, signal.SIGHUP)
    return process


def _open(path: Path, flags: int) -> int:
    """Open a file that must be our own, as the directory is shared by all users. Raises `OSError`."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    if os.fstat(descriptor).st_uid != os.getuid():
        os.close(descriptor)
        raise PermissionError(path)
    return descriptor
