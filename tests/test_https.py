"""TLS between real processes: a frontend and its dispatcher, and the command line with both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from liveserver.cluster.redis_server import free_port
from tests.edge.authority import Authority
from tests.processes import NodeProcess, running

pytestmark = [pytest.mark.process, pytest.mark.redis]


@pytest.mark.parametrize("transport", ["sse", "poll", "ws"])
async def test_nodes_and_commands_trust_a_private_certificate_authority(
    redis_server: str, tmp_path: Path, transport: str
) -> None:
    authority = Authority(tmp_path)
    secure = (f"tls.certificate={authority.certificate}", f"tls.key={authority.key}")
    ports = free_port(), free_port()
    urls = [f"https://localhost:{port}" for port in ports]
    dispatcher = NodeProcess("di", "dispatcher", redis_server, *secure, f"listen.tls=127.0.0.1:{ports[0]}")
    frontend = NodeProcess(
        "fe", "frontend", redis_server, *secure, f"listen.tls=127.0.0.1:{ports[1]}",
        f'frontend.dispatchers=["{urls[0]}"]', f"tls.ca_file={authority.file}",
    )  # fmt: skip
    environment = {**os.environ, "SSL_CERT_FILE": str(authority.file)}
    liveserver = [sys.executable, "-m", "liveserver"]
    with trio.fail_after(90):
        async with running(dispatcher, frontend):
            published = await trio.run_process(
                [*liveserver, "publish", urls[0], "v", "--count", "3"], env=environment, capture_stdout=True
            )
            assert b"3 accepted" in published.stdout
            watching = await trio.lowlevel.open_process(
                [
                    *liveserver,
                    "watch",
                    urls[1],
                    "v",
                    "--cursor",
                    "earliest",
                    "--json",
                    "--transport",
                    transport,
                ],
                env=environment,
                stdout=subprocess.PIPE,
            )
            assert watching.stdout is not None
            text = b""
            while text.count(b'"event":"like"') < 3:
                data = await watching.stdout.receive_some()
                assert data, "it has ended"
                text += data
            watching.terminate()
            await watching.wait()
            await watching.stdout.aclose()
    assert [json.loads(line)["data"]["type"] for line in text.splitlines() if b"like" in line] == ["like"] * 3
