from __future__ import annotations

import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Ping, TextMessage
from wsproto.extensions import PerMessageDeflate

from liveserver.transport.permessage_deflate import Inflater, accepted_offer

ALONE = b"permessage-deflate; server_no_context_takeover; client_no_context_takeover"
BOUNDED = ALONE + b"; server_max_window_bits=12"


@pytest.mark.parametrize(
    ("offered", "accepted"),
    [
        (b"", b""),
        (b"permessage-deflate", ALONE),
        (b"permessage-deflate; client_max_window_bits", ALONE),  # browsers
        (b"permessage-deflate; server_max_window_bits=12; client_max_window_bits=12", BOUNDED),  # websockets
        (b'Permessage-Deflate ; server_max_window_bits="15"', BOUNDED),
        (b"permessage-deflate; server_no_context_takeover; client_no_context_takeover", ALONE),
        (b"x-webkit-deflate-frame, permessage-deflate", ALONE),
        (b"permessage-deflate; server_max_window_bits=9, permessage-deflate", ALONE),
        (b"permessage-deflate; server_max_window_bits=11", b""),
        (b"permessage-deflate; server_max_window_bits=16", b""),
        (b"permessage-deflate; server_max_window_bits=012", b""),
        (b"permessage-deflate; server_max_window_bits", b""),
        (b"permessage-deflate; client_max_window_bits=7", b""),
        (b"permessage-deflate; client_no_context_takeover=1", b""),
        (b"permessage-deflate; client_max_window_bits; client_max_window_bits", b""),
        (b"permessage-deflate; mystery", b""),
        (b"permessage-deflate;", b""),
        (b"\xff\xfe", b""),
    ],
)
def test_offers(offered: bytes, accepted: bytes) -> None:
    assert accepted_offer(offered) == accepted


def pair(max_size: int = 1000) -> tuple[Connection, Connection]:
    """A client that compresses, and a server."""
    deflate = PerMessageDeflate()
    deflate.finalize(ALONE.decode())
    server = Connection(ConnectionType.SERVER, [Inflater(max_size)])
    return Connection(ConnectionType.CLIENT, [deflate]), server


def received(server: Connection, data: bytes, step: int = 4096) -> str:
    text = ""
    for start in range(0, len(data), step):
        server.receive_data(data[start : start + step])
        for event in server.events():
            assert isinstance(event, TextMessage | Ping), event
            text += event.data if isinstance(event, TextMessage) else "<ping>"
    return text


@pytest.mark.parametrize("step", [1, 4096])
def test_a_clients_messages_are_decompressed(step: int) -> None:
    client, server = pair()
    data = client.send(TextMessage(data="häll" * 50))
    data += client.send(TextMessage(data="o" * 100, message_finished=False)) + client.send(Ping(payload=b"p"))
    data += client.send(TextMessage(data="w" * 100))
    plain = Connection(ConnectionType.CLIENT).send(TextMessage(data="plain"))
    text = received(server, data + plain, step)
    assert text.count("<ping>") == 1
    assert text.replace("<ping>", "") == "häll" * 50 + "o" * 100 + "w" * 100 + "plain"


def closed(server: Connection, data: bytes) -> int:
    server.receive_data(data)
    (event,) = [event for event in server.events() if isinstance(event, CloseConnection)]
    return event.code


def test_a_message_is_not_decompressed_beyond_the_limit() -> None:
    client, server = pair(max_size=1000)
    assert received(server, client.send(TextMessage(data="a" * 1000))) == "a" * 1000
    assert closed(server, client.send(TextMessage(data="a" * 1001))) == 1009
    client, server = pair(max_size=1000)
    parts = [client.send(TextMessage(data="a" * 600, message_finished=False)) for _ in range(2)]
    assert closed(server, b"".join(parts) + client.send(TextMessage(data=""))) == 1009


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\xc1\x84\0\0\0\0\xff\xff\xff\xff", 1007),  # no DEFLATE
        (b"\xc9\x80\0\0\0\0", 1002),  # a compressed ping
        (b"\xc0\x80\0\0\0\0", 1002),  # a continuation that says it is compressed
        (b"\xa1\x80\0\0\0\0", 1002),  # another extension's bit
    ],
)
def test_malformed_frames_end_the_connection(frame: bytes, code: int) -> None:
    assert closed(pair()[1], frame) == code
