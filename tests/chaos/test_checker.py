"""The checker finds each kind of fault, planted into correct histories."""

from __future__ import annotations

import random
from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.checker import check
from tests.chaos.history import Diary, Gap, Heard, History, Place, Ready, Received, Request

VIDEO = "v"


class World:
    """A history that is right: publishers, one log, and viewers that come, go and come back.

    With `lives`, the log's data is lost in between, and who has not heard the end of a life never will.
    """

    def __init__(self, seed: int, lives: int = 1, viewers: int = 3) -> None:
        self.rng = random.Random(seed)
        self.log: list[tuple[Place, str]] = []
        self.history = History([], [], losses=lives - 1)
        self._tick = 0
        for life in range(lives):
            self._publish(f"e{life}")
        last = self.log[-1][0].epoch
        self.history.logs[VIDEO] = [(place, key) for place, key in self.log if place.epoch == last]
        for number in range(viewers):
            self.history.diaries.append(self._watch(f"viewer {number}"))

    def tick(self) -> int:
        self._tick += 1
        return self._tick

    def _publish(self, epoch: str) -> None:
        number = 0
        for _ in range(self.rng.randint(5, 10)):
            keys = [f"{epoch}-{number + index}" for index in range(self.rng.randint(1, 4))]
            request = Request(VIDEO, keys, self.tick())
            self.history.requests.append(request)
            fate = self.rng.random()
            if fate < 0.1:
                continue  # neither logged nor answered
            for key in keys:
                number += 1
                self.log.append((Place(epoch, number), key))
            if fate < 0.2:
                continue  # logged, and not answered
            request.answered, request.end = self.tick(), Place(epoch, number)
            request.accepted = len(keys)
            if fate < 0.3:
                request.accepted, request.duplicates = 0, len(keys)

    def _watch(self, name: str) -> Diary:
        rng, log = self.rng, self.log
        start = rng.randrange(min(4, len(log)))
        at = Place(log[start][0].epoch, log[start][0].number - 1)
        items: list[Received] = [Ready(self.tick(), at, resumed=False, gap=False)]
        polls = rng.random() < 0.5
        index = start
        while index < len(log):
            place, key = log[index]
            if place.epoch != at.epoch:
                items.append(Gap(Place(place.epoch, 0)))
            last_of_page = not polls or rng.random() < 0.4 or self._ends(index)
            items.append(Heard(VIDEO, key, place if last_of_page else None))
            at = place
            index += 1
            if last_of_page and rng.random() < 0.1:
                items.append(Ready(self.tick(), at, resumed=True, gap=False))
        return Diary(name, VIDEO, items)

    def _ends(self, index: int) -> bool:
        return index + 1 == len(self.log) or self.log[index + 1][0].epoch != self.log[index][0].epoch


def heard(history: History, viewer: int = 0) -> list[int]:
    """Where in a diary the events are."""
    return [at for at, item in enumerate(history.diaries[viewer].items) if isinstance(item, Heard)]


def answered(history: History) -> set[str]:
    return {key for request in history.requests if request.answered is not None for key in request.keys}


@given(st.integers(0, 10_000), st.integers(1, 3))
def test_a_correct_history_has_no_complaints(seed: int, lives: int) -> None:
    assert check(World(seed, lives).history) == []


@given(st.integers(0, 10_000), st.data())
def test_a_loss_is_seen(seed: int, data: st.DataObject) -> None:
    history = World(seed).history
    items = history.diaries[0].items
    at = data.draw(st.sampled_from([at for at in heard(history) if items[at].key in answered(history)]))  # type: ignore[union-attr]
    key = items.pop(at).key  # type: ignore[union-attr]
    assert any("never received " in complaint and key in complaint for complaint in check(history))


@given(st.integers(0, 10_000), st.data())
def test_a_doubled_event_is_seen(seed: int, data: st.DataObject) -> None:
    history = World(seed).history
    items = history.diaries[0].items
    at = data.draw(st.sampled_from(heard(history)))
    later = data.draw(st.integers(at + 1, len(items)))
    items.insert(later, items[at])
    assert any("twice" in complaint for complaint in check(history))


