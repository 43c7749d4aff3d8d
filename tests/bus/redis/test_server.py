"""One Redis server: replies as they come, errors among them, in one round trip."""

from __future__ import annotations

import hashlib

import pytest
import redis
from redis.exceptions import NoScriptError, ResponseError

from liveserver.bus.redis.server import Server, no_retry, run_pipeline

pytestmark = pytest.mark.redis


@pytest.fixture
def server(redis_server: str) -> Server:
    return Server(redis.ConnectionPool.from_url(redis_server), "host:1", frozenset({"secret"}))


def test_errors_are_replies_and_the_rest_is_done(server: Server) -> None:
    for transaction in (False, True):
        first, second, third = server.run(
            [("SET", "a", "1"), ("LPUSH", "a", "x"), ("GET", "a")], transaction=transaction
        )
        assert (first, third) == (True, b"1")
        assert isinstance(second, ResponseError)


def test_a_script_has_to_be_loaded(server: Server) -> None:
    source = "return KEYS[1]"
    sha = redis.Redis(connection_pool=server._pool).script_load("return 1")
    assert server.run([("EVALSHA", sha, 0)], transaction=False) == [1]
    missing = "0" * 40
    [answer] = server.run([("EVALSHA", missing, 0)], transaction=False)
    assert isinstance(answer, NoScriptError)
    server.load([source])
    name = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
    assert server.run([("EVALSHA", name, 1, "k")], transaction=False) == [b"k"]


def test_listeners_are_counted_by_channel_in_order(server: Server) -> None:
    listener = redis.Redis(connection_pool=server._pool).pubsub()
    listener.subscribe("heard")
    assert listener.get_message(timeout=60) is not None
    assert server.count_listeners(["silent", "heard"]) == [0, 1]
    listener.close()


def test_there_is_one_shard_without_a_name(server: Server) -> None:
    assert server.shards() == [""]
    assert server.shard_of("v") == ""
    assert (server.address, server.secrets) == ("host:1", frozenset({"secret"}))


def test_a_connection_for_listening_is_not_of_the_pool(server: Server) -> None:
    first, second = server.connection(), server.connection()
    assert first is not second
    assert server._pool._created_connections == 0


def test_after_an_error_or_the_end_calls_connect_anew(server: Server) -> None:
    for end in (server.drop, server.close):
        assert server.run([("PING",)], transaction=False) == [True]
        end()
        assert server.run([("PING",)], transaction=False) == [True]


def test_nothing_is_retried_by_the_library() -> None:
    assert no_retry().get_retries() == 0


def test_an_empty_pipeline_makes_no_round_trip(server: Server) -> None:
    assert run_pipeline(redis.Redis(connection_pool=server._pool), [], transaction=False) == []
