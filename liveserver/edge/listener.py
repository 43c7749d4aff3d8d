"""Listening sockets, whose options the accepted ones inherit."""

from __future__ import annotations

import socket

from liveserver.config import Address


def listen(
    address: Address, backlog: int, *, shared: bool = False, send_buffer: int = 0, user_timeout: float = 0
) -> socket.socket:
    """Return a listening, non-blocking socket; `shared` lets several processes share the port.

    `send_buffer` (bytes) limits what the kernel buffers for a client that does not read;
    `user_timeout` (seconds) ends connections whose peer no longer acknowledges (RFC 5482).
    """
    family, kind, protocol, _, where = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if send_buffer:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        if user_timeout and hasattr(socket, "TCP_USER_TIMEOUT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(user_timeout * 1000))
        listener.bind(where)
        listener.listen(backlog)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener
