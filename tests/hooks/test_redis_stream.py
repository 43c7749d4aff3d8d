"""A Redis stream as a sink, at a real Redis."""

from __future__ import annotations

import pytest
import redis

from liveserver.config import HookEndpointSettings
from liveserver.errors import ConfigError
from liveserver.hooks.redis_stream import open_redis_stream
from liveserver.hooks.sink import Delivery, SinkError

WHERE = "hooks.endpoints.stream"


async def test_each_message_is_an_entry_of_the_stream(redis_server: str) -> None:
    endpoint = HookEndpointSettings(url=redis_server, stream="site:hooks")
    async with open_redis_stream(WHERE, endpoint, 5.0, 2, "") as sink:
        for number in range(3):
            await sink.deliver(Delivery(f"msg_{number}", "comment.created", "v", b'{"n":%d}' % number))
    with redis.Redis.from_url(redis_server) as client:
        entries = [fields for _, fields in client.xrange("site:hooks")]
    assert entries == [
        {b"id": b"msg_%d" % n, b"type": b"comment.created", b"video": b"v", b"body": b'{"n":%d}' % n}
        for n in range(3)
    ]


async def test_what_redis_refuses_and_what_is_not_there_are_failures(redis_server: str) -> None:
    with redis.Redis.from_url(redis_server) as client:
        client.set("taken", "a string")
    for url in (redis_server, "redis://user:secret-password@127.0.0.1:1/0"):
        endpoint = HookEndpointSettings(url=url, stream="taken")
        async with open_redis_stream(WHERE, endpoint, 5.0, 2, "") as sink:
            with pytest.raises(SinkError) as caught:
                await sink.deliver(Delivery("msg_1", "comment.created", "v", b"{}"))
            assert not caught.value.is_refused
            assert "secret-password" not in str(caught.value)


async def test_a_malformed_url_is_an_error_of_its_setting() -> None:
    endpoint = HookEndpointSettings(url="redis://host/0?socket_timeout=never")
    with pytest.raises(ConfigError, match=r"hooks\.endpoints\.stream\.url"):
        async with open_redis_stream(WHERE, endpoint, 5.0, 2, ""):
            pass
