"""The rank of a comment within its second is found once, wherever reading begins."""

from __future__ import annotations

from collections.abc import Iterator

from liveserver.frontend.history import sampling
from liveserver.frontend.history.sampling import Ranks
from liveserver.transport.filter import Filter


class Item:
    def __init__(self, event: bytes, at: int) -> None:
        self.event = event
        self.data = b'{"id":"e","video":"v","type":"%b","user":",\\"at\\":1","at":%d}' % (event, at)


class Log:
    def __init__(self, kept_from: int = 0) -> None:
        self.items: dict[int, Item] = {}
        self.kept_from = self.tip = kept_from

    def add(self, *seconds: float, event: bytes = b"comment") -> None:
        for second in seconds:
            self.items[self.tip] = Item(event, round(second * 1000))
            self.tip += 1

    def walk(self, start: int, end: int) -> Iterator[tuple[int, Item]]:
        return ((at, item) for at, item in sorted(self.items.items()) if start <= at < end)


def ranks_of(log: Log, ranks: Ranks) -> list[int]:
    return [ranks.rank(at) for at, item in log.walk(log.kept_from, log.tip) if item.event == b"comment"]


def test_comments_are_counted_by_their_second() -> None:
    log = Log()
    ranks = Ranks(log)
    log.add(1.0, 1.5, 2.0, 1.9, 2.1)  # two clocks
    log.add(2.2, event=b"like")
    assert ranks_of(log, ranks) == [0, 1, 0, 2, 1]
    log.add(2.3, 3.0)
    assert ranks_of(log, ranks) == [0, 1, 0, 2, 1, 2, 0]
    two = Filter(rate=2)
    assert ranks.count_omitted(two, 0, log.tip) == 2
    assert ranks.count_omitted(two, 3, 4) == 1
    assert ranks.count_omitted(Filter(frozenset({b"like"})), 0, log.tip) == 0
    log.items[3].event = b"retract"  # a retracted comment is shown as retracted
    assert ranks.includes(two, 3, log.items[3])
    assert ranks.count_omitted(two, 0, log.tip) == 1


def test_older_comments_are_counted_when_they_are_read() -> None:
    log = Log(10)
    ranks = Ranks(log)
    log.add(5.0, 5.1)
    assert ranks_of(log, ranks) == [0, 1]
    log.items |= {at: Item(b"comment", 4_000) for at in range(7, 10)}
    log.kept_from = 7
    assert ranks_of(log, ranks) == [0, 1, 2, 0, 1]


def test_memory_is_bounded() -> None:
    log = Log()
    ranks = Ranks(log)
    for second in range(3 * sampling.SECONDS):
        log.add(second, second)
        if len(log.items) > 50:
            for at in range(log.kept_from, log.kept_from + 10):
                del log.items[at]
            log.kept_from += 10
        assert ranks.rank(log.tip - 1) == 1
    assert len(ranks._counts) <= sampling.SECONDS
    assert len(ranks._ranks) <= 200
