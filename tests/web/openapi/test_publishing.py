"""Operations of dispatchers: their bodies are those that the parser accepts."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from liveserver.config import DispatcherSettings, convert
from liveserver.dispatcher.parse import MAX_NAME, Parser
from liveserver.errors import BadRequest
from liveserver.event import RESERVED_TYPES
from liveserver.web.openapi.components import COMMON_SCHEMAS
from liveserver.web.openapi.publishing import SCHEMAS, paths, schemas

DOCUMENT = {"components": {"schemas": {**COMMON_SCHEMAS, **SCHEMAS}}}


def described(name: str, body: Any) -> bool:
    schema = {"$ref": f"#/components/schemas/{name}", **DOCUMENT}
    return bool(jsonschema.Draft202012Validator(schema).is_valid(body))


@pytest.mark.parametrize(
    ("body", "is_accepted"),
    [
        ({"type": "like"}, True),
        ({"type": "like", "user": None, "data": [1], "id": "i" * MAX_NAME}, True),
        ({"type": "like", "id": "i" * (MAX_NAME + 1)}, False),
        ({"type": "like", "id": ""}, False),
        ({"type": "like", "user": "u" * (MAX_NAME + 1)}, False),
        ({"type": "Like"}, False),
        ({"type": "e" * 33}, False),
        *[({"type": kind}, False) for kind in sorted(RESERVED_TYPES)],
        ({"type": "score", "key": "score/home", "version": 2**53 - 1, "data": 1}, True),
        ({"type": "score", "key": "score/home", "version": 2**53, "data": 1}, False),
        ({"type": "score", "key": "Score"}, False),
        ({"type": "like", "position": -1}, False),
        ({"type": "like", "colour": "red"}, False),
        ({}, False),
    ],
)
async def test_an_event_is_described_as_it_is_parsed(body: dict[str, Any], is_accepted: bool) -> None:
    assert described("Publication", body) is is_accepted
    try:
        await Parser(DispatcherSettings()).parse(json.dumps(body).encode(), "application/json", "v")
    except BadRequest:
        assert not is_accepted
    else:
        assert is_accepted


def test_an_event_names_its_video_where_the_path_does_not() -> None:
    assert described("PublicationOf", {"type": "like", "video": "v"})
    assert not described("PublicationOf", {"type": "like"})
    assert not described("PublicationOf", {"type": "like", "video": "-v"})
    assert described("Retraction", {"type": "retract", "video": "v", "data": {"id": "x"}})
    assert not described("Retraction", {"type": "like", "video": "v"})


def test_as_many_events_as_the_settings_say() -> None:
    found = schemas(convert({"max_events": 7}, DispatcherSettings))
    for path in ("/v1/videos/{video}/events", "/v1/events", "/v1/retractions"):
        body = paths()[path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        one, several = found[body["$ref"].rpartition("/")[2]]["anyOf"]
        assert (several["minItems"], several["maxItems"], several["items"]) == (1, 7, one)
