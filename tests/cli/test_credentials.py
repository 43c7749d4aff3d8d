"""Keys and tokens that no header can carry are refused before they are sent, and not shown."""

from __future__ import annotations

import pytest

from liveserver.cli.credentials import sendable
from tests.cli.harness import call

URL = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    "command",
    [
        ("top", URL, "--once", "--key"),
        ("publish", URL, "v", "--key"),
        ("audit", URL, "v", "--key"),
        ("watch", URL, "v", "--token"),
    ],
    ids=lambda command: command[0],
)
@pytest.mark.parametrize("value", ["s3cret\nanother", "s3cret s3cret", "s3crét"])
def test_one_line_of_ascii_is_needed(
    command: tuple[str, ...], value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, error = call(capsys, *command, value)
    assert (code, out) == (2, "")
    assert "one line of ASCII" in error
    assert "s3cr" not in error
    assert "Traceback" not in error


def test_others_are_as_they_are() -> None:
    assert [sendable(value) for value in (None, "", "a.b-c_1=")] == [None, "", "a.b-c_1="]
