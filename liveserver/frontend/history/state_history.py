"""The state of a video at each position of a channel's log, to be sent to viewers that begin there.

Rules:

1. `base` is the state before the oldest change held, `tip` the newest one; between them are the events that
   changed it, with their positions. For viewers that begin at the tip nothing is folded again.
2. A state may be newer than its position, never older: at a channel's beginning, and after a gap, it is the
   state of the bus. Clients apply events by the same rule, so repeated ones change nothing.
3. It is rendered once per change, and the bytes are shared.
4. The rules that hold for the video (`rules`) are those of the tip, wherever a viewer begins.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence

from liveserver.moderation.rules import CLEAR, Rules, is_rule
from liveserver.state import Keyed, State

MAX_RENDERED = 32  # cached renderings: of the tip, of positions at which many viewers begin, of filters


class StateHistory:
    """The states of one channel."""

    __slots__ = (
        "_base",
        "_changes",
        "_older",
        "_positions",
        "_rendered",
        "_tip",
        "_trimmed",
        "banned",
        "cleared",
        "rules",
    )

    def __init__(self) -> None:
        self._base = State()
        self._tip = State()
        self._positions: list[int] = []
        self._changes: list[Keyed] = []
        self._older: list[tuple[int, Keyed]] = []  # read from the log later; `_base` has them already
        self._trimmed = 0  # changes folded into `_base` so far
        self._rendered: dict[tuple[int, bool, frozenset[bytes] | None], bytes] = {}
        self.rules = Rules()
        self.banned: set[str] = set()  # users banned since their streams were last ended
        self.cleared = False  # likewise whether a user's comments were cleared

    def start_at(self, events: Iterable[Keyed]) -> None:
        """Begin with the state of the bus."""
        self._base = State(events)
        self._tip = State(self._base)
        self.rules = Rules(self._base)

    def prepend(self, older: Sequence[tuple[int, Keyed]]) -> None:
        """Note the keyed events from before all that are held, with their positions, in order."""
        self._older = [*older, *self._older]

    def rendered_exactly(
        self, position: int, *, internal: bool = False, types: frozenset[bytes] | None = None
    ) -> bytes:
        """As `rendered`, and never newer than the position, where the log was read back to before this began.

        Which events were replaced by what was read is not known: such a key has nothing until then.
        """
        own = {event.data for at, event in self._older if at >= position}
        if not own or position >= 0:
            return self.rendered(position, internal=internal, types=types)
        state = State(event for event in self._base if event.data not in own)
        for at, event in self._older:
            if at < position:
                state.fold(event)
        return b",".join(event.data for event in state.shown(internal=internal, types=types))

    def fold(self, event: Keyed, position: int) -> None:
        """Fold an event at `position`, which is not before that of an earlier one."""
        if self._tip.fold(event):
            self._positions.append(position)
            self._changes.append(event)
            if is_rule(event):
                self._fold_rule(event)

    def is_cleared_since(self, event: Keyed) -> bool:
        """Return whether the event's key was cleared by a newer event, which came before it."""
        known = self._tip.get(event.key)
        return known is not None and known.is_cleared and known.rank > event.rank

    def empty(self, key: str, is_gone: Callable[[bytes], bool]) -> None:
        """Take the events of a key whose JSON is gone as ones that clear it, at all positions."""
        for state in (self._base, self._tip):
            if (event := state.get(key)) is not None and is_gone(event.data):
                state.empty(key)
                self._rendered.clear()
        for at, event in enumerate(self._changes):
            if event.key == key and is_gone(event.data):
                self._changes[at] = event._replace(is_cleared=True)
                self._rendered.clear()
        self._older = [
            (at, event._replace(is_cleared=True) if event.key == key and is_gone(event.data) else event)
            for at, event in self._older
        ]

    def _fold_rule(self, event: Keyed) -> None:
        if not self.rules.fold(event) or event.is_cleared:
            return
        if event.key.startswith(CLEAR):
            self.cleared = True
        elif (user := self.rules.banned_by(event.key)) is not None:
            self.banned.add(user)

    def rendered(
        self, position: int, *, internal: bool = False, types: frozenset[bytes] | None = None
    ) -> bytes:
        """Return the events' JSON, oldest first and joined by commas, for a viewer that begins at `position`.

        Empty if there is no state. `internal`: for a moderator. `types`: only such events.
        """
        if not len(self._tip):
            return b""
        count = bisect_left(self._positions, position)
        key = (self._trimmed + count, internal, types)
        found = self._rendered.get(key)
        if found is None:
            if count == len(self._changes):
                state = self._tip
            else:
                state = State(self._base)
                for event in self._changes[:count]:
                    state.fold(event)
            if len(self._rendered) >= MAX_RENDERED:
                self._rendered.clear()
            shown = state.shown(internal=internal, types=types)
            found = self._rendered[key] = b",".join(event.data for event in shown)
        return found

    @property
    def changes(self) -> list[tuple[int, Keyed]]:
        """The events that changed the state, with their positions."""
        return list(zip(self._positions, self._changes, strict=True))

    def newest(self, prefix: str) -> list[Keyed]:
        """Return the current events of the keys with this prefix."""
        return [event for event in self._tip if not event.is_cleared and event.key.startswith(prefix)]

    def trim(self, base: int) -> None:
        """Drop the states before the position `base`."""
        if base >= 0:
            self._older = []
        count = bisect_left(self._positions, base)
        if count:
            for event in self._changes[:count]:
                self._base.fold(event)
            del self._positions[:count], self._changes[:count]
            self._trimmed += count

    def clear(self) -> None:
        """Release all states."""
        self.__init__()  # type: ignore[misc]
