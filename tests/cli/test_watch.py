"""`liveserver watch`: lines for people, JSON for programs."""

from __future__ import annotations

import io
import sys

import msgspec
import pytest

from liveserver.cli import main
from liveserver.cli.watch import Recent, describe
from liveserver.client import Bye, Disconnected, Event, Gap, Omitted, Ready, Viewers
from liveserver.client.items import to_json
from tests.cli.harness import call, with_servers
from tests.client.fakes import Servers, bye, like, ready, stream


def test_watching_writes_a_line_per_event(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_servers(monkeypatch, Servers(stream(ready(1), like(2) + like(3), bye(3, reconnect=False))))
    code, out, err = call(capsys, "watch", "http://a", "v1")
    assert code == 0
    assert [line.split()[1:] for line in out.splitlines()] == [["like", "-"], ["like", "-"]]
    assert err.splitlines() == ["-- connected to fe1 at dc1-k3f9a-1", "-- the server said bye: drain"]


def test_watching_can_write_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    servers = Servers(stream(ready(1), like(2), bye(2, reconnect=False)))
    with_servers(monkeypatch, servers)
    _, out, _ = call(capsys, "watch", "http://a", "v1", "--json", "--types", "like,comment", "--rate", "5")
    assert servers.asked[0].query == {"types": "like,comment", "rate": "5"}
    lines = [msgspec.json.decode(line) for line in out.splitlines()]
    assert [line["event"] for line in lines] == ["ready", "like", "bye"]
    assert lines[1] == {
        "cursor": "dc1-k3f9a-2",
        "event": "like",
        "data": {"id": "e2", "video": "v1", "type": "like", "at": 1763862000002},
    }


def test_a_pipe_that_is_closed_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    with_servers(monkeypatch, Servers(stream(ready(1), like(2))))
    monkeypatch.setattr(sys, "stdout", Closed())
    monkeypatch.setattr(sys, "stderr", (errors := io.StringIO()))
    with pytest.raises(SystemExit):
        main(["watch", "http://a", "v1"])
    assert errors.getvalue() == "-- connected to fe1 at dc1-k3f9a-1\n"


def test_nothing_a_viewer_wrote_controls_the_terminal() -> None:
    line = describe(Event("e1", "v1", "comment", "\x1b[2J\r\n", 0, {"text": "\x1b]0;x\x07\x9b"}, None))
    assert line.isprintable()


@pytest.mark.parametrize(
    ("item", "line"),
    [
        (Ready("dc1-a-1", "fe1", resumed=True), "-- connected to fe1 at dc1-a-1, resumed"),
        (Gap("dc1-a-1"), "-- gap: events before the next one are gone"),
        (Viewers(1, 2, 3), "-- 3 watching, 1 of them here"),
        (Omitted(7, "dc1-a-1"), "-- 7 comments left out"),
        (Bye("drain"), "-- the server said bye: drain"),
        (Disconnected("reset", "http://b", 1.25), "-- disconnected: reset; trying http://b in 1.2 s"),
    ],
)
def test_watch_reports_connection_changes(
    item: Ready | Gap | Viewers | Omitted | Bye | Disconnected, line: str
) -> None:
    assert describe(item) == line
    assert (to_json(item) is None) == isinstance(item, Disconnected)


def test_the_status_line_looks_at_the_last_seconds() -> None:
    now = 100.0
    recent = Recent(lambda: now)
    assert (recent.rate(), recent.delay()) == (0, None)
    for late in (0.01, 0.02, 0.5):
        recent.add(Event("e", "v1", "like", at=int((now - late) * 1000)))
    assert recent.rate() == pytest.approx(3 / 5)
    assert recent.delay() == pytest.approx(0.02, abs=0.002)
    now += 6
    assert (recent.rate(), recent.delay(), recent.total) == (0, None, 3)
