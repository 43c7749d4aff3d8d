"""The sections of authentication and limits: their forms, and which settings are secret."""

from __future__ import annotations

import re

import msgspec
import pytest

from liveserver.config import load
from liveserver.errors import ConfigError
from tests.auth.harness import NODES


def test_secrets_may_come_from_the_environment_whatever_they_look_like() -> None:
    digits = "1234567890" * 4
    settings = load(None, (), {"LIVESERVER_AUTH__SECRET": digits, "LIVESERVER_AUTH__NODES_SECRET": NODES})
    assert settings.auth.secret is not None
    assert settings.auth.secret.reveal() == digits
    published = load(None, (), {"LIVESERVER_AUTH__PUBLISHERS__SITE__KEY": digits})
    assert published.auth.publishers["site"].key is not None


def test_nothing_is_limited_and_nothing_needs_a_token_by_default() -> None:
    settings = load(None, (), {})
    unlimited = {
        name: value
        for name, value in msgspec.structs.asdict(settings.limits).items()
        if "_per_" in name and name != "videos_per_node"
    }
    assert len(unlimited) > 15
    assert set(unlimited.values()) == {0}
    assert (settings.auth.viewers, settings.auth.publishers) == ("open", {})
    assert settings.auth.require_expiry


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("auth.publishers.Site!.key_file=a", "auth.publishers: the name 'Site!' is not"),
        ('auth.publishers.site.scopes=["watch"]', "auth.publishers.site.scopes[0]: 'watch' is not one of"),
        ("auth.token_cache_size=0", "auth.token_cache_size: 0 is not a whole number, at least 1"),
        ("auth.viewers=", "auth.viewers: '' is not one of"),
        ("limits.viewers_per_video=1.5", "limits.viewers_per_video: 1.5 is not a whole number, at least 0"),
        ("limits.burst=-1s", "limits.burst: '-1s' is not a duration"),
    ],
)
def test_values_of_another_form_are_refused(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(complaint)):
        load(None, [text], {})


def test_a_publishers_key_may_publish_to_all_videos_unless_it_says_otherwise() -> None:
    settings = load(None, ["auth.publishers.site.key_file=site.key"], {})
    publisher = settings.auth.publishers["site"]
    assert (publisher.videos, publisher.scopes) == (["*"], ["publish"])
    assert publisher.key is None
