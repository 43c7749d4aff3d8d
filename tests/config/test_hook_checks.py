"""Settings for hooks that do not fit together."""

from __future__ import annotations

import pytest

from liveserver import config
from liveserver.config.hook_checks import matches
from liveserver.errors import ConfigError

SITE = "hooks.endpoints.site."
URL = f"{SITE}url=https://example.org/hooks"
SECRET = f"{SITE}secret=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ROLE = 'node.roles=["frontend","dispatcher","hooks"]'


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([ROLE], r"^hooks\.endpoints: are missing"),
        ([URL], r"^hooks\.endpoints\.site\.secret_file: is missing"),
        (
            [f"{SITE}url=ftp://example.org", SECRET],
            r"^hooks\.endpoints\.site\.url: .*is not a URL like https",
        ),
        ([f"{SITE}url=https://", SECRET], r"^hooks\.endpoints\.site\.url: .*is not a URL"),
        ([f"{SITE}url=https://ada:pw@example.org/", SECRET], r"^hooks\.endpoints\.site\.url: has a user"),
        ([f"{SITE}url=redis://host/0", SECRET], r"^hooks\.endpoints\.site\.secret: is for webhooks only"),
        (
            [URL, SECRET, f'{SITE}events=["comment.made"]'],
            r"events: there is no comment\.made; there are video",
        ),
        ([URL, SECRET, f'{SITE}events=["event.like"]'], r"events: event\.like is kept too briefly"),
        ([URL, SECRET, f'{SITE}events=["Comment"]'], r"events.*a kind of message like"),
        ([URL, SECRET, f"{SITE}events=[]"], r"^hooks\.endpoints\.site\.events: "),
        ([URL, SECRET, f"{SITE}ulr=x"], r"^hooks\.endpoints\.site\.ulr: .*did you mean url"),
        ([URL, SECRET, "hooks.interval=2m"], r"^hooks\.interval: is 0, or over a tenth"),
        ([URL, SECRET, "hooks.lease=1s"], r"^hooks\.lease: is under 3s"),
        ([URL, SECRET, "hooks.retry_min=1h"], r"^hooks\.retry_min: is over hooks\.retry_max"),
        ([URL, SECRET, "hooks.retry_max=2d"], r"^hooks\.retry_max: is over hooks\.give_up_after"),
        (['node.roles=["hooks"]', URL, SECRET], r"^node\.roles: hooks without a dispatcher need"),
    ],
)
def test_invalid_settings_are_reported_by_name(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        config.load(None, overrides, {})
    assert "MfKQ9r8" not in str(caught.value)
    assert "pw" not in str(caught.value)


def test_patterns_are_names_prefixes_or_all() -> None:
    assert matches("*", "x")
    assert matches("comment.*", "comment.created")
    assert not matches("comment.*", "comments.created")
    assert not matches("comment.created", "comment.created.x")
