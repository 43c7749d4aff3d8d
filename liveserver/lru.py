"""A bounded mapping that drops the least recently used entry."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, ItemsView, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LRU(Generic[K, V]):
    """Holds at most `size` entries. `get` and `put` use an entry, `peek` and `in` do not. Not thread-safe."""

    __slots__ = ("_entries", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self._entries: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: K) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[K]:
        """Iterate over the keys, least recently used first."""
        return iter(self._entries)

    def __reversed__(self) -> Iterator[K]:
        return reversed(self._entries)

    def items(self) -> ItemsView[K, V]:
        return self._entries.items()

    def get(self, key: K) -> V | None:
        """Return an entry, or None, and make it the most recently used."""
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def peek(self, key: K) -> V | None:
        """Return an entry, or None."""
        return self._entries.get(key)

    def put(self, key: K, value: V) -> None:
        """Add or replace an entry, as the most recently used; drop the least recently used beyond `size`."""
        self._entries[key] = value
        self._entries.move_to_end(key)
        while len(self._entries) > self.size:
            self._entries.popitem(last=False)

    def remove(self, key: K) -> None:
        """Remove an entry, if it is there."""
        self._entries.pop(key, None)

    def clear(self) -> None:
        self._entries.clear()
