"""Listening sockets: their options, and sharing a port."""

from __future__ import annotations

import gc
import socket

import pytest

from liveserver.config import Address
from liveserver.edge.listener import listen


async def test_connections_inherit_the_listeners_socket_options() -> None:
    with listen(Address("127.0.0.1:0"), 10, send_buffer=20_000, user_timeout=7.5) as listener:
        listener.setblocking(True)
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as sock:
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 40_000
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 7500


def test_a_port_is_shared_only_with_reuse_port() -> None:
    with listen(Address("127.0.0.1:0"), 10, shared=True) as first:
        where = Address(f"127.0.0.1:{first.getsockname()[1]}")
        with listen(where, 10, shared=True) as second:
            assert second.getsockname() == first.getsockname()
        with pytest.raises(OSError, match="in use"):
            listen(where, 10)
    gc.collect()  # nor does the one that failed leave its socket


def test_ipv6() -> None:
    try:
        listener = listen(Address("[::1]:0"), 10)
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    with listener:
        assert listener.getsockname()[0] == "::1"
