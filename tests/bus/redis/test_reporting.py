"""Reports of the known heads to each incarnation of Redis, against a script that answers from memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from redis.exceptions import ResponseError

from liveserver.bus.redis.connection import UNSETTLED
from liveserver.bus.redis.known_heads import KnownHeads
from liveserver.bus.redis.membership import Membership
from liveserver.bus.redis.reporting import PAGE, Reporter
from liveserver.bus.redis.sharded import Routes


class Script:
    """A link to one Redis of incarnation `name`; commands are tuples, as `Fake` makes them."""

    def __init__(self) -> None:
        self.name = "one"
        self.reports: list[str] = []
        self.left: list[Any] = []
        self.transactions: list[bool] = []
        self.unsettled = 0

    def shards(self) -> list[str]:
        return [""]

    def shard_of(self, video: str) -> str:
        return ""

    def run(
        self,
        commands: Sequence[Any],
        *,
        transaction: bool,
        inspect: Callable[[Sequence[Any]], None] | None = None,
    ) -> list[Any]:
        self.transactions.append(transaction)
        replies: list[Any] = []
        for command in commands:
            if command[0] == "incarnation":
                replies.append(f"{self.name} - 0 x 1".encode())
            elif command[0] == "report":
                self.reports.append(command[1])
                replies.append(None)
            elif command[0] == "prune":
                self.left.append(command)
                replies.append(1)
            else:
                replies.append(command[0].encode())
        if inspect:
            inspect(replies)
        if any(command[0] == "append" for command in commands) and self.unsettled:
            self.unsettled -= 1
            raise ResponseError(f"{UNSETTLED} wait")
        return replies


class Fake:
    """Commands as tuples."""

    in_cluster = False

    def incarnation(self, shard: str, arguments: Any) -> tuple[str, Any]:
        return "incarnation", arguments

    def report(self, video: str, opening: Any) -> tuple[str, str]:
        return "report", video

    def prune(self, process: str, shard: str = "", leave: bool = False) -> tuple[str, str, bool]:
        return "prune", process, leave


def made(videos: int = 0) -> tuple[Reporter, Script, Membership]:
    known = KnownHeads()
    for number in range(videos):
        known.learn(f"v{number}", "e", 7)
    link, membership = Script(), Membership(5.0)
    routes = Routes(link, is_sharded=False)  # type: ignore[arg-type]
    return Reporter(link, Fake(), known, membership, routes), link, membership  # type: ignore[arg-type]


def test_a_call_and_the_query_for_the_incarnation_are_one_transaction() -> None:
    reporter, link, membership = made()
    assert reporter.run([("append",)], ["v"]) == [b"append"]
    assert link.transactions == [True]
    assert membership.has_reported("one"), "who knows nothing has nothing to report"


def test_all_known_heads_are_reported_in_pages_before_the_report_is_complete() -> None:
    reporter, link, membership = made(videos=PAGE + 1)
    reporter.run([("append",)], ["v0"])
    assert not membership.has_reported("one")
    reporter.report()
    assert sorted(link.reports) == sorted(f"v{number}" for number in range(PAGE + 1))
    assert membership.has_reported("one")
    assert membership.arguments(knows_heads=True)[1] == "one"


def test_a_redis_that_waits_for_reports_gets_them_and_the_caller_the_error() -> None:
    reporter, link, membership = made(videos=2)
    link.unsettled = 1
    with pytest.raises(ResponseError, match=UNSETTLED):
        reporter.run([("append",)], ["v0"])
    assert sorted(link.reports) == ["v0", "v1"]
    assert membership.has_reported("one")
    assert reporter.run([("append",)], ["v0"]) == [b"append"]


def test_another_incarnation_is_reported_to_anew() -> None:
    reporter, link, membership = made(videos=1)
    reporter.report()
    link.name = "two"
    reporter.run([("append",)], ["v0"])
    assert not membership.has_reported("two")
    reporter.report()
    assert link.reports == ["v0", "v0"]
    assert membership.has_reported("two")


def test_a_server_that_restarts_during_a_report_is_not_taken_for_reported() -> None:
    reporter, link, membership = made(videos=PAGE + 1)
    run = link.run

    def restarting(commands: Sequence[Any], **how: Any) -> list[Any]:
        replies = run(commands, **how)
        if link.reports:
            link.name = "two"
        return replies

    link.run = restarting  # type: ignore[method-assign]
    reporter.report()
    assert not membership.has_reported("one")
    assert not membership.has_reported("two")


def test_only_a_member_leaves() -> None:
    reporter, link, membership = made()
    reporter.leave()
    assert link.left == []
    reporter.run([("append",)], ["v"])
    reporter.leave()
    assert link.left == [("prune", membership.process, True)]
