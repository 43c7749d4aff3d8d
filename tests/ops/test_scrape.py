"""Metrics that the edge answers by itself."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from liveserver.edge.request import Request
from liveserver.edge.router import Router
from liveserver.errors import Unauthorized
from liveserver.ops.scrape import MetricsRoute
from tests.ops.test_app import EDGE, IDENTITY

TEXT, OPEN = "text/plain; version=", "application/openmetrics-text; version=1.0.0"


def admit(headers: Mapping[bytes, bytes]) -> None:
    if headers.get(b"authorization") != b"Bearer k":
        raise Unauthorized("a key is needed", is_invalid=False)


async def ask(route: MetricsRoute, *lines: str) -> tuple[str, str]:
    """Return the content type and the text."""
    router = Router()
    route.add_to(router)
    request = Request("\r\n".join(["GET /metrics?x=1 HTTP/1.1", "Host: x", *lines, "", ""]).encode())
    handler = router.match(request)
    assert handler is not None
    answer = await handler(request, None)  # type: ignore[arg-type]
    assert isinstance(answer, bytes)
    head, _, text = answer.decode().partition("\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
    assert head.startswith("HTTP/1.1 200 ")
    assert int(fields["content-length"]) == len(text.encode())
    return fields["content-type"], text


async def test_metrics_are_those_of_the_parts_at_each_request() -> None:
    parts = {"edge": lambda: EDGE}
    route = MetricsRoute(parts, IDENTITY, admit)
    content_type, text = await ask(route, "Authorization: Bearer k")
    assert content_type.startswith(TEXT)
    families = {each.name: each for each in text_string_to_metric_families(text)}
    assert families["liveserver_edge_connections"].samples[0].value == 3
    assert families["liveserver_node_info"].samples[0].labels["node"] == "dc1-fe1"
    parts.clear()
    assert "liveserver_edge" not in (await ask(route, "Authorization: Bearer k"))[1]


async def test_openmetrics_where_that_is_accepted() -> None:
    route = MetricsRoute({"edge": lambda: EDGE}, IDENTITY, admit)
    accept = "Accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2"
    content_type, text = await ask(route, "Authorization: Bearer k", accept)
    assert content_type.startswith(OPEN)
    families = {each.name for each in openmetrics.text_string_to_metric_families(text)}  # type: ignore[no-untyped-call]
    assert "liveserver_edge_requests" in families


async def test_without_the_key_there_are_none() -> None:
    with pytest.raises(Unauthorized):
        await ask(MetricsRoute({}, IDENTITY, admit))
