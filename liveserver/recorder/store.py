"""The interface of a storage of recordings: as little as an object store offers."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol


class Conflict(OSError):
    """An object was changed by another process meanwhile."""


class ObjectStore(Protocol):
    """Whole objects by their names, `FOLDER/NAME`, without `.` or `..`. All raise `OSError`.

    What is written is durable when the method returns, and is there as a whole or not at all.
    """

    def read(self, name: str) -> bytes | None:
        """Return an object; None when there is none."""
        ...

    def write_once(self, name: str, content: bytes) -> None:
        """Write an object whose name is made of its content; it may be there already."""
        ...

    def replace(self, name: str, content: bytes, former: bytes | None) -> None:
        """Write an object that is `former` now; None: there is none. Raises `Conflict` if it is not."""
        ...

    def delete(self, name: str) -> None:
        """Delete an object, if there is one."""
        ...

    def leftovers(self, folder: str) -> list[str]:
        """Return the names in a folder, without its own, that no change under way may be about to need."""
        ...

    def folders(self) -> list[str]:
        """Return the folders, ascending."""
        ...

    def locked(self, folder: str) -> AbstractContextManager[None]:
        """Return a context manager around a change to a folder: it excludes others, or bounds the change's
        duration.
        """
        ...

    def check(self) -> None:
        """Try all operations that recorders need. Raises `OSError` if one fails."""
        ...
