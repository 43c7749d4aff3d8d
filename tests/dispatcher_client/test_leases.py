"""Leases from the dispatchers: the reason of a refusal is in the log and in readiness."""

from __future__ import annotations

import httpx
import pytest
import structlog

from liveserver.auth.nodes import UNSIGNED
from liveserver.dispatcher_client.addresses import DispatcherAddresses
from liveserver.dispatcher_client.leases import LeaseClient
from liveserver.errors import DispatcherError

AWAY = {"type": "about:blank", "status": 503, "detail": "Redis is unavailable: the subscription table …"}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            httpx.Response(503, json=AWAY),
            "http://a answered 503: Redis is unavailable: the subscription table …",
        ),
        (httpx.Response(502, text="<html>"), "http://a answered 502"),
        (httpx.Response(503, content=b"\xff" * 9), "http://a answered 503"),
        (httpx.Response(503, json={"detail": "x" * 9999}), f"http://a answered 503: {'x' * 300}"),
    ],
)
async def test_why_a_dispatcher_refuses_is_logged_and_raised(answer: httpx.Response, said: str) -> None:
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer)) as client:
        leases = LeaseClient(client, DispatcherAddresses(["http://a"]), UNSIGNED)
        with (
            structlog.testing.capture_logs() as lines,
            pytest.raises(DispatcherError) as raised,
        ):
            await leases.renew_leases("n", {"v": 1}, 30)
    assert str(raised.value).endswith(said)
    assert lines == [{"event": "dispatcher_request_failed", "log_level": "warning", "reason": said}]
