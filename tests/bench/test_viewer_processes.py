"""Distribution of viewers over processes and frontends."""

from __future__ import annotations

import pytest
import typer

from bench.harness import free_ports, numbers, percentile
from bench.headline import address
from bench.results import medians
from bench.viewer_processes import groups

TARGET = ("127.0.0.1", 8101)


@pytest.mark.parametrize("count", [1, 14_000, 14_001, 100_000])
def test_viewers_are_shared_out_to_as_few_processes_as_possible(count: int) -> None:
    found = groups([TARGET], "/events", count)
    assert sum(group.count for group in found) == count
    assert max(group.count for group in found) <= 14_000
    assert len({group.source for group in found}) == len(found)


def test_viewers_are_spread_over_the_frontends() -> None:
    found = groups([TARGET, ("127.0.0.1", 8102)], "/events", 101)
    assert [(group.port, group.count) for group in found] == [(8101, 51), (8102, 50)]


def test_sources_are_left_alone_where_viewers_are_not_on_this_machine() -> None:
    assert {group.source for group in groups([("192.0.2.1", 80)], "/events", 40_000)} == {""}


def test_ports_follow_each_other_from_where_it_was_asked() -> None:
    _, *adjacent = free_ports(4, 1)
    assert adjacent == list(range(adjacent[0], adjacent[0] + 3))


def test_the_nearest_rank() -> None:
    values = [5.0, 1.0, 3.0, 2.0, 4.0]
    assert [percentile(values, share) for share in (0.0, 0.5, 0.9, 1.0)] == [1.0, 3.0, 4.0, 5.0]


def test_a_median_is_taken_of_what_all_rounds_have() -> None:
    rounds: list[dict[str, object]] = [{"a": 1.0, "b": 1, "name": "x"}, {"a": 3.0}, {"a": 2.0, "b": 2}]
    assert medians(rounds) == {"a": 2.0}


def test_several_numbers_in_one_option() -> None:
    assert numbers("1,10,0.5") == (1.0, 10.0, 0.5)


@pytest.mark.parametrize("text", ["", "a", "1,,2", "0", "-1"])
def test_malformed_lists_of_numbers_are_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="list of numbers above 0"):
        numbers(text)


def test_a_node_is_named_by_its_url() -> None:
    assert address("http://127.0.0.1:8101") == TARGET
    assert address("http://host/") == ("host", 80)
    with pytest.raises(typer.BadParameter, match="is not a URL"):
        address("127.0.0.1:8101")
