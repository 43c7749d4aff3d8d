"""Servers without sockets: scripted answers, recorded requests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import httpx
import msgspec
import trio

# One step of a body: bytes to send, seconds to be quiet for, or an error to break off with.
Step = bytes | float | Exception
Answer = Callable[[httpx.Request], httpx.Response]


class Body(httpx.AsyncByteStream):
    """A response body that plays its steps, once, and then ends."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for step in self._steps:
            await trio.lowlevel.checkpoint()
            if isinstance(step, bytes):
                yield step
            elif isinstance(step, Exception):
                raise step
            else:
                await trio.sleep(step)


class Asked(msgspec.Struct):
    """One request as it came, and when."""

    at: float
    host: str
    path: str
    query: dict[str, str]
    body: Any
    authorization: str | None = None


class Servers:
    """Answers requests with what `answers` holds, in order; raises what is an exception."""

    def __init__(self, *answers: Answer | Exception) -> None:
        self.asked: list[Asked] = []
        self._answers = list(answers)
        self.client = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        await trio.lowlevel.checkpoint()
        content = await request.aread()
        self.asked.append(
            Asked(
                at=trio.current_time(),
                host=request.url.host,
                path=request.url.path,
                query=dict(request.url.params),
                body=msgspec.json.decode(content) if content else None,
                authorization=request.headers.get("authorization"),
            )
        )
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer(request)


def stream(*steps: Step, content_type: str = "text/event-stream") -> Answer:
    return lambda _: httpx.Response(200, headers={"content-type": content_type}, stream=Body(steps))


def problem(status: int, detail: str, **headers: str) -> Answer:
    content = msgspec.json.encode({"type": "about:blank", "title": "No", "status": status, "detail": detail})
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: httpx.Response(status, headers=named, content=content)


def answer(value: object) -> Answer:
    return lambda _: httpx.Response(200, content=msgspec.json.encode(value))


def cursor(number: int) -> str:
    return f"dc1-k3f9a-{number}"


def event(number: int) -> dict[str, Any]:
    return {"id": f"e{number}", "video": "v1", "type": "like", "at": 1763862000000 + number}


def block(kind: str, data: object, at: int) -> bytes:
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (
        cursor(at).encode(),
        kind.encode(),
        msgspec.json.encode(data),
    )


def ready(at: int, *, resumed: bool = False, gap: bool = False, retry: int | None = None) -> bytes:
    data = {"video": "v1", "node": "fe1", "cursor": cursor(at), "resumed": resumed, "gap": gap}
    return (b"retry: %d\n" % retry if retry is not None else b"") + block("ready", data, at)


def like(number: int) -> bytes:
    return block("like", event(number), number)


def bye(at: int, *, reconnect: bool, retry: int | None = None, reason: str = "drain") -> bytes:
    before = b"retry: %d\n" % retry if retry is not None else b""
    return before + block("bye", {"reason": reason, "reconnect": reconnect}, at)


def page(at: int, *numbers: int, gap: bool = False) -> Answer:
    return answer({"cursor": cursor(at), "gap": gap, "events": [event(number) for number in numbers]})
