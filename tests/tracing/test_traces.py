"""A trace from the request to the writes, over real nodes and a real Redis; and exemplars with its id."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
import trio

from tests.conftest import Until
from tests.processes import NodeProcess, running
from tests.tracing.collector import collecting
from tests.watching import Viewer

pytestmark = [pytest.mark.process, pytest.mark.redis]

PARENT = "00f067aa0ba902b7"


def trace_of(digit: str) -> tuple[str, dict[str, str]]:
    return digit * 32, {"traceparent": f"00-{digit * 32}-{PARENT}-01"}


async def test_a_like_a_comment_and_a_publish_are_traced_to_the_viewers(
    redis_server: str, tmp_path: Path, until: Until
) -> None:
    with collecting() as collector:
        tracing = f"tracing.endpoint={collector.url}"
        dispatcher = NodeProcess("di", "dispatcher", redis_server, tracing)
        where = f'["{dispatcher.url}"]'
        frontend = NodeProcess("fe", "frontend", redis_server, tracing, f"frontend.dispatchers={where}")
        backend = NodeProcess(
            "be",
            "backend",
            redis_server,
            tracing,
            f"backend.dispatchers={where}",
            f"backend.directory={tmp_path}",
        )
        async with running(dispatcher, frontend, backend), trio.open_nursery() as nursery:
            viewers = [Viewer([frontend.url], "v1", how) for how in ("sse", "ws")]
            for viewer in viewers:
                nursery.start_soon(viewer.run, 100)
            for viewer in viewers:
                await viewer.is_ready.wait()
            like, like_headers = trace_of("1")
            comment, comment_headers = trace_of("2")
            publish, publish_headers = trace_of("3")
            async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
                about = f"{backend.url}/v1/videos/v1"
                await client.post(f"{about}/likes", json={}, headers=like_headers)
                await client.post(f"{about}/comments", json={"text": "hi"}, headers=comment_headers)
                events = [{"type": "score", "id": f"e{number}"} for number in range(20)]
                url = f"{dispatcher.url}/v1/videos/v1/events"
                await client.post(url, json=events, headers=publish_headers)
                await client.post(url, json=events[:1], headers={"traceparent": f"00-{'4' * 32}-{PARENT}-00"})
                wanted = {like, comment, publish}

                async def is_delivered() -> bool:
                    return {each.trace for each in collector.spans if each.name == "deliver"} == wanted

                await until(is_delivered)
                open_metrics = {"accept": "application/openmetrics-text"}
                pages = [
                    (await client.get(f"{node.ops_url}/metrics", headers=open_metrics)).text
                    for node in (dispatcher, frontend)
                ]
                plain = (await client.get(f"{frontend.ops_url}/metrics")).text
            nursery.cancel_scope.cancel()
    spans = {span.span: span for span in collector.spans}
    for trace, path in (
        (like, ["deliver", "publish", "outbox publish", "like"]),
        (comment, ["deliver", "publish", "outbox publish", "comment"]),
        (publish, ["deliver", "publish"]),
    ):
        span = next(each for each in spans.values() if (each.trace, each.name) == (trace, "deliver"))
        assert (span.node, span.attributes["viewers"], span.attributes["video"]) == ("fe", 2, "v1")
        for name in path:
            assert (span.name, span.trace) == (name, trace)
            assert span.begun <= span.ended
            parent, span = span.parent, spans.get(span.parent, span)
        assert parent == PARENT
    assert {span.trace for span in spans.values()} == {like, comment, publish}
    assert "liveserver_publish_commit_seconds_bucket" in pages[0]
    traced = [line for line in pages[0].splitlines() if "commit_seconds_bucket" in line and " # {" in line]
    assert traced
    assert all(any(f'trace_id="{trace}"' in line for trace in (like, comment, publish)) for line in traced)
    for page in pages[1:]:
        for metric in ("delay_seconds_bucket", "publish_to_write_seconds_bucket"):
            assert any(metric in line and ' # {trace_id="' in line for line in page.splitlines())
    assert " # {" not in plain
