"""The bus keeps its rules wherever Redis is, and goes on after a failover."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import redis
import trio

from liveserver.bus.interface import Inbox
from liveserver.bus.redis import bus as redis_bus
from liveserver.bus.redis import reporting
from liveserver.bus.redis.bus import RedisBus
from liveserver.cluster.redis_server import free_port
from liveserver.config import BusSettings, HistorySettings
from liveserver.errors import BusError, ConfigError
from tests.bus import (
    test_contract,
    test_contract_inboxes,
    test_contract_relay,
    test_contract_viewer_counts,
    test_contract_watched,
    test_hook_queue,
)
from tests.bus.deployments import PASSWORD, Deployment, clustered, encrypted, wait, watched
from tests.bus.redis_harness import (
    append,
    append_at_last,
    eventually_says_missed,
    lines,
    next_batches,
    open_bus,
    silence,
)
from tests.conftest import Until

pytestmark = [pytest.mark.process, pytest.mark.redis]

Rule = Callable[[RedisBus], Awaitable[None]]

# Those that take no time, and say nothing about it.
RULES: list[Rule] = [
    rule
    for module in (
        test_contract,
        test_contract_inboxes,
        test_contract_relay,
        test_contract_watched,
        test_hook_queue,
    )
    for name, rule in vars(module).items()
    if name.startswith("test_")
    and list(inspect.signature(rule).parameters) == ["bus"]
    and name != "test_a_lease_ends_by_itself"
]
RULES.append(test_contract_viewer_counts.test_every_node_of_a_video_receives_its_viewer_count)
PRUNING = "test_a_row_whose_node_does_not_listen_is_pruned"


@pytest.fixture(scope="module", params=[encrypted, watched, clustered], ids=lambda deploy: deploy.__name__)
def deployment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    with request.param(tmp_path_factory.mktemp("deployment")) as deployment:
        yield deployment


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__.removeprefix("test_"))
async def test_the_rules_hold(deployment: Deployment, rule: Rule) -> None:
    if rule.__name__ == PRUNING and "cluster" in deployment.url:
        return  # there a lease ends by itself only
    deployment.empty()
    async with open_bus(deployment.url) as bus:
        await rule(bus)


@pytest.fixture
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("failover")


async def keep_hearing(inbox: Inbox) -> None:
    async for _ in inbox:
        pass


async def test_a_master_newly_named_by_sentinel_is_used(directory: Path) -> None:
    with watched(directory) as deployment:
        async with open_bus(deployment.url, answer_in=3) as bus, bus.inbox("n") as inbox:
            await bus.subscribe("n", {"v": 1}, 60)
            before = await append(bus, "t1", "a", "b")
            wait_replicated(deployment, PASSWORD)
            deployment.servers[0].process.kill()
            after = await append_at_last(bus, "t2", "c")
            assert (after.epoch, after.first) == (before.epoch, 3)
            assert await lines(bus) == ["a", "b", "c"]
            await eventually_says_missed(inbox)
            await bus.subscribe("n", {"v": 1}, 60)
            await append(bus, "t3", "d")
            assert (await next_batches(inbox))[-1].lines == [b"like d"]


@pytest.mark.parametrize("is_whole", [True, False])
async def test_the_replica_of_a_dead_cluster_server_takes_over(directory: Path, is_whole: bool) -> None:
    """If it has less than was heard, in a new epoch; also if who appends there has heard nothing."""
    with clustered(directory) as deployment:
        async with (
            open_bus(deployment.url, answer_in=3) as bus,
            open_bus(deployment.url, answer_in=3) as other,
            bus.inbox("n") as inbox,
            trio.open_nursery() as nursery,
        ):
            before = await append(bus, "t1", "a", "b")
            client = wait_replicated(deployment)
            nursery.start_soon(keep_hearing, inbox)
            deployment.servers[0].process.kill()
            await trio.to_thread.run_sync(wait, lambda: client.info("replication")["role"] == "master")
            if not is_whole:
                client.hset("ls:{v}:meta", mapping={"offset": 1, "number": 1})
                client.delete("ls:{v}:log")
                client.xadd("ls:{v}:log", {"o": f"dc1 {before.epoch} 1", "l": "like a"}, "1-0")
            after = await append_at_last(other, "t2", "c")
            assert after.epoch == before.epoch if is_whole else after.epoch != before.epoch
            assert after.first == (3 if is_whole else 1)
            assert await lines(bus) == (["a", "b", "c"] if is_whole else ["c"])
            nursery.cancel_scope.cancel()


async def test_in_a_cluster_a_member_that_is_gone_may_have_known_more(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time decides how soon a log that is behind a reported head is left, not whether."""
    monkeypatch.setattr(redis_bus, "settling", lambda timeout: 1.0)
    with clustered(directory) as deployment:
        async with (
            open_bus(deployment.url, answer_in=3) as stays,
            open_bus(deployment.url, answer_in=3) as gone,
            stays.inbox("n"),
            gone.inbox("m"),
        ):
            await append(gone, "t1", "a")
            before = await append(stays, "t2", "b")
            replica = wait_replicated(deployment)
            replica.config_set("masterauth", "wrong")
            master = redis.Redis(port=deployment.servers[0].port)
            master.client_kill_filter(_type="replica")
            await append(gone, "t3", "c")  # no other process has received it
            silence(gone)
            deployment.servers[0].process.kill()
            await trio.to_thread.run_sync(wait, lambda: replica.info("replication")["role"] == "master")
            after = await append_at_last(stays, "t4", "d")
            assert (after.epoch != before.epoch, after.first, await lines(stays)) == (True, 1, ["d"])


