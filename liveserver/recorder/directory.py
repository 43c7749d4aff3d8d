"""Recordings in a directory, as files that are written atomically."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TEMPORARY = ".writing-"
LOCK = ".lock"


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
        """Write a temporary file, sync it, then rename it: after a crash the previous object is there.

        Return when it is durable.
        """
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

    def write_once(self, name: str, content: bytes) -> None:
        if self.read(name) != content:
            self.write(name, content)

    def replace(self, name: str, content: bytes, former: bytes | None) -> None:
        """Write an object, which nothing else changes while its folder is locked."""
        self.write(name, content)

    def delete(self, name: str) -> None:
        (self._root / name).unlink(missing_ok=True)

    def leftovers(self, folder: str) -> list[str]:
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

    def check(self) -> None:
        """Raise `OSError` if the directory cannot be written to."""
        there = next(each for each in (self._root, *self._root.absolute().parents) if each.exists())
        if not there.is_dir():
            raise NotADirectoryError(f"{there} is not a directory")
        if not os.access(there, os.W_OK):
            raise PermissionError(f"{there} cannot be written to")
