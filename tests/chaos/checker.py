"""Compares accepted events with those each viewer received. No I/O, so that it can be tested itself.

What holds for every viewer, from its first `ready` on:

1. It receives each event of its video that was accepted, once, in the log's order: the order of the
   *places* (epoch, number) that receipts, cursors and the log itself give. All of them agree.
2. It receives nothing of other videos, and nothing that was never published. What a publisher was
   not answered about may be there or not, but no more than once.
3. Events may be missing only where a gap was sent, and where one was sent something is missing, or a
   new life of the log begins. A gap may be sent some time before: a `ready` says that not everything
   after the cursor will follow.
4. Epochs follow each other: no viewer goes back to an earlier one, and there is one more only after the
   log's data was lost. A new life is delivered from its first event on.

And of publishing: a request is accepted as a whole or not at all, and what was answered before
something else was sent stands before it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from tests.chaos.history import Diary, Gap, Heard, History, Place, Ready, Request

MANY = 8  # keys named in one complaint


def check(history: History) -> list[str]:
    """Return the faults, as sentences; empty if there are none."""
    complaints: list[str] = []
    for request in history.requests:
        if request.answered is not None:
            complaints += _check_receipt(request)
    videos = {diary.video for diary in history.diaries} | {request.video for request in history.requests}
    for video in sorted(videos):
        chart = _Chart(video, history)
        complaints += [*chart.complaints, *chart.check_epochs(), *chart.check_answers()]
        for diary in history.diaries:
            if diary.video == video:
                walk = _Walk(diary, chart)
                complaints += [f"{diary.name} of {video}: {complaint}" for complaint in walk.run()]
    return complaints


def _check_receipt(request: Request) -> Iterator[str]:
    what = f"the request with {request.keys[0]}"
    if request.accepted + request.duplicates != len(request.keys):
        yield f"{what}: {request.accepted} accepted and {request.duplicates} known of {len(request.keys)}"
    elif request.accepted and request.duplicates:
        yield f"{what} was torn: {request.accepted} accepted, {request.duplicates} known"


class _Chart:
    """The places of one video's events, as all sources together tell them."""

    def __init__(self, video: str, history: History) -> None:
        self.video = video
        self.history = history
        self.complaints: list[str] = []
        self.keys: dict[Place, str] = {}
        self.places: dict[str, dict[str, Place]] = defaultdict(dict)  # key → epoch → place
        self.epochs: list[str] = []  # in the order in which receipts and viewers mention them
        self.requests = [request for request in history.requests if request.video == video]
        self.published = {key: request for request in self.requests for key in request.keys}
        for request in sorted(self.requests, key=lambda request: request.answered or 0):
            if request.end is not None and request.answered is not None:
                self._mention([request.end.epoch])
                if not request.duplicates:
                    self._note(request.keys, request.end, "a receipt")
        for diary in history.diaries:
            if diary.video == video:
                self._read(diary)
        for place, key in history.logs.get(video, ()):
            self._note([key], place, "the log")

    def _mention(self, epochs: Sequence[str]) -> None:
        """Note epochs, in the order of a receipt or viewer; one without a receipt precedes the next known."""
        for index, epoch in enumerate(epochs):
            if epoch not in self.epochs:
                later = [self.epochs.index(known) for known in epochs[index + 1 :] if known in self.epochs]
                self.epochs.insert(min(later, default=len(self.epochs)), epoch)

    def _read(self, diary: Diary) -> None:
        self._mention([item.at.epoch for item in diary.items if item.at is not None])
        page: list[str] = []
        whole = True
        for item in diary.items:
            if item.__class__ is not Heard:
                whole = whole and not (isinstance(item, Gap) and item.at is None)
                continue
            assert isinstance(item, Heard)
            page.append(item.key)
            if item.at is not None:
                if whole:  # otherwise a gap may be anywhere in the page, also at its end
                    self._note(page, item.at, diary.name)
                page, whole = [], True

    def _note(self, keys: Sequence[str], end: Place, who: str) -> None:
        """These events stand one after the other, the last of them at `end`."""
        for number, key in enumerate(keys, end.number + 1 - len(keys)):
            place = Place(end.epoch, number)
            other = self.keys.setdefault(place, key)
            if other != key:
                self.complaints.append(f"{self.video}: {place} is {other}, but {key} according to {who}")
            before = self.places[key].setdefault(end.epoch, place)
            if before != place:
                self.complaints.append(f"{self.video}: {key} is at {before}, but at {place} to {who}")

    def check_epochs(self) -> Iterator[str]:
        if len(self.epochs) > 1 + self.history.losses:
            yield (
                f"{self.video}: the lives {', '.join(self.epochs)}, "
                f"although the data was lost {self.history.losses} times"
            )

    def check_answers(self) -> Iterator[str]:
        """What was answered before something else was sent stands before it."""
        placed = [
            (request, place)
            for request in self.requests
            if request.answered is not None
            for key in request.keys
            if len(places := self.places.get(key, {})) == 1
            for place in places.values()
        ]
        by_answer = sorted(placed, key=lambda pair: pair[0].answered or 0)
        furthest: dict[str, int] = {}
        index = 0
        for request, place in sorted(placed, key=lambda pair: pair[0].sent):
            while index < len(by_answer) and (by_answer[index][0].answered or 0) < request.sent:
                epoch, number = by_answer[index][1]
                furthest[epoch] = max(number, furthest.get(epoch, 0))
                index += 1
            answered = furthest.get(place.epoch)
            if answered is not None and place.number <= answered:
                yield (
                    f"{self.video}: what is at {place} was sent after "
                    f"{place.epoch}-{answered} had been answered"
                )

    def is_before(self, place: Place, other: Place) -> bool:
        if place.epoch == other.epoch:
            return place.number < other.number
        order = self.epochs
        return (
            place.epoch in order
            and other.epoch in order
            and order.index(place.epoch) < order.index(other.epoch)
        )


