"""A command takes the foreground of its terminal where it may, and gives it back."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from liveserver.cli import foreground
from liveserver.cli.foreground import STANDARD_INPUT, in_foreground

OURS, SHELL = 77, 50  # this process, and the group that it was started in


class Terminal:
    """The system's calls: `foreground` is the group in front, None without a terminal."""

    def __init__(self, group: int, foreground: int | None) -> None:
        self.group, self.foreground = group, foreground
        self.is_open = True

    def getpid(self) -> int:
        return OURS

    def getpgrp(self) -> int:
        return self.group

    def setpgid(self, process: int, group: int) -> None:
        assert (process, group) == (0, 0)
        self.group = OURS

    def tcgetpgrp(self, descriptor: int) -> int:
        assert descriptor == STANDARD_INPUT
        if self.foreground is None:
            raise OSError("Inappropriate ioctl for device")
        return self.foreground

    def tcsetpgrp(self, descriptor: int, group: int) -> None:
        assert descriptor == STANDARD_INPUT
        assert signal.getsignal(signal.SIGTTOU) is signal.SIG_IGN, "it would stop us"
        if not self.is_open:
            raise OSError("Input/output error")
        self.foreground = group


@pytest.fixture(autouse=True)
def handlers_are_kept() -> Iterator[None]:
    kept = [signal.getsignal(number) for number in (signal.SIGTTOU, signal.SIGTSTP)]
    yield
    assert [signal.getsignal(number) for number in (signal.SIGTTOU, signal.SIGTSTP)] == kept


def test_it_is_taken_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreground, "os", terminal := Terminal(SHELL, SHELL))
    with in_foreground(True):
        assert (terminal.group, terminal.foreground) == (OURS, OURS)
        assert signal.getsignal(signal.SIGTSTP) is signal.SIG_IGN
    assert terminal.foreground == SHELL


def test_an_error_of_the_block_gives_it_back_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreground, "os", terminal := Terminal(SHELL, SHELL))
    with pytest.raises(KeyError), in_foreground(True):
        raise KeyError
    assert terminal.foreground == SHELL


def test_a_terminal_that_was_closed_meanwhile_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreground, "os", terminal := Terminal(SHELL, SHELL))
    with in_foreground(True):
        terminal.is_open = False


@pytest.mark.parametrize(
    ("wanted", "group", "front"),
    [
        (False, SHELL, SHELL),
        (True, SHELL, None),  # no terminal
        (True, SHELL, 60),  # another job is in front: we run in the background
        (True, OURS, OURS),  # a shell's job of its own
    ],
)
def test_otherwise_nothing_is_taken(
    monkeypatch: pytest.MonkeyPatch, wanted: bool, group: int, front: int | None
) -> None:
    monkeypatch.setattr(foreground, "os", terminal := Terminal(group, front))
    before = signal.getsignal(signal.SIGTSTP)
    with in_foreground(wanted):
        assert (terminal.group, terminal.foreground) == (group, front)
        assert signal.getsignal(signal.SIGTSTP) is before
