"""The Python client, for Trio: watching a video, and publishing to one.

watching.py    one exact sequence out of many connections
sources.py     one connection: an event stream, or long-polls
socket.py      one connection: a WebSocket
sse.py         the bytes of an event stream, parsed without I/O
items.py       what watching yields
state.py       the newest event of each key
publishing.py  events out, each once
tokens.py      the token that a viewer shows
errors.py      what can go wrong, and how long to wait before trying again

async with watch("http://127.0.0.1:8101", "demo") as events:
    async for event in events:
        print(event)

await publish("http://127.0.0.1:8111", "demo", [{"type": "like", "user": "u1"}])
"""

from liveserver.client.errors import ClientError, ProtocolError, Refused, Unreachable
from liveserver.client.items import Bye, Disconnected, Event, Gap, Item, Ready, State, Viewers
from liveserver.client.publishing import PublishReceipt, publish
from liveserver.client.tokens import Token
from liveserver.client.watching import Transport, Watcher, watch

__all__ = [
    "Bye",
    "ClientError",
    "Disconnected",
    "Event",
    "Gap",
    "Item",
    "ProtocolError",
    "PublishReceipt",
    "Ready",
    "Refused",
    "State",
    "Token",
    "Transport",
    "Unreachable",
    "Viewers",
    "Watcher",
    "publish",
    "watch",
]
