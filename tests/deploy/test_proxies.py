"""nginx, HAProxy and Caddy in front of liveserver, as `config/deploy` has them, also during outages."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import httpx
import pytest
import trio

from tests.deploy.harness import HOST, MACHINES, READY, Proxy, Upstream, program, run_proxy
from tests.processes import NodeProcess
from tests.processes import running as start_nodes

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

EVENTS = "/v1/videos/v/events"
EVENT_STREAM = ("accept", "text/event-stream")
LEAST, MOST = 1500, 4500  # milliseconds until EventSource reconnects


@pytest.fixture(params=["nginx", "haproxy", "caddy"])
def name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if program(name) is None:
        pytest.skip(f"there is no {name} here")
    return name


@pytest.fixture
async def running(name: str, tmp_path: Path) -> AsyncIterator[tuple[Proxy, trio.Nursery]]:
    async with run_proxy(name, tmp_path) as both:
        yield both


@pytest.fixture
def proxy(running: tuple[Proxy, trio.Nursery]) -> Proxy:
    return running[0]


@pytest.fixture
def nursery(running: tuple[Proxy, trio.Nursery]) -> trio.Nursery:
    return running[1]


def assert_reconnects(body: bytes) -> None:
    """What keeps EventSource alive, in the form of liveserver's own."""
    match = re.fullmatch(rb"retry: (\d+)\nevent: bye\ndata: (\{.*\})\n\n", body)
    assert match, body
    assert LEAST <= int(match[1]) <= MOST
    assert json.loads(match[2]) == {"reason": "unavailable", "reconnect": True}


async def test_a_stream_begins_at_once(proxy: Proxy) -> None:
    answer = await proxy.ask("GET", EVENTS, EVENT_STREAM)
    assert (answer.status, answer.body) == (200, READY)


async def test_host_keeps_its_port_and_the_address_is_the_clients(proxy: Proxy) -> None:
    forged = (("x-forwarded-for", "203.0.113.9"), ("x-request-id", "forged"))
    assert (await proxy.ask("GET", "/v1/videos/v/viewers", *forged)).status == 200
    [request] = [each for upstream in proxy.upstreams for each in upstream.seen]
    headers = dict(request.headers)
    assert headers[b"host"] == f"{HOST}:{proxy.port}".encode()
    assert headers[b"x-forwarded-for"] == b"127.0.0.1"
    assert len(headers[b"x-request-id"]) >= 32


async def test_with_every_server_down_streams_reconnect_and_all_else_is_503(proxy: Proxy) -> None:
    for upstream in proxy.upstreams:
        upstream.stop()
    with trio.fail_after(60):
        stream = await proxy.ask("GET", EVENTS, EVENT_STREAM, ("origin", "https://elsewhere.example"))
        assert (stream.status, stream.headers["content-type"]) == (200, "text/event-stream")
        assert_reconnects(stream.body)
        assert stream.headers["access-control-allow-origin"] == "https://elsewhere.example"
        assert "no-store" in stream.headers["cache-control"]
        assert_reconnects((await proxy.ask("GET", EVENTS + "?cursor=dc1-a-1")).body)
        for method, target, headers, body in (
            ("GET", "/v1/videos/v/poll", (), b""),
            ("POST", EVENTS, (), b'{"type":"like"}'),
            ("GET", EVENTS, (("accept", "application/x-ndjson"),), b""),
        ):
            answer = await proxy.ask(method, target, *headers, body=body)
            assert answer.status in (502, 503, 504), (method, target)
            assert answer.headers["content-type"] == "application/problem+json"
            assert int(answer.headers["retry-after"]) > 0
            assert json.loads(answer.body)["status"] == answer.status


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_a_servers_own_failure_lets_streams_reconnect_and_passes_elsewhere(
    proxy: Proxy, status: int
) -> None:
    for upstream in proxy.upstreams:
        upstream.answer = lambda _request: status
    stream = await proxy.ask("GET", EVENTS, EVENT_STREAM)
    assert stream.status == 200
    assert_reconnects(stream.body)
    poll = await proxy.ask("GET", "/v1/videos/v/poll")
    assert (poll.status, poll.body) == (status, b"{}"), "what liveserver says passes as it is"


async def test_a_server_that_closes_without_an_answer_lets_streams_reconnect(proxy: Proxy) -> None:
    for upstream in proxy.upstreams:
        upstream.answer = lambda _request: 0
    stream = await proxy.ask("GET", EVENTS, EVENT_STREAM)
    assert stream.status == 200
    assert_reconnects(stream.body)


async def test_a_refusal_stays_one(proxy: Proxy) -> None:
    for status in (400, 401, 403, 404):
        for upstream in proxy.upstreams:
            upstream.answer = lambda _request, status=status: status  # type: ignore[misc]
        assert (await proxy.ask("GET", EVENTS, EVENT_STREAM)).status == status


@pytest.mark.parametrize("dead", [0, 1])
async def test_a_dead_server_is_not_chosen(proxy: Proxy, dead: int) -> None:
    proxy.upstreams[dead].stop()
    for _ in range(6):
        assert (await proxy.ask("GET", EVENTS, EVENT_STREAM)).body == READY
        assert (await proxy.ask("GET", "/v1/videos/v/poll")).status == 200


