"""A real HTTP server that receives webhooks."""

from __future__ import annotations

from typing import Any

import h11
import trio
from standardwebhooks import Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class ReceiverOfHooks:
    """A real HTTP server that verifies what it receives; it may be away, or out of order."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []  # in the order in which they were accepted
        self.ids: list[str] = []
        self.status = 200
        self.webhook = Webhook(SECRET)
        self._port = 0
        self._scope = trio.CancelScope()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/hooks"

    async def start(self, nursery: trio.Nursery) -> None:
        (listener,) = await trio.open_tcp_listeners(self._port, host="127.0.0.1")
        self._port = listener.socket.getsockname()[1]
        self._scope = trio.CancelScope()

        async def run() -> None:
            with self._scope:
                await trio.serve_listeners(self._serve, [listener])

        nursery.start_soon(run)

    def kill(self) -> None:
        self._scope.cancel()

    async def _serve(self, stream: trio.SocketStream) -> None:
        try:
            while True:
                connection = h11.Connection(h11.SERVER)
                request, body = None, b""
                while True:
                    event = connection.next_event()
                    if event is h11.NEED_DATA:
                        connection.receive_data(await stream.receive_some())
                    elif isinstance(event, h11.Request):
                        request = event
                    elif isinstance(event, h11.Data):
                        body += event.data
                    else:
                        break
                if request is None:
                    return
                headers = {name.decode(): value.decode() for name, value in request.headers}
                content = self.webhook.verify(body, headers)
                if self.status == 200:
                    self.received.append(content)
                    self.ids.append(headers["webhook-id"])
                await stream.send_all(b"HTTP/1.1 %d x\r\ncontent-length: 0\r\n\r\n" % self.status)
        except (trio.BrokenResourceError, h11.RemoteProtocolError):
            return

    def turns(self, video: str) -> list[str]:
        """The types of the messages that say that a video is watched, or no longer; each once."""
        found = {
            name: each["type"]
            for name, each in zip(self.ids, self.received, strict=True)
            if each["type"] in ("video.occupied", "video.vacated") and each["data"]["video"] == video
        }
        return list(found.values())

    def comments(self, video: str) -> list[str]:
        """The ids of a video's comments, each at its first coming."""
        found = [
            each["data"]["id"]
            for each in self.received
            if each["type"] == "comment.created" and each["data"]["video"] == video
        ]
        return list(dict.fromkeys(found))
