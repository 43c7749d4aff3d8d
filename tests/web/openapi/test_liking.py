"""Operations of likes backends: their bodies are those that the routes accept."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import msgspec
import pytest

from liveserver.backend.likes import MAX_PAGE, CommentBody, LikeBody
from liveserver.config import BackendSettings, convert
from liveserver.web.openapi.liking import SCHEMAS, SUMMARY_SCHEMAS, paths, summary_paths

LIKES: list[Any] = [{}, {"reaction": "wow"}, {"user": "u" * 128}, {"user": None, "position": 0}]
NO_LIKES: list[Any] = [
    [],
    {"user": "u" * 129},
    {"likes": 2},
    {"position": -1},
    {"position": 2**53},
    {"user": 3},
]


def accepted(body: Any, kind: Any, schema: Any) -> tuple[bool, bool]:
    """Whether the route's type and the document's schema accept a body."""
    try:
        msgspec.convert(body, kind)
        by_type = True
    except msgspec.ValidationError:
        by_type = False
    return by_type, jsonschema.Draft202012Validator(schema).is_valid(body)


@pytest.mark.parametrize(
    ("body", "is_like"), [(each, True) for each in LIKES] + [(each, False) for each in NO_LIKES]
)
def test_a_like_is_what_the_route_takes(body: Any, is_like: bool) -> None:
    assert accepted(body, LikeBody, SCHEMAS["Like"]) == (is_like, is_like)


def test_a_comments_text_is_bounded_by_the_settings() -> None:
    operations = paths(convert({"max_text": 11}, BackendSettings))["/v1/videos/{video}/comments"]
    schema = operations["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert accepted({"text": "x" * 11}, CommentBody, schema) == (True, True)
    assert not jsonschema.Draft202012Validator(schema).is_valid({"text": "x" * 12})
    assert accepted({"text": "x", "at": 1}, CommentBody, schema) == (False, False)
    assert accepted({}, CommentBody, schema) == (False, False)


def test_a_page_of_comments_is_bounded_as_the_route_does() -> None:
    operation = summary_paths()["/v1/videos/{video}/comments"]["get"]
    limit = next(each["schema"] for each in operation["parameters"] if each.get("name") == "limit")
    assert (limit["minimum"], limit["maximum"], limit["default"]) == (1, MAX_PAGE, 50)


def test_frontends_have_what_the_summary_refers_to() -> None:
    references = set(re.findall(r"#/components/schemas/(\w+)", f"{summary_paths()} {SUMMARY_SCHEMAS}"))
    assert references <= set(SUMMARY_SCHEMAS)
