"""The test helpers for programs that use a server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from liveserver.errors import ConfigError
from liveserver.testing import running_server

pytest_plugins = ["pytester"]


def test_a_server_runs_on_free_ports_and_ends_with_the_block() -> None:
    with running_server("frontend.retry_min=100ms") as one, running_server() as other:
        assert one.url != other.url
        assert httpx.get(f"{one.ops_url}/readyz", timeout=60).status_code in (200, 503)
        accepted = httpx.post(f"{one.url}/v1/videos/v/events", json={"type": "wave"}, timeout=60)
        assert accepted.status_code == 202
        liked = httpx.post(f"{other.url}/v1/videos/v/likes", json={"user": "ada"}, timeout=60)
        assert (liked.status_code, liked.json()["total"]) == (201, 1)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{one.ops_url}/readyz", timeout=60)


def test_a_setting_that_cannot_be_used_is_refused_before_anything_starts() -> None:
    with pytest.raises(ConfigError, match=r"did you mean lease\?"), running_server("frontend.lease_=1s"):
        pass


def test_a_server_that_cannot_listen_raises_in_the_caller() -> None:
    with running_server() as server:
        address = server.url.removeprefix("http://")
        with pytest.raises(ConfigError, match=r"listen\.public"), running_server(f"listen.public={address}"):
            pass


def test_the_fixture_serves_a_session(pytester: pytest.Pytester) -> None:
    pytester.makeconftest('pytest_plugins = ["liveserver.testing"]')
    pytester.makepyfile(
        """
        import httpx

        def test_a_goal_is_accepted(liveserver):
            answer = httpx.post(f"{liveserver.url}/v1/videos/demo/events", json={"type": "goal"}, timeout=60)
            assert answer.status_code == 202
        """
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:trio"],
        cwd=pytester.path, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "1 passed" in done.stdout, done.stdout + done.stderr
