"""The table of all nodes: what two answers say, and what it looks like where there is little room."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from rich.console import Console
from trio.testing import MockClock

from liveserver.cli import main
from liveserver.cli.nodes import (
    discover,
)
from liveserver.cli.rows import Row
from liveserver.cli.top import ALONE, _refresh, of_this_machine, since, table

URL = "http://127.0.0.1:9101"


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

        await _refresh(client, ["http://one:1"], 1.0, show, times=2, all_nodes=True)
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
