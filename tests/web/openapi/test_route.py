"""The document at its two addresses, in the version that each is for."""

from __future__ import annotations

from typing import Any

from quart_trio import QuartTrio

from liveserver.web.openapi.route import openapi_blueprint

DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "t", "version": "1", "license": {"name": "MIT", "identifier": "MIT"}},
    "paths": {},
    "components": {"schemas": {"A": {"type": ["string", "null"]}}},
}


async def got(document: dict[str, Any], path: str) -> Any:
    app = QuartTrio("test")
    app.register_blueprint(openapi_blueprint(document))
    answer = await app.test_client().get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["cache-control"] == "no-cache"
    return await answer.get_json()


async def test_the_newest_version_is_the_document_itself_and_the_former_is_converted() -> None:
    assert await got(DOCUMENT, "/openapi.json") == DOCUMENT
    former = await got(DOCUMENT, "/openapi-3.0.json")
    assert former["openapi"] == "3.0.3"
    assert former["components"]["schemas"]["A"] == {"type": "string", "nullable": True}
    assert DOCUMENT["openapi"] == "3.1.0", "it is not changed"


async def test_an_application_without_a_document_has_an_empty_one() -> None:
    assert await got({}, "/openapi.json") == {}
    assert await got({}, "/openapi-3.0.json") == {}
