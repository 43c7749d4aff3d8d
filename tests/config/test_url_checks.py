"""URLs among the settings: refused before anything is opened, without the passwords in them."""

from __future__ import annotations

import pytest

from liveserver.config import load
from liveserver.errors import ConfigError

SETTINGS = {
    "bus.url": ("bus.kind=redis", "bus.url={}"),
    "peers.dc2.url": ("bus.kind=redis", "peers.dc2.url={}"),
    "backend.dispatchers": ('backend.dispatchers=["{}"]',),
    "frontend.dispatchers": ("bus.kind=redis", 'frontend.dispatchers=["{}"]'),
    "review.url": ("review.url={}", "review.secret=0123456789abcdef0123456789abcdef"),
    "recorder.s3_endpoint": ("recorder.s3_endpoint={}", "recorder.s3_bucket=recordings"),
    "auth.jwks": ("auth.jwks={}",),
    "backend.database": ("backend.database={}",),
}
WRONG = ["gopher://me:pa55word@host", "http://me:pa55word@:port", "redis://", "://host", "redis://h:70000"]
GOOD = {
    "bus.url": [
        "redis://h", "rediss://me:p@h:6379/0", "unix:///run/redis.sock", "redis+sentinel://a:1,b/name",
        "redis+cluster://:p@a:7000,b:7001", "redis://[::1]:6379/1",
    ],
    "backend.database": ["likes.db", "postgresql://u:p@h/likes", "postgresql:///likes?host=/run/postgresql",
                         "postgresql+psycopg://h:5432/likes"],
    "backend.dispatchers": ["http://h:8111", "https://d.example", "dns+http://dispatchers:8000"],
    "auth.jwks": ["keys.json", "https://h/keys"],
}  # fmt: skip


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("url", WRONG)
def test_a_malformed_url_is_refused_with_an_example(setting: str, url: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(None, [each.format(url) for each in SETTINGS[setting]], {})
    assert raised.value.where == setting
    assert "://" in str(raised.value)
    assert "pa55word" not in str(raised.value)


@pytest.mark.parametrize(("setting", "url"), [(name, url) for name, urls in GOOD.items() for url in urls])
def test_well_formed_urls_are_accepted(setting: str, url: str) -> None:
    load(None, [each.format(url) for each in SETTINGS[setting]], {})


def test_the_url_of_a_bus_that_is_not_used_does_not_matter() -> None:
    load(None, ["bus.url=nothing"], {})
