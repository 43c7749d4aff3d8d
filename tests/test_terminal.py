"""A process has a terminal if /dev/tty opens; none stays open."""

from __future__ import annotations

import os

import pytest

from liveserver.terminal import has_terminal


def test_the_terminal_is_opened_without_taking_it_and_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(writing)

    def opened(path: str, flags: int) -> int:
        assert (path, flags & os.O_NOCTTY) == ("/dev/tty", os.O_NOCTTY)
        return reading

    monkeypatch.setattr(os, "open", opened)
    assert has_terminal()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reading)


def test_without_one_it_does_not_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: str, flags: int) -> int:
        raise OSError(6, "No such device or address")

    monkeypatch.setattr(os, "open", refused)
    assert not has_terminal()
