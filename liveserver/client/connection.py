"""The interface of an open WebSocket that `WebSocketSource` uses."""

from __future__ import annotations

from typing import Protocol

CLOSE_SECONDS = 0.5
MAX_MESSAGE = 16 * 1024**2  # bytes; servers join events up to their `frontend.max_write`


class ClosedByServer(Exception):
    """The connection is closed. `reason` is the server's, or empty."""

    def __init__(self, reason: str | None) -> None:
        super().__init__(reason)
        self.reason = reason


class Connection(Protocol):
    """An open WebSocket. Both methods raise `ClosedByServer`."""

    async def send(self, text: str) -> None: ...

    async def receive(self) -> str | bytes: ...
