"""Whose request it is, and whom one believes about it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveserver.auth.client_addresses import ClientAddresses

PROXIES = ["10.0.0.0/8", "fd00::/8"]


@pytest.mark.parametrize(
    ("peer", "forwarded", "name"),
    [
        ("192.0.2.1", b"198.51.100.7", "192.0.2.1"),  # not a proxy: its header is ignored
        ("10.0.0.1", b"198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", b"1.1.1.1, 198.51.100.7, 10.0.0.2", "198.51.100.7"),
        ("10.0.0.1", b"198.51.100.7:5000", "198.51.100.7"),
        ("10.0.0.1", b"nonsense", "10.0.0.1"),
        ("10.0.0.1", b"198.51.100.7, nonsense, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", b"", "10.0.0.1"),
        ("fd00::1", b"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fd00::1", b"[2001:db8:1:2:3::1]:443", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", b"", "192.0.2.1"),
        ("2001:db8:1:2:ffff::1", b"", "2001:db8:1:2::/64"),
        ("", b"198.51.100.7", ""),
    ],
)
def test_the_nearest_that_is_no_trusted_proxy(peer: str, forwarded: bytes, name: str) -> None:
    assert ClientAddresses(PROXIES).name(peer, forwarded) == name


def test_forwarded_addresses_are_ignored_by_default() -> None:
    assert ClientAddresses([]).name("10.0.0.1", b"198.51.100.7") == "10.0.0.1"


@given(st.binary(max_size=100))
def test_anything_may_stand_there(forwarded: bytes) -> None:
    assert ClientAddresses(PROXIES).name("10.0.0.1", forwarded)
