from __future__ import annotations

import gzip
from typing import Any

import msgspec
import pytest
from trio.testing import MockClock, wait_all_tasks_blocked

from liveserver.edge.response import HEAD_END, json_response
from liveserver.frontend.delivery import compressed_answers
from liveserver.frontend.delivery.compressed_answers import MAX_ANSWERS, CompressedAnswers
from liveserver.transport.compression import MAX_SIZE
from tests.frontend.harness import Client, settings, stage

GZIP = "accept-encoding: gzip"


def test_an_answer_is_compressed_with_its_length() -> None:
    body = b"[" + b"1," * 500 + b"1]"
    head, _, zipped = CompressedAnswers(100).compress(json_response(200, body)).partition(HEAD_END)
    assert gzip.decompress(zipped) == body
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 200 OK"
    assert [line for line in lines if line.startswith(b"content-length")] == [
        b"content-length: %d" % len(zipped)
    ]
    assert {b"content-encoding: gzip", b"vary: accept-encoding", b"content-type: application/json"} < {*lines}


@pytest.mark.parametrize("size", [99, MAX_SIZE])
def test_small_and_huge_answers_stay_as_they_are(size: int) -> None:
    response = CompressedAnswers(100).compress(json_response(200, b"1" * size))
    assert b"content-encoding" not in response
    assert b"vary: accept-encoding\r\n" in response
    assert response.endswith(HEAD_END + b"1" * size)


def test_few_are_kept() -> None:
    answers = CompressedAnswers(100)
    for number in range(2 * MAX_ANSWERS):
        answers.compress(json_response(200, b"%200d" % number))
    assert len(answers._known) == MAX_ANSWERS


async def body(client: Client, *, is_zipped: bool) -> Any:
    head = await client.head()
    assert ("content-encoding: gzip" in head) is is_zipped
    assert head.count("vary: accept-encoding") == 1
    client.raw = head.encode() + HEAD_END + client.raw
    found = await client.body()
    return msgspec.json.decode(gzip.decompress(found) if is_zipped else found)


async def test_waiting_polls_share_one_compressed_answer(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[bytes] = []

    def counting(data: bytes) -> bytes:
        made.append(data)
        return gzip.compress(data)

    monkeypatch.setattr(compressed_answers, "gzip_document", counting)
    async with stage(settings(frontend={"compression": "gzip"})) as on:
        receipt = await on.publish(1)
        path = f"/v1/videos/v/poll?cursor=dc1-{receipt.epoch}-"
        clients = [on.connect() for _ in range(6)]
        for client in clients[1:5]:
            await client.get(f"{path}1", GZIP)
        await clients[0].get(f"{path}1")
        await clients[5].get(f"{path}1~dc2-zzzzz-7", GZIP)  # withholds: its answer is its own
        await wait_all_tasks_blocked()
        await on.publish(20)
        answers = [await body(client, is_zipped=True) for client in clients[1:5]]
        assert answers == [await body(clients[0], is_zipped=False)] * 4
        assert [event["n"] for event in answers[0]["events"]] == list(range(2, 22))
        assert "content-encoding" not in await clients[5].head()
        assert len(made) == 1
        for client in clients[:2]:  # at once, on the same connection
            await client.get(f"{path}1", *([GZIP] if client is clients[1] else []))
        assert await body(clients[0], is_zipped=False) == await body(clients[1], is_zipped=True)


async def test_off_by_default(autojump_clock: MockClock) -> None:
    async with stage() as on:
        await on.publish(20)
        client = on.connect()
        await client.get("/v1/videos/v/poll?cursor=earliest", GZIP)
        head = await client.head()
        assert "content-encoding" not in head
        assert "vary" not in head
