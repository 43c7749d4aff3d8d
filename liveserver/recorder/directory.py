"""Files that are written atomically: the storage of recordings.

`ObjectStore` is as little as an object store offers: whole objects, by their names. `Directory` keeps them in
files.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Protocol

TEMPORARY = ".writing-"
LOCK = ".lock"


class ObjectStore(Protocol):
    """Objects by their names, which are paths without `.` or `..`. All raise `OSError`."""

    def read(self, name: str) -> bytes | None:
        """Return an object; None when there is none."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Write an object; return when it is durable."""
        ...

    def delete(self, name: str) -> None:
        """Delete an object, if there is one."""
        ...

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder, ascending; without its name."""
        ...

    def folders(self) -> list[str]:
        """Return the folders, ascending."""
        ...

    def locked(self, folder: str) -> AbstractContextManager[None]:
        """Return a context manager that locks a folder against changes."""
        ...


class Directory:
    """Objects as files below a directory."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, name: str) -> bytes | None:
        try:
            return (self._root / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, name: str, content: bytes) -> None:
        """Write a temporary file, sync it, then rename it: after a crash the previous object is there."""
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(6)}")
        try:
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def delete(self, name: str) -> None:
        (self._root / name).unlink(missing_ok=True)

    def names(self, folder: str) -> list[str]:
        try:
            return sorted(each.name for each in (self._root / folder).iterdir() if each.name != LOCK)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def folders(self) -> list[str]:
        try:
            return sorted(each.name for each in self._root.iterdir() if each.is_dir())
        except FileNotFoundError:
            return []

    @contextmanager
    def locked(self, folder: str) -> Iterator[None]:
        """Hold a kernel lock, which ends with the process."""
        path = self._root / folder
        path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
