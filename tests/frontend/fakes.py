"""A WebSocket client that sends given messages, and reads only when asked to."""

from __future__ import annotations

from typing import Any

import msgspec
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Message,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)

from tests.frontend.harness import Client, Stage


class SocketClient:
    """The other end of a WebSocket to the frontend."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._events: list[Event] = []
        self._text = ""
        self._messages: list[Any] = []  # read, but not asked for yet

    async def upgrade(self, *headers: tuple[bytes, bytes]) -> None:
        request = Request(host="test", target="/v1/ws", extra_headers=list(headers))
        await self.client.sock.send(self._protocol.send(request))

    async def event(self) -> Event:
        """The next thing that happens."""
        while not self._events:
            data = await self.client.sock.recv(65536)
            self._protocol.receive_data(data or None)
            self._events += self._protocol.events()
        return self._events.pop(0)

    async def open(self) -> SocketClient:
        await self.upgrade()
        assert isinstance(await self.event(), AcceptConnection)
        return self

    async def rejected(self) -> int:
        event = await self.event()
        assert isinstance(event, RejectConnection)
        return event.status_code

    async def send(self, event: Event) -> None:
        await self.raw(self._protocol.send(event))

    async def raw(self, data: bytes) -> None:
        assert await self.client.sock.send(data) == len(data)

    async def say(self, **message: object) -> None:
        await self.send(TextMessage(data=msgspec.json.encode(message).decode()))

    async def next(self) -> Event | dict[str, Any]:
        """The next whole message, or what else happens; pings are answered."""
        while True:
            event = await self.event()
            if isinstance(event, TextMessage):
                self._text += event.data
                if event.message_finished:
                    text, self._text = self._text, ""
                    message: dict[str, Any] = msgspec.json.decode(text)
                    return message
            elif isinstance(event, Ping):
                await self.send(event.response())
            else:
                assert not isinstance(event, Message)
                return event

    async def message(self) -> tuple[str, Any]:
        """The next message: its kind and what it says."""
        if self._messages:
            message = self._messages.pop(0)
        else:
            message = await self.next()
        assert isinstance(message, dict), message
        ((kind, value),) = message.items()
        return kind, value

    async def closed(self) -> tuple[int, str]:
        """How the server closes, which it does next."""
        event = await self.next()
        assert isinstance(event, CloseConnection), event
        return event.code, event.reason or ""

    async def watch(self, video: str = "v", **body: object) -> Any:
        """Subscribe; what `ready` says."""
        await self.say(subscribe={"video": video, **body})
        kind, ready = await self.message()
        assert (kind, ready["video"]) == ("ready", video)
        return ready

    async def error(self) -> dict[str, Any]:
        kind, value = await self.message()
        assert kind == "error", (kind, value)
        problem: dict[str, Any] = value
        return problem

    async def events(self, count: int) -> list[int]:
        """The `n` of the next so many events of the one video that is watched."""
        found: list[int] = []
        while len(found) < count:
            kind, value = await self.message()
            assert kind == "events", (kind, value)
            found += [event["n"] for event in value["events"]]
        assert len(found) == count
        return found


async def connect(on: Stage, **buffers: int) -> SocketClient:
    """A WebSocket whose opening handshake is done."""
    return await SocketClient(on.connect(**buffers)).open()