async def test_after_an_outage_it_is_as_before(proxy: Proxy, nursery: trio.Nursery) -> None:
    for upstream in proxy.upstreams:
        upstream.stop()
    assert_reconnects((await proxy.ask("GET", EVENTS, EVENT_STREAM)).body)
    for upstream in proxy.upstreams:
        upstream.start(nursery)
    with trio.fail_after(60):
        while (await proxy.ask("GET", EVENTS, EVENT_STREAM)).body != READY:  # noqa: ASYNC110
            await trio.sleep(0.2)  # between two attempts of a client


INNER = [
    "/v1/leases",
    "/v1/leases/withdraw",
    "/v1/retractions",
    "/v1/retractions?a=b",
    "/v1/retraction%73",
    "/v1/%6ceases",
    "/%76%31/leases",
    "/v1%2fretractions",
    "/v1%2Fleases%2Fwithdraw",
    "/v1/lease%73/withdraw",
]


async def test_node_only_routes_are_not_reachable_from_outside(proxy: Proxy) -> None:
    """However they are written, if liveserver would read them as such."""
    for target in INNER:
        assert (await proxy.ask("POST", target, body=b"{}")).status == 404, target
    assert [each for upstream in proxy.upstreams for each in upstream.seen] == []


async def test_sigterm_ends_it_with_a_stream_open(proxy: Proxy) -> None:
    async with await proxy.connect() as stream:
        assert (await proxy.exchange(stream, "GET", EVENTS, EVENT_STREAM)).body == READY
        with trio.fail_after(60):
            await proxy.end()


@pytest.mark.parametrize("name", ["nginx"], indirect=True)
async def test_too_many_connections_of_an_address_let_streams_reconnect(name: str, tmp_path: Path) -> None:
    edit = ("limit_conn viewers 100", "limit_conn viewers 1")
    async with run_proxy(name, tmp_path, edit) as (proxy, _), await proxy.connect() as stream:
        assert (await proxy.exchange(stream, "GET", EVENTS, EVENT_STREAM)).body == READY
        second = await proxy.ask("GET", EVENTS, EVENT_STREAM)
        assert second.status == 200
        assert_reconnects(second.body)
        poll = await proxy.ask("GET", "/v1/videos/v/poll")
        assert poll.status == 429
        assert poll.headers["content-type"] == "application/problem+json"
        assert int(poll.headers["retry-after"]) > 0


async def test_a_real_node_delivers_and_accepts_the_pages_websocket(name: str, tmp_path: Path) -> None:
    node = NodeProcess(
        "behind",
        'frontend","dispatcher',
        "redis://127.0.0.1:1/0",
        "bus.kind=memory",
        f'edge.allow_hosts=["{HOST}"]',
        "frontend.compression=gzip",
    )
    upstreams = [Upstream(host, node.port, node.ops_port) for host in MACHINES]
    async with (
        start_nodes(node),
        run_proxy(name, tmp_path, upstreams=upstreams) as (proxy, _),
        await proxy.connect() as watching,
    ):
        first = await proxy.exchange(watching, "GET", EVENTS, EVENT_STREAM)
        assert b"event: ready" in first.body
        accepted = await proxy.ask("POST", EVENTS, body=b'{"type":"like","id":"l1"}')
        assert accepted.status == 202
        with trio.fail_after(60):
            received = b""
            while b'"id":"l1"' not in received:
                received += await watching.receive_some()
            likes = b'[{"type":"like","id":"l2"},{"type":"like","id":"l3"}]'
            await trio.to_thread.run_sync(
                _read_compressed, proxy, partial(proxy.ask, "POST", EVENTS, body=likes)
            )
        for target in INNER:
            assert (await proxy.ask("POST", target, body=b"[]")).status == 404, target
        for origin, status in ((f"https://{HOST}:{proxy.port}", 101), (f"https://{HOST}", 403)):
            upgraded = await proxy.ask(
                "GET",
                "/v1/ws",
                ("connection", "upgrade"),
                ("upgrade", "websocket"),
                ("sec-websocket-version", "13"),
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
                ("origin", origin),
            )
            assert upgraded.status == status, origin


def _read_compressed(proxy: Proxy, publish: Callable[[], Awaitable[object]]) -> None:
    """Read what was published before, and what is published meanwhile, from a compressed stream."""
    with (
        httpx.Client(verify=proxy.context, timeout=60) as client,
        client.stream(
            "GET",
            f"https://127.0.0.1:{proxy.port}{EVENTS}?cursor=earliest",
            headers={"accept": "text/event-stream", "host": f"{HOST}:{proxy.port}"},
            extensions={"sni_hostname": HOST},
        ) as stream,
    ):
        assert stream.headers["content-encoding"] == "gzip"
        texts, found = stream.iter_text(), ""
        while '"id":"l1"' not in found:
            found += next(texts)
        trio.from_thread.run(publish)
        while '"id":"l3"' not in found:
            found += next(texts)
