"""Settings as TOML: read back to the same, without secrets."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveserver.config.writing import HIDDEN, toml, without_password
from liveserver.units import Duration, Secret, Size, quantity


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Duration(0), '"0s"'),
        (Duration(0.02), '"20ms"'),
        (Duration(90), '"90s"'),
        (Duration(120), '"2m"'),
        (Duration(86400), '"1d"'),
        (Duration(1_234_567), '"1234567s"'),
        (Duration(0.0000001), '"0.0001ms"'),
        (Size(0), "0"),
        (Size(1000), "1000"),
        (Size(64 * 1024), '"64KiB"'),
        (True, "true"),
        ([1, "a"], '[1, "a"]'),
        ({}, "{}"),
        ({"a": 1, "b c": 2}, '{ a = 1, "b c" = 2 }'),
    ],
)
def test_values_have_their_units(value: Any, text: str) -> None:
    assert toml(value) == text


@given(st.integers(0, 10**9))
def test_sizes_are_read_back(size: int) -> None:
    assert quantity(Size, tomllib.loads(f"x = {toml(Size(size))}")["x"]) == size


@given(st.integers(0, 10**6))
def test_durations_are_read_back(seconds: int) -> None:
    assert quantity(Duration, tomllib.loads(f"x = {toml(Duration(seconds))}")["x"]) == seconds


def test_a_secret_is_revealed_only_on_request() -> None:
    assert toml(Secret('a"b')) == f'"{HIDDEN}"'
    assert toml(Secret('a"b'), reveal=True) == r'"a\"b"'
    assert toml(["redis://user:hunter2@host:6379/0"]) == f'["redis://user:{HIDDEN}@host:6379/0"]'


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis://:p@host", "redis://:…@host"),
        ("redis://u:p@ss@host", "redis://u:…@host"),
        ("rediss://host?password=p&db=1", "rediss://host?password=…&db=1"),
        ("two: redis://u:p@a and later", "two: redis://u:…@a and later"),
    ],
)
def test_passwords_of_urls_are_hidden(url: str, shown: str) -> None:
    assert without_password(url) == shown
