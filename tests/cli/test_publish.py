"""`liveserver publish`: one event, or many at a rate, and what became of them."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from liveserver.cli.publish import PublishProgress
from tests.cli.harness import call, with_servers
from tests.client.fakes import Servers, answer, problem


def test_publishing_one_says_what_became_of_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    servers = Servers(answer({"accepted": 1, "duplicates": 0, "cursor": "dc1-a-1"}))
    with_servers(monkeypatch, servers)
    arguments = ["--type", "comment", "--user", "u1", "--data", '{"text":"hi"}']
    code, out, _ = call(capsys, "publish", "http://a", "v1", *arguments)
    assert code == 0
    assert out.startswith("1 accepted; answered within ")
    assert out.endswith("\ncursor dc1-a-1\n")
    [event] = servers.asked[0].body
    assert event.pop("id")
    assert event == {"type": "comment", "user": "u1", "data": {"text": "hi"}}


def test_publishing_what_is_refused_is_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_servers(monkeypatch, Servers(problem(400, "a type has 1 to 32 letters")))
    code, out, err = call(capsys, "publish", "http://a", "v1", "--type", "No")
    assert (code, out) == (1, "")
    assert err == "liveserver: http://a/v1/videos/v1/events: 400: a type has 1 to 32 letters\n"


async def test_publishing_at_a_rate_keeps_to_it(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    servers = Servers(*[answer({"accepted": 1, "duplicates": 0, "cursor": "dc1-a-9"})] * 9)
    with_servers(monkeypatch, servers)
    run = PublishProgress("http://a", "v1", {"type": "like"}, rate=2, count=9)
    began = trio.current_time()
    await run.go()
    assert [asked.at - began for asked in servers.asked] == pytest.approx([number / 2 for number in range(9)])
    assert run.summary().startswith("9 accepted in 4.0 s, 2/s; answered within ")


async def test_at_a_high_rate_a_request_carries_many(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    servers = Servers(*[answer({"accepted": 200, "duplicates": 0, "cursor": "dc1-a-9"})] * 200)
    with_servers(monkeypatch, servers)
    await PublishProgress("http://a", "v1", {"type": "like"}, rate=10_000, count=10_000).go()
    assert sum(len(asked.body) for asked in servers.asked) == 10_000
    assert len(servers.asked) < 60
