"""Which settings are kept off a command line."""

from __future__ import annotations

import pytest

from liveserver.config import load, move_secrets


@pytest.mark.parametrize(
    "secret",
    [
        "auth.secret=0123456789012345678901234567890123",
        "auth.nodes_secret={not-a-table-but-a-secret-of-32-letters}",
        "auth.ops_key=k",
        "auth.publishers.site.key=k",
        'auth.publishers={ Site = { key = "k" } }',
        "bus.url=redis://user:pa55word@host/0",
        "backend.database=postgresql://me:pa55word@host/likes",
        "backend.database=postgresql://host/likes?password=pa55word",
        "peers.dc2.url=rediss://:pa55word@host/0",
    ],
)
def test_secret_overrides_move_to_the_environment(secret: str) -> None:
    more = ["bus.kind=redis", "node.drain_timeout=1s"]
    plain, environment = move_secrets([*more, secret])
    assert plain == more
    assert len(environment) == 1
    assert load(None, plain, environment) == load(None, [*more, secret], {})


@pytest.mark.parametrize(
    "override",
    ["auth.secret_file=a", "auth.viewers=token", "bus.url=redis://host/0", "auth.publishers.Site.key=k"],
)
def test_other_overrides_stay_on_the_command_line(override: str) -> None:
    assert move_secrets([override]) == ([override], {})
