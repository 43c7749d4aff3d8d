"""Operations for a site's servers: bodies and pages are those of the routes."""

from __future__ import annotations

from typing import Any

import jsonschema
import msgspec
import pytest

from liveserver.config import AuthSettings, convert
from liveserver.site.routes import MAX_PAGE, MAX_USER, RevocationBody
from liveserver.web.openapi.site import paths

USERS, TOKENS = "/v1/revocations/users/{user}", "/v1/revocations/tokens/{jti}"


@pytest.mark.parametrize(
    ("body", "is_accepted"),
    [
        ({}, True),
        ({"until": 5}, True),
        ({"until": None, "before": 2**53 - 1}, True),
        ({"before": 2**53}, False),
        ({"until": -1}, False),
        ({"since": 1}, False),
        ([], False),
    ],
)
def test_a_revocation_is_what_the_route_takes(body: Any, is_accepted: bool) -> None:
    schema = paths(AuthSettings())[USERS]["put"]["requestBody"]["content"]["application/json"]["schema"]
    assert jsonschema.Draft202012Validator(schema).is_valid(body) is is_accepted
    try:
        msgspec.convert(body, RevocationBody)
    except msgspec.ValidationError:
        assert not is_accepted
    else:
        assert is_accepted


def test_a_single_token_has_no_time_before_which_it_was_issued() -> None:
    schema = paths(AuthSettings())[TOKENS]["put"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(schema["properties"]) == {"until"}


def test_the_longest_revocation_is_the_settings() -> None:
    found = paths(convert({"revocation_ttl": "90s"}, AuthSettings))[USERS]["put"]
    schema = found["requestBody"]["content"]["application/json"]["schema"]
    assert "at most 90 s" in schema["properties"]["until"]["description"]


def test_pages_of_users_have_the_routes_bounds() -> None:
    listed = paths(AuthSettings())["/v1/videos/{video}/users"]["get"]["parameters"]
    found = {each["name"]: each["schema"] for each in listed if "name" in each}
    assert found["limit"]["maximum"] == MAX_PAGE
    assert found["after"]["maxLength"] == MAX_USER
    user = next(each for each in paths(AuthSettings())[USERS]["put"]["parameters"])
    assert user["schema"]["maxLength"] == MAX_USER


def test_lifting_needs_no_body_and_all_take_an_operators_key() -> None:
    for path in (USERS, TOKENS):
        item = paths(AuthSettings())[path]
        assert "requestBody" not in item["delete"]
        for operation in item.values():
            assert {"operator": []} in operation["security"]
