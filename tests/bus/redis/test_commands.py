"""Redis without some required commands: the error names them, and calls fail at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from structlog.testing import capture_logs

from liveserver.cluster.redis_server import RedisServer
from liveserver.errors import BusError, BusRefused
from liveserver.viewer_count import AudienceReport, AudienceSize
from tests.bus import test_hook_queue
from tests.bus.redis_harness import append, lines, next_batches, open_bus
from tests.conftest import Until

PAGE = Path(__file__).parents[3] / "docs" / "datacenters.md"


@pytest.fixture
def admin(own_redis: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(own_redis.url) as client:
        yield client


def smallest_acl() -> list[str]:
    """The documented rules, without the user's name and the password."""
    found = re.search(r"ACL SETUSER liveserver on >password (.*?)```", PAGE.read_text(), re.DOTALL)
    assert found
    return found[1].split()


async def test_the_smallest_documented_user_can_do_all_that_is_needed(
    own_redis: RedisServer, admin: redis.Redis
) -> None:
    admin.execute_command("ACL", "SETUSER", "small", "on", ">secret", *smallest_acl())
    url = own_redis.url.replace("redis://", "redis://small:secret@")
    with capture_logs() as logs:
        async with open_bus(url) as bus, bus.inbox("n") as inbox, bus.feed():
            await bus.subscribe("n", {"v": 1}, 30)
            await append(bus, "t", "a")
            assert (await next_batches(inbox))[-1].last == 1
            assert await lines(bus) == ["a"]
            assert (await bus.active_since(0, 1)).videos == ["v"]
            await bus.join_group("dc2", "n", 1)
            await bus.leave_group("dc2", "n")
            await bus.add_audiences([AudienceReport("v", ["ada"], 1)], 30)
            assert await bus.audience("v") == AudienceSize(1, 1)
            assert (await bus.watched_since(0, 1)).videos == ["v"]
            await bus.unsubscribe("n", ["v"])
            await bus.ping()
            await test_hook_queue.test_batches_that_do_not_fit_leave_one_gap(bus)
            await test_hook_queue.test_endpoints_are_disabled_until_they_are_enabled(bus)
            await bus.hook_queue(60.0, 6).postpone("site", "v", 1.0)
    assert not [entry for entry in logs if entry["event"] == "redis_commands_missing"]


@pytest.mark.parametrize("missing", ["info", "xadd", "pubsub"])
async def test_commands_that_are_missing_are_named_at_the_start(
    own_redis: RedisServer, admin: redis.Redis, missing: str, until: Until
) -> None:
    admin.execute_command("ACL", "SETUSER", "less", "on", ">secret", "~*", "&*", "+@all", f"-{missing}")
    url = own_redis.url.replace("redis://", "redis://less:secret@")
    with capture_logs() as logs:

        async def said() -> bool:
            return any(entry["event"] == "redis_commands_missing" for entry in logs)

        async with open_bus(url) as bus, bus.inbox("n"):
            await until(said)
            if missing != "pubsub":
                with pytest.raises(BusRefused, match=r"docs/datacenters\.md"):
                    await append(bus, "t", "a")
    (entry,) = [entry for entry in logs if entry["event"] == "redis_commands_missing"]
    assert entry["commands"] == [missing.upper()]


@pytest.mark.parametrize("rule", ["-evalsha", "-multi", "-xadd", "resetkeys", "resetchannels"])
async def test_a_command_that_is_no_longer_allowed_fails_at_once(
    own_redis: RedisServer, admin: redis.Redis, rule: str
) -> None:
    """Retrying does not help until the user is changed again; then it goes on."""
    whole = ("~*", "&*", "+@all")
    admin.execute_command("ACL", "SETUSER", "changed", "on", ">secret", *whole)
    url = own_redis.url.replace("redis://", "redis://changed:secret@")
    async with open_bus(url) as bus:
        await append(bus, "t", "a")
        admin.execute_command("ACL", "SETUSER", "changed", rule)
        with pytest.raises(BusRefused, match=r"docs/datacenters\.md"):
            await append(bus, "u", "b")
        admin.execute_command("ACL", "SETUSER", "changed", *whole)
        await append(bus, "w", "c")
        assert (await lines(bus))[-1] == "c"


@pytest.mark.parametrize("rule", ["off", ">another resetpass", "reset on nopass -@all"])
async def test_credentials_that_are_no_longer_valid_fail_at_once(
    own_redis: RedisServer, admin: redis.Redis, rule: str
) -> None:
    """Each publish would wait for ten seconds otherwise."""
    whole = ("reset", "on", ">secret", "~*", "&*", "+@all")
    admin.execute_command("ACL", "SETUSER", "changed", *whole)
    url = own_redis.url.replace("redis://", "redis://changed:secret@")
    async with open_bus(url) as bus:
        await append(bus, "t", "a")
        admin.execute_command("ACL", "SETUSER", "changed", *rule.split())
        admin.execute_command("CLIENT", "KILL", "USER", "changed")
        errors: list[BusError] = []
        while not (errors and isinstance(errors[-1], BusRefused)):
            assert len(errors) < 3  # the first may be that its connection broke
            with pytest.raises(BusError) as raised:
                await append(bus, f"u{len(errors)}", "b")
            errors.append(raised.value)
        assert "docs/datacenters.md" in str(errors[-1])
        assert "secret" not in str(errors[-1])
        admin.execute_command("ACL", "SETUSER", "changed", *whole)
        await append(bus, "w", "c")
        assert (await lines(bus))[-1] == "c"
