"""The sink of an endpoint, by its URL."""

from __future__ import annotations

from pathlib import Path

import pytest

from liveserver.errors import ConfigError
from liveserver.hooks.nats_stream import NatsStream
from liveserver.hooks.redis_stream import RedisStream
from liveserver.hooks.sinks import open_sink
from liveserver.hooks.webhook import Webhook
from tests.hooks.harness import settings

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


async def test_the_scheme_says_what_an_endpoint_is(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET)
    made = settings(
        {
            "site": {"url": "https://example.org/hooks", "secret_file": str(file)},
            "stream": {"url": "rediss://user:pw@host:6379/0"},
            "nats": {"url": "nats://host:4222"},
            "unsigned": {"url": "http://example.org/hooks"},
        }
    )
    async with open_sink("site", made) as webhook, open_sink("stream", made) as stream:
        assert isinstance(webhook, Webhook)
        assert isinstance(stream, RedisStream)
    async with open_sink("nats", made) as nats:
        assert isinstance(nats, NatsStream)
    with pytest.raises(ConfigError, match=r"^hooks\.endpoints\.unsigned\.secret"):
        async with open_sink("unsigned", made):
            pass
