"""`check` finds what `run` would fail on: addresses, files, services, and Redis with its commands."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
import redis

from liveserver import config
from liveserver.cluster.redis_server import RedisServer, free_port
from liveserver.errors import ConfigError
from liveserver.node.preflight import Finding, preflight

PACKAGE = Path(config.__file__).parent.parent
FREE = ("listen.public=127.0.0.1:0", "listen.ops=127.0.0.1:0")


def settings(*overrides: str) -> config.Settings:
    return config.load(None, [*FREE, "backend.database=:memory:", *overrides], {})


async def troubles(*overrides: str, offline: bool = False) -> list[Finding]:
    return [each for each in await preflight(settings(*overrides), offline=offline) if each.trouble]


async def test_the_defaults_have_no_trouble() -> None:
    assert await troubles() == []


async def test_an_address_in_use_is_reported_and_a_foreign_address_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = f"127.0.0.1:{server.getsockname()[1]}"
        [found] = await troubles(f"listen.ops={taken}")
        assert found.setting == "listen.ops"
        assert f"{taken} is in use" in found.trouble
    with pytest.raises(ConfigError, match=r"^listen\.ops: cannot listen at 192\.0\.2\.1:9"):
        await troubles("listen.ops=192.0.2.1:9", "node.allow_unauthenticated=true")


async def test_a_missing_key_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="secret_file"):
        await troubles("auth.viewers=token", f"auth.secret_file={tmp_path / 'none'}")


@pytest.mark.parametrize(
    "overrides",
    [
        ("auth.public_key_file={}",),
        ("auth.nodes_secret_file={}",),
        ("auth.ops_key_file={}",),
        ("auth.publishers.site.key_file={}", "auth.nodes_secret=0123456789abcdef0123456789abcdef"),
        ("review.url=http://127.0.0.1:9/", "review.secret_file={}"),
    ],
)
async def test_each_file_is_read_also_offline(overrides: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none"):
        await troubles(*(each.format(tmp_path / "none") for each in overrides), offline=True)


async def test_a_key_set_in_a_file_is_read_also_offline(tmp_path: Path) -> None:
    [found] = await troubles("auth.viewers=token", f"auth.jwks={tmp_path / 'none.json'}", offline=True)
    assert found.setting == "auth.jwks"


async def test_a_recorders_directory_is_checked(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    roles = 'node.roles=["dispatcher", "recorder"]'
    with pytest.raises(ConfigError, match=r"^recorder\.directory: "):
        await troubles(roles, f"recorder.directory={tmp_path / 'file' / 'recordings'}")


async def test_a_directory_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"^backend\.directory: "):
        await troubles(f"backend.directory={tmp_path / 'file'}", "backend.database=likes.db")


async def test_services_that_are_away_are_named_and_not_asked_offline(tmp_path: Path) -> None:
    nowhere = free_port()
    away = (
        'node.roles=["frontend"]',
        "bus.kind=redis",
        f"bus.url=redis://127.0.0.1:{nowhere}/0",
        f'frontend.dispatchers=["http://127.0.0.1:{nowhere}"]',
        "auth.viewers=token",
        f"auth.jwks=http://127.0.0.1:{nowhere}/keys",
    )
    found = await troubles(*away)
    assert [each.setting for each in found] == [
        "auth.jwks", "bus.url", f"frontend.dispatchers, http://127.0.0.1:{nowhere}",
    ]  # fmt: skip
    assert await troubles(*away, offline=True) == []


async def test_a_database_that_is_away_is_named_without_its_password() -> None:
    pytest.importorskip("psycopg")
    url = f"postgresql://me:pa55word@127.0.0.1:{free_port()}/likes"
    [found] = await troubles(f"backend.database={url}")
    assert found.setting == "backend.database"
    assert "pa55word" not in found.trouble


@pytest.mark.redis
async def test_redis_is_tried_with_the_commands_that_are_needed(own_redis: RedisServer) -> None:
    bus = ("bus.kind=redis", f"bus.url={own_redis.url}")
    assert await troubles(*bus) == []
    with redis.Redis.from_url(own_redis.url) as client:
        assert all(client.ttl(key) != -1 for key in client.scan_iter())  # what is left goes by itself
        client.acl_setuser(
            "weak", enabled=True, passwords=["+pw"], commands=["+@all", "-xadd"], keys=["*"], channels=["*"]
        )
    weak = own_redis.url.replace("redis://", "redis://weak:pw@")
    [found] = await troubles("bus.kind=redis", f"bus.url={weak}")
    assert found.setting == "bus.url"
    assert "lacks commands: XADD; see docs/" in found.trouble


@pytest.mark.redis
async def test_all_commands_that_redis_lacks_are_named(own_redis: RedisServer) -> None:
    scripts = (PACKAGE / "bus" / "redis").rglob("*.lua")
    words = {word for each in scripts for word in re.findall(r"call\('([A-Z]+)'", each.read_text())}
    with redis.Redis.from_url(own_redis.url) as client:
        not_needed = {"PING", "SPUBLISH"}  # the latter in a Cluster only
        needed = words & {str(name).upper() for name in client.command()} - not_needed
        assert len(needed) > 20
        client.acl_setuser(
            "weak", enabled=True, passwords=["+pw"], keys=["*"], channels=["*"],
            commands=["+@all", *(f"-{command.lower()}" for command in needed)],
        )  # fmt: skip
    weak = own_redis.url.replace("redis://", "redis://weak:pw@")
    [found] = await troubles("bus.kind=redis", f"bus.url={weak}")
    assert needed - set(re.findall("[A-Z]+", found.trouble)) == set()


@pytest.mark.redis
async def test_keys_that_the_user_may_not_use_are_found(own_redis: RedisServer) -> None:
    with redis.Redis.from_url(own_redis.url) as client:
        client.acl_setuser("weak", enabled=True, passwords=["+pw"], commands=["+@all"], keys=["ls:commands"])
    weak = own_redis.url.replace("redis://", "redis://weak:pw@")
    [found] = await troubles("bus.kind=redis", f"bus.url={weak}", f"peers.dc2.url={own_redis.url}")
    assert found.setting == "bus.url"


async def test_endpoints_of_hooks_are_connected_to_and_their_secrets_read(
    tmp_path: Path, redis_server: str
) -> None:
    secret = tmp_path / "hooks.secret"
    role = 'node.roles=["dispatcher","hooks"]'
    own = (
        role,
        "hooks.endpoints.site.url=http://127.0.0.1:{port}/",
        f"hooks.endpoints.site.secret_file={secret}",
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = [each.format(port=server.getsockname()[1]) for each in own]
        with pytest.raises(ConfigError, match=r"^hooks\.endpoints\.site\.secret_file: .*cannot be read"):
            await troubles(*taken, offline=True)
        secret.write_text("whsec_short")
        with pytest.raises(ConfigError, match=r"^hooks\.endpoints\.site\.secret_file: is not whsec_"):
            await troubles(*taken, offline=True)
        secret.write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        assert await troubles(*taken, f"hooks.endpoints.stream.url={redis_server}") == []
    nowhere = free_port()
    away = [each.format(port=nowhere) for each in own]
    found = await troubles(*away, f"hooks.endpoints.stream.url=redis://127.0.0.1:{nowhere}/0")
    assert [each.setting for each in found] == ["hooks.endpoints.site.url", "hooks.endpoints.stream.url"]
    assert await troubles(*away, offline=True) == []
