"""The edge answers the page, the client and the interface's description itself, as the application would."""

from __future__ import annotations

from pathlib import Path

import pytest

from liveserver.config import Settings, convert
from liveserver.edge.request import Request
from liveserver.node.assembly import Node
from liveserver.web.page import documents


class NoPeer:
    """Pages want nothing of the client."""


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(
        convert({"backend": {"directory": str(tmp_path)}, "node": {"roles": ["dispatcher"]}}, Settings)
    )


async def test_each_document_is_answered_as_the_application_does(node: Node) -> None:
    app = node.public_app()
    client = app.test_client()
    for path in [*documents(), "/openapi.json", "/?frontends=http://a:1,http://b&src=https://c/d"]:
        request = Request(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        handler = node.router.match(request)
        assert handler is not None
        answer = await handler(request, NoPeer())  # type: ignore[arg-type]
        assert isinstance(answer, bytes)
        head, _, body = answer.partition(b"\r\n\r\n")
        lines = [line.split(": ", 1) for line in head.decode().split("\r\n")[1:]]
        headers = {name: value for name, value in lines if name not in ("date", "vary")}
        theirs = await client.get(path)
        assert body == await theirs.get_data()
        if path == "/openapi.json":
            del headers["etag"]
        for name, value in headers.items():
            assert theirs.headers[name] == value


def test_the_edge_knows_which_paths_the_application_has(node: Node) -> None:
    node.public_app()
    known = node.is_known_path
    assert not known("/nothing")
    assert not known("/page/a/b")
    assert not known("/v1/videos/v/nothing")
    assert not known("/static/liveserver.js")
    assert known("/page/page.js")
    assert known("/openapi.json")
    for number in range(3_000):
        assert not known(f"/{number}")
