"""The Python client, for Trio and asyncio: watch a video, publish to it, like it and comment on it.

watching.py            one exact sequence of events over many connections
sources.py             one connection: an event stream, or long-polls
websocket.py           one connection: a WebSocket
connection.py          the interface of a WebSocket library
websocket_trio.py      trio-websocket
websocket_asyncio.py   websockets
sse.py                 a parser of event streams, without I/O
items.py               the items that watching yields
state.py               the newest event of each key
publishing.py          publishes events, each once
liking.py              likes, comments and totals
requests.py            one request, repeated until it is answered
sync.py                the same calls for programs without an event loop
tokens.py              a viewer's token
errors.py              exceptions, and the wait before the next attempt

async with watch("http://127.0.0.1:8101", "demo") as events:
    async for event in events:
        print(event)

await publish("http://127.0.0.1:8111", "demo", [{"type": "wave", "user": "ada"}]) await
like("http://127.0.0.1:8121", "demo", user="ada")

The same files are published as the package liveserver-client, which is imported as `liveserver_client`
(clients/python): so imports inside it are relative, and nothing of the server is imported.
"""

from .errors import ClientError, ProtocolError, Refused, Unreachable
from .items import Bye, Disconnected, Event, Gap, Item, Omitted, Ready, State, Viewers
from .liking import Commented, Liked, Summary, comment, like, retract, summary
from .publishing import PublishReceipt, publish
from .sync import Publisher
from .tokens import Token
from .watching import Transport, Watcher, watch

__all__ = [
    "Bye",
    "ClientError",
    "Commented",
    "Disconnected",
    "Event",
    "Gap",
    "Item",
    "Liked",
    "Omitted",
    "ProtocolError",
    "PublishReceipt",
    "Publisher",
    "Ready",
    "Refused",
    "State",
    "Summary",
    "Token",
    "Transport",
    "Unreachable",
    "Viewers",
    "Watcher",
    "comment",
    "like",
    "publish",
    "retract",
    "summary",
    "watch",
]
