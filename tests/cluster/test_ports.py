"""Whether a port is in use."""

from __future__ import annotations

import socket

import pytest

from liveserver.cluster.ports import is_busy
from liveserver.config import Address


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_port_is_busy_while_a_server_listens(family: socket.AddressFamily, host: str) -> None:
    with socket.create_server((host, 0), family=family) as server:
        port = server.getsockname()[1]
        address = Address(f"[{host}]:{port}" if family == socket.AF_INET6 else f"{host}:{port}")
        assert is_busy(address)
    assert not is_busy(address)


def test_any_free_port_is_never_busy() -> None:
    assert not is_busy(Address("127.0.0.1:0"))


def test_an_address_of_another_machine_is_not_busy() -> None:
    assert not is_busy(Address("192.0.2.1:80"))  # another error, which the node says itself
