"""What a dispatcher's refusal is in a log: its address, its status, its reason."""

from __future__ import annotations

import httpx
import pytest

from liveserver.dispatcher_client.refusals import MAX_DETAIL, describe_refusal, problem_detail


def test_the_detail_of_a_problem_is_in_the_error() -> None:
    answer = httpx.Response(503, content=b'{"type":"about:blank","detail":"Redis is away"}')
    assert describe_refusal("http://di1", answer) == "http://di1 answered 503: Redis is away"


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b'{"detail":1}', b"\xff", b"[" * 100_000])
def test_other_answers_have_no_detail(content: bytes) -> None:
    answer = httpx.Response(502, content=content)
    assert problem_detail(answer) == ""
    assert describe_refusal("http://di1", answer) == "http://di1 answered 502"


def test_a_detail_is_bounded() -> None:
    answer = httpx.Response(500, json={"detail": "x" * 10_000})
    assert problem_detail(answer) == "x" * MAX_DETAIL


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_node_is_shown_what_to_look_at(status: int) -> None:
    assert "auth.nodes_secret" in describe_refusal("http://di1", httpx.Response(status))