async def test_in_a_cluster_members_that_were_killed_are_dropped(
    directory: Path, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    """Members that listen at none of its servers have ended; those that listen elsewhere have not."""
    monkeypatch.setattr(reporting, "BEAT", 0.1)
    with clustered(directory) as deployment:
        async with (
            open_bus(deployment.url) as bus,
            open_bus(deployment.url) as other,
            bus.inbox("n"),
            other.inbox("m"),
        ):
            await append(bus, "t1", "a")
            clients = [redis.Redis(port=server.port) for server in deployment.servers[:3]]
            lists = [(client, key) for client in clients for key in client.keys("ls:{!*}:members")]
            assert len(lists) == 3
            for client, key in lists:
                client.hset(key, "killed", "whenever")

            async def only_these() -> bool:
                living = {bus._membership.process.encode(), other._membership.process.encode()}
                return all(set(client.hgetall(key)) == living for client, key in lists)

            await until(only_these)
        for client, key in lists:
            assert not client.exists(key), "members that leave say so"


def wait_replicated(deployment: Deployment, password: str | None = None) -> redis.Redis:
    """The last server, which is the first one's replica, once it has two events."""
    client = redis.Redis(port=deployment.servers[-1].port, password=password)
    if password is None:
        client.execute_command("READONLY")
    wait(lambda: client.xlen("ls:{v}:log") == 2)
    return client


async def test_an_untrusted_certificate_is_refused(directory: Path) -> None:
    with encrypted(directory) as deployment:
        for url in (deployment.url.partition("?")[0], deployment.url.replace("127.0.0.1", "localhost")):
            async with open_bus(url, answer_in=60) as bus:
                with pytest.raises(BusError, match="certificate verify failed"):
                    await bus.ping()
        async with open_bus(deployment.url.replace("hunter2", "hunter3"), answer_in=60) as bus:
            with pytest.raises(BusError, match="username-password") as caught:
                await bus.ping()
            assert "hunter" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://h1,h2",
        "redis+sentinel://h1,h2/name/first",
        "redis+sentinel://h1,,h2/name",
        "redis+sentinel://h1:x/name",
        "redis+cluster://h1,h2/name",
        "redis+cluster://:hunter2@",
        "redis+cluster://h1?sentinel_password=hunter2",
        "redis+other://:hunter2@h1",
        "http+cluster://:hunter2@h1",
    ],
)
def test_malformed_urls_are_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"bus\.url.*redis\+sentinel://host1,host2/name") as refused:
        RedisBus("dc1", BusSettings(url=url), HistorySettings())
    assert "hunter2" not in str(refused.value)


async def test_no_message_has_a_password() -> None:
    nowhere = free_port()
    for scheme, end in (("sentinel", "/name?sentinel_password=hunter3"), ("cluster", "")):
        url = f"redis+{scheme}://live:hunter2%2F@127.0.0.1:{nowhere},127.0.0.1:{free_port()}{end}"
        async with open_bus(url, answer_in=0.5) as bus:
            with pytest.raises(BusError, match=rf"127\.0\.0\.1:{nowhere}") as caught:
                await bus.ping()
            with pytest.raises(BusError) as also:
                async with bus.inbox("n"):
                    pass
            assert "hunter" not in str(caught.value) + str(also.value)
