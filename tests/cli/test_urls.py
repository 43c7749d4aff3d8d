"""What is no URL of a server is refused by every command that takes one, before anything is tried."""

from __future__ import annotations

import re

import pytest

from liveserver.cli.urls import is_url
from tests.cli.harness import call

GOOD = "http://127.0.0.1:9"


@pytest.mark.parametrize("url", ["http://a", "https://[::1]:9000/x", "http://a:65535"])
def test_a_url_has_a_scheme_and_a_host(url: str) -> None:
    assert is_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:9000",
        "http://",
        "http://:80",
        "ftp://a",
        "http://[",
        "http://[::1",
        "//a",
        "http://a b",
        "http://a:99999",
        "http://a:x",
        "http://a:0",
        "http://a\n",
        "http://a/\x1b[31m",
    ],
)
def test_other_texts_are_no_url(url: str) -> None:
    assert not is_url(url)


@pytest.mark.parametrize(
    "command",
    [
        ("publish", "URL", "v"),
        ("watch", "URL", "v"),
        ("watch", GOOD, "v", "--also", "URL"),
        ("audit", "URL", "v"),
        ("top", GOOD, "URL", "--once"),
    ],
    ids=lambda command: command[0],
)
@pytest.mark.parametrize(
    "url", ["ftp://a", "http://[::1", "http://a:99999", "http://", "http://u:s3cret@a:x"]
)
def test_every_command_says_so(
    command: tuple[str, ...], url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, error = call(capsys, *(url if each == "URL" else each for each in command))
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert re.search(r"is not (a URL )?like http://127\.0\.0\.1:", error)
    assert "s3cret" not in error