@given(st.integers(0, 10_000), st.data())
def test_another_order_is_seen(seed: int, data: st.DataObject) -> None:
    history = World(seed).history
    items = history.diaries[0].items
    events = heard(history)
    one, two = sorted(data.draw(st.lists(st.sampled_from(events), min_size=2, max_size=2, unique=True)))
    first, second = items[one], items[two]
    assert isinstance(first, Heard)
    assert isinstance(second, Heard)
    items[one], items[two] = first._replace(key=second.key), second._replace(key=first.key)
    assert check(history)


@given(st.integers(0, 10_000), st.data(), st.booleans())
def test_a_foreign_event_is_seen(seed: int, data: st.DataObject, of_another: bool) -> None:
    history = World(seed).history
    history.requests.append(Request("other", ["stranger"], 1, answered=2, accepted=1, end=Place("o", 1)))
    at = data.draw(st.integers(1, len(history.diaries[0].items)))
    history.diaries[0].items.insert(at, Heard("other" if of_another else VIDEO, "stranger", None))
    expected = "received stranger of other" if of_another else "stranger, which was not published"
    assert any(expected in complaint for complaint in check(history))


@given(st.integers(0, 10_000), st.data())
def test_a_false_gap_is_seen(seed: int, data: st.DataObject) -> None:
    """Also one without a place, and one that is announced when coming back."""
    history = World(seed).history
    items = history.diaries[0].items
    places = [at for at in heard(history) if items[at].at is not None]
    at = data.draw(st.sampled_from(places))
    place = data.draw(st.sampled_from([items[at].at, None]))
    items.insert(at + 1, Gap(place))
    assert any("received a gap" in complaint for complaint in check(history))


@given(st.integers(0, 10_000), st.data())
def test_a_gap_over_what_the_log_had_is_seen(seed: int, data: st.DataObject) -> None:
    history = World(seed).history
    items = history.diaries[0].items
    places = [at for at in heard(history)[1:] if items[at].at is not None]
    at = data.draw(st.sampled_from(places))
    items[at] = Gap(items[at].at)
    assert any("received a gap" in complaint or "never received" in complaint for complaint in check(history))


@given(st.integers(0, 10_000))
def test_an_unreported_gap_is_a_fault(seed: int) -> None:
    history = World(seed, lives=2).history
    items = history.diaries[0].items
    gaps = [at for at, item in enumerate(items) if isinstance(item, Gap)]
    del items[gaps[0]]
    assert any("received no gap" in complaint for complaint in check(history))


@given(st.integers(0, 10_000))
def test_a_life_too_many_is_seen(seed: int) -> None:
    history = World(seed, lives=2).history
    history.losses = 0
    assert any("although the data was lost 0 times" in complaint for complaint in check(history))


@given(st.integers(0, 10_000))
def test_numbers_given_twice_are_seen(seed: int) -> None:
    """The log went back and counted on in the same life: what Redis must never do to a viewer."""
    history = World(seed).history
    request = next(request for request in history.requests if request.accepted)
    history.requests.append(
        Request(VIDEO, [f"again-{key}" for key in request.keys], 900, 901, request.accepted, 0, request.end)
    )
    assert any(" according to " in complaint for complaint in check(history))


def test_an_event_that_no_viewer_received_is_found() -> None:
    world = World(7)
    history = world.history
    history.requests.append(Request(VIDEO, ["lost"], world.tick(), world.tick(), 0, 1, Place("e0", 1)))
    complaints = check(history)
    assert len([complaint for complaint in complaints if "never received lost" in complaint]) == 3


def test_a_viewer_that_begins_ahead_of_later_events_is_found() -> None:
    history = World(7).history
    diary = history.diaries[0]
    ready = diary.items[0]
    assert isinstance(ready, Ready)
    last = max(at for at in heard(history))
    place = diary.items[last].at
    diary.items = [ready._replace(tick=0, at=place)]
    assert any("which was sent later" in complaint for complaint in check(history))


@pytest.mark.parametrize(
    ("accepted", "duplicates", "expected"), [(1, 1, "torn"), (1, 0, "1 accepted and 0 known of 2")]
)
def test_a_torn_request_is_seen(accepted: int, duplicates: int, expected: str) -> None:
    request = Request(VIDEO, ["a", "b"], 1, 2, accepted, duplicates, Place("e0", 2))
    assert any(expected in complaint for complaint in check(History([request], [])))


