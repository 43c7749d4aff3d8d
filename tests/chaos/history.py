"""The checker's input: published events with their results, and each viewer's received events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias


class Place(NamedTuple):
    """Where an event stands: the epoch of the log's life, and its number in there."""

    epoch: str
    number: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.number}"


@dataclass(slots=True)
class Request:
    """What a publisher sent in one request, and the receipt. Times are ticks of one common counter.

    `end` is the place of its last event, known unless all were duplicates.
    """

    video: str
    keys: list[str]
    sent: int
    answered: int | None = None
    accepted: int = 0
    duplicates: int = 0
    end: Place | None = None


class Ready(NamedTuple):
    """A viewer is connected, for the first time or again."""

    tick: int
    at: Place | None
    resumed: bool
    gap: bool


class Heard(NamedTuple):
    """An event. `at` is unknown inside of what one long-poll brought; the last one there has it."""

    video: str
    key: str
    at: Place | None


class Gap(NamedTuple):
    """Something is missing here; without `at`, somewhere up to the next event that has one."""

    at: Place | None


Received: TypeAlias = Ready | Heard | Gap


@dataclass(slots=True)
class Diary:
    """What one viewer of `video` received, in order."""

    name: str
    video: str
    items: list[Received] = field(default_factory=list)


@dataclass(slots=True)
class History:
    """All there is to judge.

    `logs`: what was read from the log itself, where it was. `losses`: how often its data was lost, or Redis
    came back while a process that knew its numbers was away: each begins a new life, or none.
    `whole`: the log forgets nothing by age or length, so there is no other reason for a gap.
    """

    requests: list[Request]
    diaries: list[Diary]
    logs: dict[str, list[tuple[Place, str]]] = field(default_factory=dict)
    losses: int = 0
    whole: bool = True
