"""Ids that sort, and ids of requests that cannot forge a log."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveserver.cursor import is_newer_epoch
from liveserver.ids import IdMaker, new_epoch, request_id

MADE = re.compile(r"[0-9a-f]{16}")


def test_ids_sort_as_they_were_made() -> None:
    new_id = IdMaker()
    made = [new_id(milliseconds) for milliseconds in (1, 1, 2, 1763862000123) for _ in range(20)]
    assert made == sorted(set(made))


@pytest.mark.parametrize("given", [b"abc", b"0", b"req-1.2_3:4+5/6=@7", b"x" * 64])
def test_a_trusted_proxys_id_is_taken(given: bytes) -> None:
    assert request_id(given, trusted=True) == given.decode()
    assert MADE.fullmatch(request_id(given, trusted=False))


@pytest.mark.parametrize(
    "given", [None, b"", b"-a", b"x" * 65, b"a b", b"a\n", b"a\r\nb", b"a\x1b[0m", b"\xe4", b'a"']
)
def test_malformed_ids_are_refused(given: bytes | None) -> None:
    assert MADE.fullmatch(request_id(given, trusted=True))


@given(st.binary(max_size=80))
def test_an_id_is_printable_and_short(given: bytes) -> None:
    made = request_id(given, trusted=True)
    assert made.isascii()
    assert made.isprintable()
    assert 0 < len(made) <= 64


def test_epochs_sort_by_when_they_began(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1_800_000_000.0)
    first = new_epoch()
    monkeypatch.setattr("time.time", lambda: 1_800_000_001.0)
    second = new_epoch()
    assert is_newer_epoch(second, first) is True
    assert is_newer_epoch(first, second) is False


def test_an_epoch_sorts_after_the_one_before_whatever_the_clock_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1_800_003_600.0)
    epochs = [new_epoch()]
    monkeypatch.setattr("time.time", lambda: 1_800_000_000.0)
    for _ in range(50):
        epochs.append(new_epoch(epochs[-1]))
    assert epochs == sorted(set(epochs))


def test_names_of_another_form_have_no_order() -> None:
    assert is_newer_epoch("k3f9a", "k3f9b") is None
    assert is_newer_epoch(new_epoch(), "k3f9b") is None
