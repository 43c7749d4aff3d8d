"""Whatever happens, it is one line and an exit code."""

from __future__ import annotations

import errno

import pytest
import trio
import trio.testing

from liveserver.cli import error_report
from liveserver.errors import ConfigError, LiveserverError


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (ConfigError("a.b", "is wrong"), 2, "liveserver: a.b: is wrong"),
        (LiveserverError("no"), 1, "liveserver: no"),
        (
            BaseExceptionGroup("", [trio.Cancelled._create(), ExceptionGroup("", [LiveserverError("no")])]),
            1,
            "liveserver: no",
        ),
        (ExceptionGroup("", [KeyError("x"), LiveserverError("no")]), 1, "liveserver: no"),
        (FileNotFoundError(2, "No such file", "/x"), 1, "liveserver: /x: No such file"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(), 1, ""),
        (KeyError("x"), 1, "KeyError: 'x'; LIVESERVER_TRACEBACK=1 shows where; please report it"),
    ],
)
def test_whatever_happens_there_is_one_line_for_it(error: BaseException, code: int, text: str) -> None:
    complaint = error_report.explain(error)
    assert complaint.code == code
    assert text in complaint.text
    assert "\n" not in complaint.text


def test_a_group_is_reported_by_its_most_informative_member() -> None:
    inner = ExceptionGroup("", [OSError(5, "Input/output error"), LiveserverError("says more")])
    assert error_report.explain(ExceptionGroup("", [KeyError("x"), inner])).text == "liveserver: says more"
    assert error_report.leaves(ExceptionGroup("", [inner, (last := KeyError("y"))]))[2] is last
    closed = ExceptionGroup("", [LiveserverError("no"), BrokenPipeError()])
    assert error_report.explain(closed) == ("", 1)


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.EADDRINUSE, "stop what listens there, or choose another address"),
        (errno.EMFILE, "raise the limit on open files"),
    ],
)
def test_errors_say_what_can_be_done(number: int, hint: str) -> None:
    assert hint in error_report.explain(OSError(number, "Text of the system")).text


def test_passwords_are_not_repeated() -> None:
    error = LiveserverError("cannot connect to redis://u:hunter2@host/0")
    assert error_report.explain(error).text == "liveserver: cannot connect to redis://u:…@host/0"


def test_a_defect_shows_its_trace_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(error_report.TRACEBACK_VARIABLE, "1")
    try:
        raise KeyError("x")
    except KeyError as error:
        report = error_report.explain(error)
    assert report.code == 1
    assert "test_error_report.py" in report.text