def test_answers_out_of_order_are_seen() -> None:
    first = Request(VIDEO, ["a"], 1, 2, 1, 0, Place("e0", 2))
    second = Request(VIDEO, ["b"], 3, 4, 1, 0, Place("e0", 1))
    assert any(
        "at e0-1 was sent after e0-2" in complaint for complaint in check(History([first, second], []))
    )


def complaints_about_gaps(*items: Received) -> list[str]:
    """One viewer of the lives a-1 … a-4 and b-1, b-2."""
    requests = [
        Request(VIDEO, ["a1", "a2", "a3", "a4"], 1, 2, 4, 0, Place("a", 4)),
        Request(VIDEO, ["b1", "b2"], 3, 4, 2, 0, Place("b", 2)),
    ]
    ready = Ready(0, Place("a", 0), resumed=False, gap=False)
    return check(History(requests, [Diary("viewer", VIDEO, [ready, *items])], losses=1))


def event(place: str, *, placed: bool = True) -> Heard:
    return Heard(VIDEO, place, Place(place[0], int(place[1:])) if placed else None)


def test_a_gap_may_be_announced_before_it_comes() -> None:
    """A `ready` with `gap` says that not everything follows; what the node still has comes all the same."""
    here = Place("a", 1)
    assert complaints_about_gaps(
        event("a1"), Ready(5, here, resumed=False, gap=True), Gap(here), event("a2"), Gap(Place("b", 0)),
        event("b1"), event("b2"),
    ) == []  # fmt: skip


def test_a_gap_may_be_anywhere_in_a_page() -> None:
    assert complaints_about_gaps(
        event("a1"), Gap(None), event("a2", placed=False), event("b1", placed=False), event("b2")
    ) == []  # fmt: skip


def test_a_gap_may_be_at_the_end_of_a_page() -> None:
    assert complaints_about_gaps(
        event("a1"), Gap(None), event("a2", placed=False), Heard(VIDEO, "a3", Place("b", 0)), event("b1"),
        event("b2"),
    ) == []  # fmt: skip


def test_what_was_published_again_after_a_loss_may_follow_a_gap_in_a_page() -> None:
    """It stands in both lives, and the page's end says in which one it came."""
    request = Request(VIDEO, ["k1", "k2"], 1, 9, 2, 0, Place("b", 2))
    before = Request(VIDEO, ["x"], 0, 1, 1, 0, Place("a", 1))
    places = [("a", 1, "x"), ("a", 2, "k1"), ("a", 3, "k2"), ("b", 1, "k1"), ("b", 2, "k2")]
    logs = {VIDEO: [(Place(epoch, number), key) for epoch, number, key in places]}
    items: list[Received] = [
        Ready(0, Place("a", 0), resumed=False, gap=False),
        Heard(VIDEO, "x", Place("a", 1)),
        Gap(None),
        Heard(VIDEO, "k1", None),
        Heard(VIDEO, "k2", Place("b", 2)),
    ]
    assert check(History([before, request], [Diary("viewer", VIDEO, items)], logs, 1)) == []


def test_a_new_epoch_is_sent_from_its_beginning() -> None:
    (complaint,) = complaints_about_gaps(event("a1"), Gap(Place("b", 1)), event("b2"))
    assert "from 2 on only" in complaint


def test_a_life_in_which_nothing_was_accepted_came_before_the_next() -> None:
    """A viewer watched from its beginning, and it was over before anything was published."""
    requests = [Request(VIDEO, ["b1", "b2"], 3, 4, 2, 0, Place("b", 2))]
    ready = Ready(0, Place("a", 0), resumed=False, gap=False)
    diary = Diary("viewer", VIDEO, [ready, Gap(Place("b", 0)), event("b1"), event("b2")])
    assert check(History(requests, [diary], losses=1)) == []


def test_a_return_to_an_earlier_epoch_is_found() -> None:
    complaints = complaints_about_gaps(
        event("a1"), Gap(Place("b", 0)), event("b1"), Gap(Place("a", 1)), event("a2")
    )
    assert any("back into an earlier life" in complaint for complaint in complaints)


def test_checking_changes_nothing() -> None:
    history = World(3, lives=2).history
    before = deepcopy(history)
    check(history)
    assert history == before