class _Walk:
    """One viewer's way along the log."""

    def __init__(self, diary: Diary, chart: _Chart) -> None:
        self._diary = diary
        self._chart = chart
        self._complaints: list[str] = []
        self._start: Ready | None = None
        self._at: Place | None = None
        self._heard: dict[str, set[str]] = defaultdict(set)  # key → epochs
        self._left: set[str] = set()  # epochs
        self._jumps: list[tuple[Place, Place]] = []  # sent gaps: what lies behind the first, up to the second
        self._announced = False  # a gap was sent, and nothing was missing yet
        self._floating = False  # one may be anywhere up to the next event with a place
        self._index = 0
        self._page_end: dict[int, Place] = {}  # of the items before the end of a page with a gap

    def run(self) -> list[str]:
        for index, item in enumerate(self._diary.items):
            self._index = index
            if isinstance(item, Ready):
                self._ready(item)
            elif self._at is None:
                self._complain(f"received {item} before it was ready")
            elif isinstance(item, Gap):
                self._gap(item, self._at)
            else:
                self._event(item, self._at)
        if self._announced:
            self._complain(f"received a gap, up to {self._at} nothing was missing")
        self._check_complete()
        return self._complaints

    def _complain(self, complaint: str) -> None:
        self._complaints.append(complaint)

    def _ready(self, ready: Ready) -> None:
        if self._at is None:
            self._start, self._at = ready, ready.at
            if ready.gap or ready.resumed or ready.at is None:
                self._complain(f"began with {ready}")
        elif ready.gap:
            return  # the gap itself comes next
        elif not ready.resumed:
            self._complain(f"came back at {self._at} and was not resumed")
        elif ready.at is not None and ready.at != self._at:
            self._complain(f"came back at {ready.at}, having seen {self._at}")

    def _gap(self, gap: Gap, at: Place) -> None:
        self._announced = True
        if gap.at is None:
            self._floating = True
            self._page_end = self._places_before_end()
        elif gap.at != at:
            self._jump(at, gap.at)
            self._at = gap.at

    def _jump(self, at: Place, to: Place) -> None:
        """It received a gap, and goes on after `to`."""
        self._announced = False
        self._jumps.append((at, to))
        if to.epoch != at.epoch:
            self._enter(at, to)
            if self._chart.history.whole and to.number:
                self._complain(
                    f"received the life {to.epoch} of {', '.join(self._chart.epochs)} "
                    f"from {to.number + 1} on only, having been at {at}"
                )
        elif to.number < at.number:
            self._complain(f"was sent back from {at} to {to}")
        elif self._chart.history.whole:
            self._complain(f"received a gap from {at} to {to}, and the log had them: {self._keys(at, to)}")
        elif not self._keys(at, to):
            self._complain(f"received a gap from {at} to {to}, where nothing is known to have been")

    def _enter(self, at: Place, to: Place) -> None:
        self._left.add(at.epoch)
        if to.epoch in self._left:
            self._complain(f"was brought from {at} back into an earlier life, to {to}")

    def _event(self, event: Heard, at: Place) -> None:
        key, chart = event.key, self._chart
        if event.video != self._diary.video:
            self._complain(f"received {key} of {event.video}")
            return
        if key not in chart.published:
            self._complain(f"received {key}, which was not published")
        place = event.at
        if self._floating and self._index in self._page_end:
            place = self._page_end[self._index]
        elif place is None or (self._floating and place not in chart.places[key].values()):
            place = self._place_of(key, at)
        if place.epoch in self._heard[key]:
            self._complain(f"received {key} twice, the second time after {at}")
        elif place != (at.epoch, at.number + 1):
            before = Place(place.epoch, place.number - 1)
            if self._floating:
                self._jump(at, before)
            elif place.epoch != at.epoch:
                self._enter(at, place)
                self._complain(f"went from {at} to {place} ({key}), and received no gap")
            elif place.number <= at.number:
                self._complain(f"received {key} at {place} after {at}")
            else:
                self._complain(f"did not receive {self._keys(at, before) or before} before {key} at {place}")
        self._heard[key].add(place.epoch)
        self._at = place
        if event.at is not None:
            if self._floating and place != event.at:  # the page ends with the gap
                self._jump(place, event.at)
                self._at = event.at
            self._floating = False

    def _places_before_end(self) -> dict[int, Place]:
        """The places of a page's last items, in line up to the page's own end: an event that was published
        again after a loss has two."""
        items, end = self._diary.items, self._index + 1
        while end < len(items) and isinstance(item := items[end], Heard) and item.at is None:
            end += 1
        found: dict[int, Place] = {}
        if end == len(items) or not isinstance(last := items[end], Heard) or last.at is None:
            return found
        for back in range(end - self._index):
            item = items[end - back]
            place = Place(last.at.epoch, last.at.number - back)
            if not isinstance(item, Heard) or self._chart.places[item.key].get(place.epoch) != place:
                break
            found[end - back] = place
        return found

    def _place_of(self, key: str, at: Place) -> Place:
        """Where an event inside of a page stands: next, if that may be."""
        following = Place(at.epoch, at.number + 1)
        places = self._chart.places.get(key, {})
        if not places or places.get(at.epoch) == following:
            return following
        ahead = [place for place in places.values() if place.epoch not in {*self._left, at.epoch}]
        if self._floating and ahead:
            return ahead[0]
        return places.get(at.epoch) or (ahead or list(places.values()))[0]

    def _keys(self, after: Place, to: Place) -> str:
        """The events known to stand behind one place, up to another of the same life."""
        numbers = range(after.number + 1, to.number + 1)
        keys = [
            self._chart.keys[place]
            for number in numbers
            if (place := Place(to.epoch, number)) in self._chart.keys
        ]
        return ", ".join(keys[:MANY]) + (f" and {len(keys) - MANY} more" if len(keys) > MANY else "")

    def _check_complete(self) -> None:
        """By events rather than by numbers: what was accepted has come, or was said to be missing."""
        if self._start is None or self._start.at is None:
            self._complain("was never ready")
            return
        lost: list[str] = []
        for key, request in self._chart.published.items():
            if request.answered is None or key in self._heard:
                continue
            places = list(self._chart.places.get(key, {}).values())
            if any(self._is_excused(place) for place in places) or (not places and self._jumps):
                if request.sent > self._start.tick and places and not self._is_reported_missing(places):
                    self._complain(f"began at {self._start.at}, beyond {key}, which was sent later")
                continue
            lost.append(key)
        if lost:
            more = f" and {len(lost) - MANY} more" if len(lost) > MANY else ""
            self._complain(f"never received {', '.join(lost[:MANY])}{more}; it ended at {self._at}")

    def _is_excused(self, place: Place) -> bool:
        assert self._start is not None
        assert self._start.at is not None
        return not self._chart.is_before(self._start.at, place) or self._is_reported_missing([place])

    def _is_reported_missing(self, places: list[Place]) -> bool:
        before = self._chart.is_before
        return any(
            before(start, place) and not before(end, place) for place in places for start, end in self._jumps
        )
