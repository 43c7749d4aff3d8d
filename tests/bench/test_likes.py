"""The bench's publisher reads answers however they come."""

from __future__ import annotations

import json

import pytest

from bench.likes import LIKE, is_whole, publish_request

ANSWER = b'HTTP/1.1 202 Accepted\r\nContent-Length: 14\r\n\r\n{"accepted":1}'


@pytest.mark.parametrize("cut", range(len(ANSWER)))
def test_an_answer_is_whole_only_with_its_last_byte(cut: int) -> None:
    assert not is_whole(ANSWER[:cut])
    assert is_whole(ANSWER)


@pytest.mark.parametrize("batch", [1, 100])
def test_a_request_promises_the_body_it_has(batch: int) -> None:
    head, _, body = publish_request(batch).partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert json.loads(body) == (LIKE if batch == 1 else [LIKE] * batch)
