"""What two answers of a node say, and which nodes there are."""

from __future__ import annotations

import httpx
import msgspec
import pytest

from liveserver.cli.nodes import (
    FanOut,
    Frontend,
    Process,
    Publish,
    Status,
    discover,
    fetch_all,
    quantile,
    row,
)
from liveserver.instruments import Distribution

URL = "http://127.0.0.1:9101"


def delay(*counts: int) -> Distribution:
    return Distribution((0.01, 0.1, 1.0), [*counts], 0.0)


def frontend(uptime: float, deliveries: int, writes: int, *counts: int) -> Status:
    fanout = FanOut(deliveries, writes, 3, delay(*counts))
    return Status("fe1", ["frontend"], uptime, Process(1024**2, uptime / 2), Frontend(2, 7, 1, 5, fanout))


def test_rates_follow_from_two_answers() -> None:
    line = row(URL, frontend(10, 1000, 100, 5, 0, 0, 0), frontend(12, 3000, 200, 105, 0, 0, 0), 2.0)
    assert (line.node, line.videos, line.viewers, line.lagging, line.lag, line.gaps) == ("fe1", 2, 7, 1, 5, 3)
    assert (line.deliveries, line.coalescing, line.cpu) == (1000, 20, 0.5)
    assert line.delay == pytest.approx(0.0099)
    assert line.publishes is None
    both = [
        Status("di1", ["dispatcher"], uptime, publish=Publish(count)) for uptime, count in ((1, 10), (3, 30))
    ]
    assert row(URL, both[0], both[1], 2.0).publishes == 10


def test_a_single_answer_gives_no_rates() -> None:
    for before in (None, "does not answer", frontend(100, 10**6, 10**6, 1, 1, 1, 1)):  # started anew since
        line = row(URL, before, frontend(1, 10, 10, 0, 0, 0, 0), 2.0)
        assert (line.deliveries, line.cpu, line.viewers) == (None, None, 7)


def test_a_node_that_does_not_answer_keeps_its_row() -> None:
    line = row(URL, frontend(1, 1, 1, 0, 0, 0, 0), "does not answer", 1.0)
    assert (line.node, line.trouble, line.viewers) == ("fe1", "does not answer", None)


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        ((10, 0, 0, 0), 0.5, 0.005),
        ((0, 10, 0, 0), 1.0, 0.1),
        ((90, 9, 1, 0), 0.99, 0.1),
        ((0, 0, 0, 5), 0.5, 1.0),
    ],
)
def test_quantiles(counts: tuple[int, ...], share: float, expected: float) -> None:
    assert quantile(delay(0, 0, 0, 0), delay(*counts), share) == pytest.approx(expected)


def test_an_empty_histogram_has_no_quantile() -> None:
    assert quantile(delay(1, 1, 1, 1), delay(1, 1, 1, 1), 0.5) is None
    assert quantile(None, delay(1), 0.5) is None


async def test_whatever_a_node_answers_is_shown_in_a_word() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        match request.url.host:
            case "slow":
                raise httpx.ReadTimeout("")
            case "gone":
                raise httpx.ConnectError("")
            case "locked":
                return httpx.Response(401)
            case "web":
                return httpx.Response(200, text="<html>")
        return httpx.Response(200, content=msgspec.json.encode({"node": "n", "roles": [], "more": {}}))

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        found = await fetch_all(
            client, [f"http://{host}" for host in ("slow", "gone", "locked", "web", "well/")]
        )
    assert found[:4] == ["no answer within 2 s", "does not answer", "wants a --key", "no ops port"]
    assert isinstance(found[4], Status)


def test_histograms_with_other_bounds_are_not_compared() -> None:
    assert quantile(delay(0, 0), delay(1, 1, 1, 1), 0.5) is None


def test_a_frontend_without_deliveries_has_no_coalescing() -> None:
    quiet = frontend(10, 1000, 100, 5, 0, 0, 0)
    line = row(URL, quiet, frontend(12, 1000, 100, 5, 0, 0, 0), 2.0)
    assert (line.deliveries, line.coalescing, line.delay) == (0, None, None)
    assert row(URL, quiet, quiet, 0.0).deliveries is None, "no time has passed"


async def test_a_key_that_is_refused_is_asked_for_again() -> None:
    async with httpx.AsyncClient(
        transport=httpx.MockTransport(lambda request: httpx.Response(403)),
        headers={"authorization": "Bearer old"},
    ) as client:
        assert await fetch_all(client, ["http://a"]) == ["wants another --key"]
        assert await discover(client, ["http://a"]) == ["http://a"]
