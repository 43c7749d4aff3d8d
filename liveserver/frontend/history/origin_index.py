"""Where each origin's events lie in a channel's log, by the origin's own numbers.

An origin's events are dense in number and ascending in position, in *runs*: while one datacenter is
alone with a video, all of its events are one run, and finding a number is one subtraction. A *life*
is one epoch of an origin; a log that has lived through a new beginning holds several.
"""

from __future__ import annotations

from bisect import bisect_right
from math import inf
from typing import NamedTuple

from liveserver.cursor import Mark


class NumberRange(NamedTuple):
    """`length` events from `number` on, at the positions from `position` on."""

    number: int
    position: int
    length: int


class EpochIndex:
    """The runs of one epoch of one origin, ascending."""

    __slots__ = ("epoch", "runs")

    def __init__(self, epoch: str, runs: list[NumberRange]) -> None:
        self.epoch = epoch
        self.runs = runs

    @property
    def end(self) -> int:
        """The position behind its last event."""
        return self.runs[-1].position + self.runs[-1].length

    def extend(self, number: int, position: int, length: int) -> None:
        last = self.runs[-1]
        if last.number + last.length == number and last.position + last.length == position:
            self.runs[-1] = last._replace(length=last.length + length)
        else:
            self.runs.append(NumberRange(number, position, length))

    def forget(self, base: int) -> None:
        """Drop what lies before the position `base`."""
        keep = 0
        for run in self.runs:
            if run.position + run.length > base:
                break
            keep += 1
        del self.runs[:keep]
        if self.runs and self.runs[0].position < base:
            first = self.runs[0]
            gone = base - first.position
            self.runs[0] = NumberRange(first.number + gone, base, first.length - gone)

    def after(self, number: int) -> tuple[int | None, NumberRange | None]:
        """What comes after `number`: the position behind all up to it, and the first run of the rest."""
        index = bisect_right(self.runs, (number, inf, inf)) - 1
        behind = None
        if index >= 0:
            run = self.runs[index]
            within = number + 1 - run.number
            if within < run.length:
                position = run.position + within
                return position, NumberRange(number + 1, position, run.length - within)
            behind = run.position + run.length
        following = self.runs[index + 1] if index + 1 < len(self.runs) else None
        return behind, following


class Found(NamedTuple):
    """What a mark says of one origin.

    `first` is the position of the first event not covered (None: all are); all that is covered lies
    before `covered`; `gap`: an event after the mark is gone.
    """

    first: int | None
    covered: int | None
    gap: bool


class OriginIndex:
    """All lives of one origin in the log, oldest first."""

    __slots__ = ("lives",)

    def __init__(self) -> None:
        self.lives: list[EpochIndex] = []

    def extend(self, epoch: str, number: int, position: int, length: int) -> None:
        if self.lives and self.lives[-1].epoch == epoch:
            self.lives[-1].extend(number, position, length)
        else:
            self.lives.append(EpochIndex(epoch, [NumberRange(number, position, length)]))

    def shift(self, by: int) -> None:
        """Move everything by so many positions."""
        for life in self.lives:
            life.runs = [run._replace(position=run.position + by) for run in life.runs]

    def prepend(self, older: OriginIndex) -> None:
        """Put the lives of an older stretch of the log before these."""
        later = self.lives
        self.lives = older.lives
        for life in later:
            for run in life.runs:
                self.extend(life.epoch, *run)

    def forget(self, base: int) -> None:
        for life in self.lives:
            life.forget(base)
        self.lives = [life for life in self.lives if life.runs]

    def has(self, epoch: str) -> bool:
        """Whether the log holds events of this life of the origin."""
        return any(life.epoch == epoch for life in self.lives)

    def is_before(self, epoch: str, other: str) -> bool:
        """Whether the log holds one life of this origin before another."""
        epochs = [life.epoch for life in self.lives]
        return epoch in epochs and other in epochs and epochs.index(epoch) < epochs.index(other)

    def find(self, mark: Mark | None, floor: Mark | None, tip: Mark) -> Found:
        """Where what lies after `mark` begins, given the marks before and after the whole log."""
        first = self.lives[0].runs[0].position if self.lives else None
        if mark is None:
            return Found(first, None, gap=floor is not None and floor.number > 0)
        for index, life in enumerate(self.lives):
            if life.epoch != mark.epoch:
                continue
            covered, following = life.after(mark.number)
            if covered is None and index:
                covered = self.lives[index - 1].end
            if following is not None:
                return Found(following.position, covered, gap=following.number > mark.number + 1)
            if index + 1 < len(self.lives):
                return Found(self.lives[index + 1].runs[0].position, covered, gap=True)
            return Found(None, covered, gap=tip.epoch != mark.epoch or _ends_short(life, mark, tip))
        if mark.epoch == tip.epoch:  # a life of which nothing is held yet: what is held is of older ones
            return Found(None, self.lives[-1].end if self.lives else None, gap=mark.number < tip.number)
        if not self.lives or (floor is not None and mark.epoch == floor.epoch):
            return Found(first, None, gap=True)
        # Of a life that went by unheard nobody can say what was before it: only the present one is new
        # for certain.
        last = self.lives[-1]
        if last.epoch != tip.epoch:
            return Found(None, last.end, gap=True)
        return Found(last.runs[0].position, last.runs[0].position, gap=True)


def _ends_short(life: EpochIndex, mark: Mark, tip: Mark) -> bool:
    """Whether the log's end is beyond both what the mark covers and what the log holds."""
    last = life.runs[-1]
    return max(last.number + last.length - 1, mark.number) < tip.number
