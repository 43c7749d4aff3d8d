"""Review: comments that wait for a moderator, or for what a site's own service decides."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from liveserver import config
from liveserver.backend.review import open_review_hook
from liveserver.errors import ConfigError
from tests.moderation.harness import ADA, BOB, COMMENTS, MODERATOR, SETTINGS, VIDEO, Node, serving

SECRET = "the-secret-of-the-review-hook-32-bytes"


class Service:
    """A site's own service: what it was asked, and what it answers."""

    def __init__(self) -> None:
        self.asked: list[tuple[dict[str, str], bytes]] = []
        self.answer: bytes | None = b""  # None: none
        self.url = ""
        self.decided = trio.Event()
        self.decided.set()

    def decides(self, decision: str) -> None:
        body = json.dumps({"decision": decision}).encode()
        self.answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)

    async def serve(self, stream: trio.SocketStream) -> None:
        async with stream:
            received = b""
            while b"\r\n\r\n" not in received:
                received += await stream.receive_some()
            head, _, body = received.partition(b"\r\n\r\n")
            lines = head.decode().split("\r\n")[1:]
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            while len(body) < int(headers["content-length"]):
                body += await stream.receive_some()
            self.asked.append((headers, body))
            if self.answer is None:
                await trio.sleep_forever()
            await self.decided.wait()
            await stream.send_all(self.answer or b"")


@asynccontextmanager
async def hooked(*more: str) -> AsyncIterator[tuple[Node, Service]]:
    service = Service()
    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        service.url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}/review"
        nursery.start_soon(trio.serve_listeners, service.serve, [listener])
        async with serving(f"review.url={service.url}", f"review.secret={SECRET}", *more) as on:
            await on.done("PUT", SETTINGS, MODERATOR, {"review": True})
            yield on, service
        nursery.cancel_scope.cancel()


async def test_a_hook_decides_and_can_verify_the_sender() -> None:
    async with hooked() as (on, service):
        for decision, status in (("show", 201), ("hold", 202), ("reject", 403)):
            service.decides(decision)
            assert await on.comment(ADA, decision) == status
        page = await on.done("GET", f"{COMMENTS}?status=waiting", MODERATOR)
        assert [each["text"] for each in page["comments"]] == ["hold"]
        headers, body = service.asked[0]
        said = json.loads(body)
        assert (said["video"], said["user"], said["text"]) == ("v", "ada", "show")
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        digest = hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()
        assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
        assert await on.comment(MODERATOR, "not asked about") == 201
        assert len(service.asked) == 3


@pytest.mark.parametrize(("unanswered", "status"), [("show", 201), ("hold", 202), ("reject", 403)])
async def test_without_an_answer_the_setting_decides(unanswered: str, status: int) -> None:
    async with hooked(f"review.unanswered={unanswered}", "review.timeout=50ms") as (on, service):
        service.answer = None
        assert await on.comment(ADA) == status
        for answer in (
            b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n" + b"x" * 20_000,
            b"nonsense",
            b"",
        ):
            service.answer = answer
            assert await on.comment(ADA) == status


async def test_a_comment_beyond_the_concurrency_is_decided_without_the_hook() -> None:
    async with hooked("review.concurrency=1", "review.unanswered=reject") as (on, service):
        service.answer = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(on.comment, ADA, "asked about")
            while not service.asked:
                await trio.lowlevel.checkpoint()
            assert await on.comment(ADA, "not asked about") == 403
            nursery.cancel_scope.cancel()
        assert len(service.asked) == 1


async def test_what_a_moderator_does_while_the_hook_decides_counts() -> None:
    refused: list[tuple[int, str, str | None]] = []
    async with hooked("review.timeout=60s") as (on, service):

        async def comment() -> None:
            refused.append(await on.refused("POST", COMMENTS, ADA, {"text": "hi"}))

        service.decides("show")
        for method, path, body in (
            ("DELETE", f"{VIDEO}/users/ada/comments", None),
            ("PUT", f"{VIDEO}/bans/ada", {}),
            ("PUT", "/v1/videos/*/bans/ada", {}),
            ("PUT", SETTINGS, {"comments": "closed"}),
        ):
            service.decided, count = trio.Event(), len(service.asked)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(comment)
                while len(service.asked) == count:
                    await trio.lowlevel.checkpoint()
                await on.done(method, path, MODERATOR, body)
                service.decided.set()
            if path != SETTINGS:
                await on.ask("DELETE", path, MODERATOR)
        assert [reason for _, reason, _ in refused] == ["rejected", "banned", "banned", "closed"]
        assert not any(event["type"] == "comment" for event in await on.events(BOB))


async def test_a_hook_needs_a_secret() -> None:
    effective = config.load(
        None, ["review.url=http://127.0.0.1:1/", "backend.database=:memory:", "listen.public=127.0.0.1:0"], {}
    )
    with pytest.raises(ConfigError, match=r"review\.secret"):
        async with open_review_hook(effective.review):
            pass
