"""The table of all nodes: what two answers say, and what it looks like where there is little room."""

from __future__ import annotations

from pathlib import Path

import httpx
import msgspec
import pytest
from rich.console import Console
from trio.testing import MockClock

from liveserver.cli import main
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
from liveserver.cli.rows import Row
from liveserver.cli.top import ALONE, _look, of_this_machine, since, table
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


async def test_whatever_a_node_answers_is_told_in_a_word() -> None:
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


async def test_all_nodes_are_found_by_asking_one(autojump_clock: MockClock) -> None:
    members = [{"ops": "10.0.0.1:9000", "node": "a"}, {"ops": "10.0.0.2:9000", "node": "b"}]

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "gone":
            raise httpx.ConnectError("")
        if request.url.path == "/v1/cluster":
            return (
                httpx.Response(409)
                if request.url.host == "old"
                else httpx.Response(200, json={"nodes": members})
            )
        return httpx.Response(200, json={"node": request.url.host, "roles": [], "uptime": 3})

    shown: list[list[Row]] = []
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        asked = ["http://gone", "http://one:1", "http://old"]
        assert await discover(client, asked) == [
            "http://10.0.0.1:9000", "http://10.0.0.2:9000", "http://gone", "http://old",
        ]  # fmt: skip
        assert await discover(client, ["http://10.0.0.1:9000", "http://10.0.0.2:9000"]) == [
            "http://10.0.0.1:9000",
            "http://10.0.0.2:9000",
        ]

        def show(rows: list[Row]) -> None:
            shown.append(rows)
            members.append({"ops": "10.0.0.3:9000", "node": "c"})  # comes between two tables

        await _look(client, ["http://one:1"], 1.0, show, times=2, all_nodes=True)
    assert [[row.node for row in rows] for rows in shown] == [
        ["10.0.0.1", "10.0.0.2"],
        ["10.0.0.1", "10.0.0.2", "10.0.0.3"],
    ]


def drawn(rows: list[Row], width: int) -> str:
    console = Console(width=width, record=True, file=None, force_terminal=False, quiet=False)
    with console.capture() as capture:
        console.print(table(rows, width))
    return capture.get()


def test_the_table_has_a_sum_and_fits() -> None:
    rows = [
        Row(
            URL,
            "fe1",
            "fr",
            videos=1,
            viewers=1200,
            deliveries=5e5,
            lag=0,
            memory=3 * 1024**2,
            cpu=0.5,
            uptime=7200,
        ),
        Row("http://127.0.0.1:9111", "di1", "di", publishes=42.4),
        Row("http://127.0.0.1:9112", trouble="does not answer"),
    ]
    wide, narrow = drawn(rows, 180), drawn(rows, 80)
    assert "2 h" in wide
    assert "gaps" in wide
    assert "gaps" not in narrow
    for text in (wide, narrow):
        assert "500,000" in text
        assert "answer" in text
        assert "all" in text.splitlines()[-2]
    assert max(map(len, narrow.splitlines())) <= 80


def test_how_long() -> None:
    assert [since(seconds) for seconds in (5, 90, 7200, 200_000)] == ["5 s", "2 m", "2 h", "2 d"]


def test_without_a_url_the_clusters_nodes_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    urls = of_this_machine(Path("config/cluster.toml"))
    assert "http://127.0.0.1:9101" in urls
    assert urls[-1] == ALONE
    monkeypatch.chdir(tmp_path)
    assert of_this_machine(Path("config/cluster.toml")) == [ALONE]


def test_malformed_urls_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["top", "127.0.0.1:9101"])
    assert caught.value.code == 2
    assert "is not a URL like http://127.0.0.1:9101" in capsys.readouterr().err


def test_once_prints_one_table(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["top", "--once", "http://127.0.0.1:1"])
    assert caught.value.code == 0
    assert "127.0.0.1:1: does not answer" in capsys.readouterr().out
