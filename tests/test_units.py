"""Durations, sizes, addresses and secrets, as they are written in settings."""

from __future__ import annotations

from typing import Any

import pytest

from liveserver.units import Address, Duration, Secret, Size, quantity


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (Duration, "20ms", 0.02),
        (Duration, " 1.5 h ", 5400),
        (Duration, 3, 3),
        (Duration, "3", 3),
        (Duration, 3600, 3600),
        (Duration, "3601s", 3601),
        (Size, "64KiB", 65536),
        (Size, "1.5GiB", 3 * 2**29),
        (Size, 17, 17),
        (Address, "[::1]:80", "[::1]:80"),
    ],
)
def test_values_with_and_without_units(kind: type, value: Any, expected: Any) -> None:
    assert quantity(kind, value) == expected


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Duration, "3KiB"), (Duration, True), (Duration, -1), (Duration, ""), (Duration, "1h30m"),
        (Duration, 3601), (Duration, None), (Size, "5s"), (Size, -1), (Size, "1kb"), (Size, True),
        (Address, "host"), (Address, ":80"), (Address, "host:65536"), (Address, "host:-1"), (Address, 80),
        (Secret, ""), (Secret, 1),
    ],
)  # fmt: skip
def test_other_values_are_refused(kind: type, value: Any) -> None:
    with pytest.raises(ValueError, match=r"is not|has no unit|a secret is"):
        quantity(kind, value)


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1:1", True), ("127.9.9.9:1", True), ("[::1]:1", True), ("localhost:1", True),
     ("0.0.0.0:1", False), ("[::]:1", False), ("localhost.example:1", False)],
)  # fmt: skip
def test_loopback_addresses(address: str, expected: bool) -> None:
    assert Address(address).is_loopback is expected


def test_addresses_in_a_row() -> None:
    assert Address("[::1]:80").after(2) == "[::1]:82"
    assert Address("host:0").after(2) == "host:0"  # any free one


def test_a_secret_is_not_shown() -> None:
    secret = Secret("hunter2")
    assert "hunter2" not in f"{secret} {secret!r} {[secret]}"
    assert secret.reveal() == "hunter2"
    assert secret == Secret("hunter2") != Secret("hunter3")
