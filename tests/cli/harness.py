"""Calling commands as from a shell, and servers that answer them."""

from __future__ import annotations

import httpx
import pytest

from liveserver.cli import main
from tests.client.fakes import Servers


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int | str | None, str, str]:
    """Exit code, standard output, standard error."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    return caught.value.code, *capsys.readouterr()


def with_servers(monkeypatch: pytest.MonkeyPatch, servers: Servers) -> None:
    monkeypatch.setattr(httpx, "AsyncClient", lambda: servers.client)
