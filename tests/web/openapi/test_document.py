"""The document is valid, and says what there is: no route more, none less."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import trio
from openapi_spec_validator import OpenAPIV31SpecValidator
from quart_trio import QuartTrio

from liveserver.config import Settings, convert
from liveserver.node.assembly import Node
from liveserver.ops.app import ops_app
from liveserver.web.openapi import ops_document, public_document
from liveserver.web.openapi.components import Json

ROLES = (
    ["frontend"],
    ["dispatcher"],
    ["backend"],
    ["recorder", "dispatcher"],
    ["frontend", "dispatcher"],
    ["frontend", "dispatcher", "backend"],
)


def settings(roles: list[str], directory: Path) -> Settings:
    nobody = ["http://127.0.0.1:1"]
    away = {"dispatchers": nobody if "dispatcher" not in roles else []}
    sections = {
        "node": {"roles": roles},
        "frontend": away,
        "backend": {**away, "directory": str(directory)},
        "bus": {"kind": "memory"},
    }
    return convert(sections, Settings)


def documented(document: Json) -> set[tuple[str, str]]:
    return {(method.upper(), path) for path, item in document["paths"].items() for method in item}


def served(app: QuartTrio) -> set[tuple[str, str]]:
    return {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
        if rule.endpoint != "static" and method not in ("HEAD", "OPTIONS")
    }


@pytest.mark.parametrize("roles", ROLES, ids=",".join)
async def test_each_roles_document_has_just_its_routes(roles: list[str], tmp_path: Path) -> None:
    configured = settings(roles, tmp_path)
    document = public_document(configured, nodes_too=True)
    OpenAPIV31SpecValidator(document).validate()
    with trio.fail_after(60):
        async with Node(configured).opened() as node:
            assert documented(document) == node.router.routes() | served(node.public_app())


def test_the_ops_ports_document_has_just_its_routes() -> None:
    OpenAPIV31SpecValidator(ops_document()).validate()


async def test_the_ops_port_has_just_what_its_document_says() -> None:
    assert documented(ops_document()) == served(ops_app({}, {}, dict))


def test_limits_are_those_of_the_settings(tmp_path: Path) -> None:
    configured = convert(
        {"frontend": {"max_wait": "7s", "poll_events": 9}, "backend": {"max_text": 11}}, Settings
    )
    document = public_document(configured)
    poll = {
        each.get("name"): each for each in document["paths"]["/v1/videos/{video}/poll"]["get"]["parameters"]
    }
    assert poll["wait"]["schema"]["maximum"] == 7
    assert poll["limit"]["schema"]["maximum"] == 9
    comment = document["paths"]["/v1/videos/{video}/comments"]["post"]["requestBody"]["content"]
    assert comment["application/json"]["schema"]["properties"]["text"]["maxLength"] == 11


async def test_the_document_is_served_unchanged() -> None:
    client = ops_app({}, {}, dict).test_client()
    response = await client.get("/openapi.json")
    assert response.headers["content-type"] == "application/json"
    assert await response.get_json() == ops_document()
