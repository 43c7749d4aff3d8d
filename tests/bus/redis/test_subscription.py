"""A pub/sub connection that is kept, against a link that answers from memory."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from redis.exceptions import ConnectionError as BrokenLink
from redis.exceptions import MovedError, NoPermissionError, ResponseError

from liveserver.bus.redis import subscription
from liveserver.bus.redis.subscription import Subscription

CHANNEL = b"ls:{!0}:inbox:n"
CONFIRMED = [b"ssubscribe", CHANNEL, 1]


class Connection:
    """It gives these replies, or raises them, and is silent then."""

    def __init__(self, *replies: Any) -> None:
        self._replies = list(replies)
        self.sent: list[tuple[Any, ...]] = []

    def connect(self) -> None:
        pass

    def disconnect(self) -> None:
        pass

    def send_command(self, *words: Any, check_health: bool) -> None:
        self.sent.append(words)

    def can_read(self, timeout: float) -> bool:
        if timeout and not self._replies:
            threading.Event().wait(0.001)
        return bool(self._replies)

    def read_response(self) -> Any:
        reply = self._replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply


class Link:
    """Connections in this order; the last one stays."""

    timeout = 0.01

    def __init__(self, *connections: Connection) -> None:
        self._connections = list(connections)
        self.shards: list[str | None] = []
        self.remedies: list[str] = []
        self.all_made = threading.Event()

    def connection(self, shard: str | None) -> Connection:
        self.shards.append(shard)
        if len(self._connections) > 1:
            return self._connections.pop(0)
        self.all_made.set()
        return self._connections[0]

    def rediscover(self) -> None:
        self.remedies.append("rediscovered")

    def refresh(self) -> None:
        self.remedies.append("refreshed")
        raise BrokenLink("this server is away, too")

    def to_bus_error(self, error: BaseException) -> BaseException:
        return error


class Run:
    """A subscription to one shard's channel over these connections."""

    def __init__(self, *connections: Connection) -> None:
        self.link = Link(*connections)
        self.got: list[bytes] = []
        self.ended = threading.Event()
        self.subscription = Subscription(
            self.link,  # type: ignore[arg-type]
            [CHANNEL.decode()],
            lambda messages: self.got.extend(message[2] for message in messages),
            lambda: None,
            shard="!0",
            on_end=self.ended.set,
        )
        self.subscription.start()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(subscription, "LONGEST_PAUSE", 0.001)


def message(content: bytes) -> list[bytes]:
    return [b"smessage", CHANNEL, content]


@pytest.mark.parametrize(
    "case",
    [
        (MovedError("0 127.0.0.1:7000"), "rediscovered"),
        ([b"sunsubscribe", CHANNEL, 0], "rediscovered"),
        (ResponseError("CLUSTERDOWN Hash slot not served"), "refreshed"),
        (BrokenLink("closed"), "refreshed"),
        (ValueError("nonsense"), "refreshed"),
    ],
    ids=repr,
)
def test_it_is_subscribed_again_where_the_shard_is_then(case: tuple[Any, str]) -> None:
    """What came before is passed on. A server that is away costs the others' connections nothing."""
    problem, remedy = case
    run = Run(Connection(CONFIRMED, message(b"1"), problem), Connection(CONFIRMED, message(b"2")))
    assert run.link.all_made.wait(30)
    while len(run.got) < 2 and not isinstance(problem, Exception):
        threading.Event().wait(0.001)
    while run.subscription.starts < 2:
        threading.Event().wait(0.001)
    run.subscription.stop()
    assert run.ended.wait(30)
    assert run.link.remedies == [remedy]
    assert set(run.link.shards) == {"!0"}
    assert not run.subscription.is_listening


@pytest.mark.parametrize(
    "refusal", [ResponseError("unknown command 'SSUBSCRIBE'"), NoPermissionError("no permissions to run it")]
)
def test_where_it_is_refused_it_is_seldom_tried(refusal: Exception) -> None:
    run = Run(Connection(refusal), Connection(CONFIRMED))
    assert not run.link.all_made.wait(0.05)
    run.subscription.stop()
    assert run.ended.wait(30)
    assert (run.link.remedies, run.subscription.was_attempted) == ([], True)


def test_a_silent_connection_is_checked_and_given_up() -> None:
    silent = Connection(CONFIRMED)
    run = Run(silent, Connection(CONFIRMED))
    assert run.link.all_made.wait(30)
    run.subscription.stop()
    assert run.ended.wait(30)
    assert silent.sent == [("SSUBSCRIBE", CHANNEL.decode()), ("PING",)]
    assert "no reply" in run.subscription.error
