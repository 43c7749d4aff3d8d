"""The state of a video at a client: the newest event of each key, by the servers' rule."""

from __future__ import annotations

from types import MappingProxyType

from .items import Event, Gap, Item, Ready, State, Viewers

MAX_CLEARED = 1_000  # cleared keys that are remembered: an older event may come later, from elsewhere


class LiveState:
    """The state, updated by the items of a watcher. `events` is read-only: key → event."""

    def __init__(self) -> None:
        self._events: dict[str, Event] = {}
        self._cleared: dict[str, Event] = {}  # the events that cleared their keys
        self._is_unsure = False  # after a gap, until a state arrives
        self.events = MappingProxyType(self._events)

    def apply(self, item: Item) -> None:
        """Apply an item."""
        match item:
            case State():
                present = {event.key: event for event in item.events if event.key is not None}
                for key in self._events.keys() - present.keys():
                    del self._events[key]
                for event in present.values():
                    self._fold(event)
                self._is_unsure = False
            case Gap() | Ready(resumed=False):
                self._is_unsure = True
            case Event():
                if self._is_unsure:  # no state was sent before it: there is none
                    self._events.clear()
                    self._is_unsure = False
                self._fold(item)
            case Ready() | Viewers() | _:
                pass

    def _fold(self, event: Event) -> None:
        if event.key is None:
            return
        known = self._events.get(event.key) or self._cleared.get(event.key)
        if known is not None and _rank(known) >= _rank(event):
            return
        self._cleared.pop(event.key, None)
        if event.data is None:
            self._events.pop(event.key, None)
            self._cleared[event.key] = event
            if len(self._cleared) > MAX_CLEARED:
                del self._cleared[next(iter(self._cleared))]
        else:
            self._events[event.key] = event


def _rank(event: Event) -> tuple[int, int, str]:
    return (-1 if event.version is None else event.version, event.at, event.id)
