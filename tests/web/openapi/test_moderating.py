"""Operations of moderation: the bounds of their bodies and pages are the routes' own."""

from __future__ import annotations

from typing import Any

import jsonschema
import msgspec
import pytest

from liveserver.moderation.acts import MAX_REASON
from liveserver.moderation.routes import (
    MAX_PAGE,
    MAX_TEXT,
    MAX_USER,
    AnnouncementBody,
    BanBody,
    PinBody,
    SettingsBody,
)
from liveserver.moderation.rules import MAX_SLOW, SITE, VideoSettings
from liveserver.web.openapi.moderating import (
    SCHEMAS,
    SETTINGS_SCHEMAS,
    operation,
    paths,
    review_paths,
    settings_paths,
)


@pytest.mark.parametrize(
    ("name", "kind", "body", "is_accepted"),
    [
        ("Ban", BanBody, {}, True),
        ("Ban", BanBody, {"until": None, "reason": "r" * MAX_REASON}, True),
        ("Ban", BanBody, {"reason": "r" * (MAX_REASON + 1)}, False),
        ("Ban", BanBody, {"until": -1}, False),
        ("Ban", BanBody, {"until": 2**53}, False),
        ("Ban", BanBody, {"unti": 1}, False),
        ("Pin", PinBody, {"comment": "c"}, True),
        ("Pin", PinBody, {"text": "t" * MAX_TEXT}, True),
        ("Pin", PinBody, {"text": "t" * (MAX_TEXT + 1)}, False),
        ("Announcement", AnnouncementBody, {"text": "t" * MAX_TEXT}, True),
        ("Announcement", AnnouncementBody, {"text": "t" * (MAX_TEXT + 1)}, False),
        ("Announcement", AnnouncementBody, {"text": ""}, False),
        ("Announcement", AnnouncementBody, {}, False),
        ("SettingsChange", SettingsBody, {}, True),
        ("SettingsChange", SettingsBody, {"review": True}, True),
        ("SettingsChange", SettingsBody, {"colour": "red"}, False),
    ],
)
def test_bodies_are_accepted_as_by_the_routes(name: str, kind: Any, body: Any, is_accepted: bool) -> None:
    assert jsonschema.Draft202012Validator(SCHEMAS[name]).is_valid(body) is is_accepted
    try:
        msgspec.convert(body, kind)
    except msgspec.ValidationError:
        assert not is_accepted
    else:
        assert is_accepted


@pytest.mark.parametrize(
    ("settings", "is_valid"),
    [
        ({"comments": "open", "slow": 1, "likes": "closed", "review": False}, True),
        ({"comments": "slow", "slow": MAX_SLOW, "likes": "open", "review": True}, True),
        ({"comments": "slow", "slow": MAX_SLOW + 1, "likes": "open", "review": True}, False),
        ({"comments": "shut", "slow": 1, "likes": "open", "review": True}, False),
        ({"comments": "open", "slow": 0, "likes": "open", "review": True}, False),
        ({"comments": "open", "slow": 1, "likes": "slow", "review": True}, False),
    ],
)
def test_settings_are_those_that_there_are(settings: dict[str, Any], is_valid: bool) -> None:
    assert jsonschema.Draft202012Validator(SETTINGS_SCHEMAS["Settings"]).is_valid(settings) is is_valid
    try:
        msgspec.convert(settings, VideoSettings)
    except msgspec.ValidationError:
        assert not is_valid
    else:
        assert is_valid


def test_pages_and_users_have_the_routes_bounds() -> None:
    listed = paths()["/v1/videos/{video}/bans"]["get"]["parameters"]
    limit = next(each["schema"] for each in listed if each["name"] == "limit")
    assert (limit["maximum"], limit["default"]) == (MAX_PAGE, 100)
    user = paths()["/v1/videos/{video}/bans/{user}"]["put"]["parameters"][1]
    assert user["schema"]["maxLength"] == MAX_USER
    assert SITE != "*"


def test_operations_have_bodies_and_answers_as_given() -> None:
    made = operation("a", "A", {"name": "x"}, body="Ban", status_204={"description": "Done"})
    assert made["requestBody"]["required"]
    assert made["responses"] == {"204": {"description": "Done"}}
    assert "requestBody" not in operation("a", "A")
    names = [
        each["operationId"]
        for several in (paths(), review_paths(), settings_paths())
        for item in several.values()
        for each in item.values()
    ]
    assert len(names) == len(set(names))
