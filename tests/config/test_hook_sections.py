"""The settings of hooks: what is enough, and what is secret."""

from __future__ import annotations

from liveserver import config
from tests.config.test_hook_checks import ROLE, SECRET, URL


def test_an_endpoint_with_a_url_and_a_secret_is_enough() -> None:
    loaded = config.load(None, [ROLE, URL, SECRET], {})
    endpoint = loaded.hooks.endpoints["site"]
    assert endpoint.events == ["video.*", "comment.*", "moderation.*"]
    assert "MfKQ9r8" not in repr(endpoint)
    shown, environment = config.move_secrets([URL, SECRET])
    assert shown == [URL], "command lines are visible to all"
    assert list(environment) == ["LIVESERVER_HOOKS__ENDPOINTS__SITE__SECRET"]
