"""The shared parts of the document, and that its patterns accept just what the server does."""

from __future__ import annotations

import re

import pytest

from liveserver.cursor import Cursor
from liveserver.errors import BadRequest, Conflict, MethodNotAllowed, Problem
from liveserver.event import VIDEO, is_type
from liveserver.state import KEY, MAX_VERSION
from liveserver.web.openapi.components import (
    COMMON_SCHEMAS,
    EVENT_KEY,
    EXACT,
    JSON,
    PROBLEM,
    answer,
    common_responses,
    header,
    problems,
    query,
    record,
    schema,
    whole,
)

TEXTS = [
    "a",
    "A",
    "0",
    "-",
    "a-b",
    "a/b",
    "a.b:c_d",
    "a b",
    "a\n",
    "",
    "é",
    "x" * 32,
    "x" * 33,
    "x" * 128,
    "x" * 129,
]


def accepts(pattern: str, text: str) -> bool:
    """As JSON Schema does: ECMAScript's `$` is the end of the text alone."""
    return re.search(pattern.removesuffix("$") + r"\Z", text) is not None


@pytest.mark.parametrize("text", TEXTS)
def test_patterns_accept_what_the_server_accepts(text: str) -> None:
    assert accepts(COMMON_SCHEMAS["Video"]["pattern"], text) == bool(VIDEO.fullmatch(text))
    assert accepts(COMMON_SCHEMAS["Event"]["properties"]["type"]["pattern"], text) == is_type(text)
    assert accepts(EVENT_KEY["pattern"], text) == bool(KEY.fullmatch(text))
    assert EXACT["maximum"] == MAX_VERSION


def test_the_example_of_a_cursor_is_one() -> None:
    example = COMMON_SCHEMAS["Cursor"]["example"]
    assert str(Cursor.parse(example)) == example


def test_an_answer_without_a_media_type_has_no_body() -> None:
    assert answer("Done") == {"description": "Done"}
    assert answer("It", JSON, schema("A")) == {
        "description": "It",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/A"}}},
    }


def test_each_refusal_refers_to_a_response_that_there_is() -> None:
    refused = problems(503, 400)
    assert list(refused) == ["400", "503"], "in order"
    responses = common_responses()
    for statuses in (refused, {each: {"$ref": f"#/components/responses/{each}"} for each in responses}):
        for each in statuses.values():
            assert each["$ref"].rpartition("/")[2] in responses
    assert all(list(each["content"]) == [PROBLEM] for each in responses.values())


@pytest.mark.parametrize("problem", [BadRequest("x"), Conflict("x"), MethodNotAllowed("PUT", "GET")])
def test_the_problems_that_the_server_has_are_described(problem: Problem) -> None:
    assert f"Problem{problem.status}" in common_responses()


def test_parameters_say_where_they_stand() -> None:
    assert query("a", "A", {"type": "string"}) == {
        "name": "a", "in": "query", "description": "A", "schema": {"type": "string"},
    }  # fmt: skip
    assert header("a", "A", {})["in"] == "header"
    assert whole(0, 9) == {"type": "integer", "minimum": 0, "maximum": 9}
    assert whole(0, 9, 0)["default"] == 0


def test_fields_are_required_unless_they_are_optional() -> None:
    made = record({"a": {}, "b": {}}, "b", closed=True, description="It")
    assert made == {
        "type": "object", "properties": {"a": {}, "b": {}}, "required": ["a"], "additionalProperties": False,
        "description": "It",
    }  # fmt: skip
    assert "additionalProperties" not in record({})
