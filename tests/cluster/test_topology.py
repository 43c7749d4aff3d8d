"""Parsing of cluster files, and their errors."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import trio

from liveserver.cluster import ports, topology
from liveserver.config import Address, Secret, load
from liveserver.errors import ConfigError
from tests.cluster.harness import CLUSTER, write

CONFIG = Path(__file__).parent.parent.parent / "config"


def test_the_shipped_cluster_has_the_ports_that_are_promised() -> None:
    plan = topology.load(CONFIG / "cluster.toml")
    assert [datacenter.redis for datacenter in plan.datacenters] == [6401, 6402]
    assert {node.name: (node.role, node.public, node.ops) for node in plan.nodes} == {
        f"dc{n}-{name}{i}": (role, f"127.0.0.1:8{n}{k}{i}", f"127.0.0.1:9{n}{k}{i}")
        for n in (1, 2)
        for name, role, k, count in (
            ("fe", "frontend", 0, 2), ("di", "dispatcher", 1, 2), ("be", "backend", 2, 1),
        )
        for i in range(1, count + 1)
    }  # fmt: skip


@pytest.mark.parametrize(("name", "datacenters"), [("cluster", 2), ("three-datacenters", 3)])
def test_dispatchers_have_the_other_datacenters_as_peers(name: str, datacenters: int) -> None:
    plan = topology.load(CONFIG / f"{name}.toml")
    ports = {datacenter.name: datacenter.redis for datacenter in plan.datacenters}
    assert len(ports) == datacenters
    for node in plan.nodes:
        wanted = {
            f'peers.{other}.url="redis://127.0.0.1:{port}/0"'
            for other, port in ports.items()
            if other != node.datacenter and node.role == "dispatcher"
        }
        assert {word for word in node.command if word.startswith("peers.")} == wanted


def test_a_node_is_started_by_a_command_that_says_it_all(tmp_path: Path) -> None:
    frontend, dispatcher = topology.load(write(tmp_path, CLUSTER.format(1, 2, 3, 4, 5))).nodes
    assert frontend.command[:5] == (sys.executable, "-m", "liveserver", "run", "--until-eof")
    assert "--config" not in frontend.command
    assert set(frontend.command) >= {
        'node.drain_timeout="100ms"',
        'node.name="dc1-fe1"',
        'node.roles=["frontend"]',
        'listen.public="127.0.0.1:2"',
        'bus.url="redis://127.0.0.1:1/0"',
        'frontend.dispatchers=["http://127.0.0.1:4"]',
    }
    assert not any("frontend" in word for word in dispatcher.command)


def test_a_likes_backend_has_a_file_of_its_own_unless_all_store_in_one_place(tmp_path: Path) -> None:
    text = CLUSTER.format(1, 2, 3, 4, 5).rstrip().removesuffix("]")
    text += '    { name = "dc1-be1", role = "backend", public = 6, ops = 7 },\n]\n'
    *_, backend = topology.load(write(tmp_path, text)).nodes
    assert 'backend.dispatchers=["http://127.0.0.1:4"]' in backend.command
    assert backend.command[-1].startswith("backend.dispatchers")
    assert 'backend.database="dc1-be1.db"' in backend.command

    shared = '[settings.backend]\ndatabase = "postgresql://all"\n\n[settings.node]'
    *_, backend = topology.load(write(tmp_path, text.replace("[settings.node]", shared))).nodes
    assert 'backend.database="postgresql://all"' in backend.command
    assert 'backend.database="dc1-be1.db"' not in backend.command

    (tmp_path / "backend.toml").write_text('[backend]\ndatabase = "postgresql://all"\n')
    based = text.replace("[settings.node]", '[config]\nbackend = "backend.toml"\n\n[settings.node]')
    *_, backend = topology.load(write(tmp_path, based)).nodes
    assert not any("backend.database" in word for word in backend.command)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("redis = 1", "redis = 0"), "datacenters[0].redis: 0 is not a whole number, at least 1"),
        (("redis = 1", "redish = 1"), "datacenters[0].redish: there is no such setting"),
        (("public = 4", "public = 2"), "port 2 is used 2 times; give each its own"),
        (("dc1-di1", "dc1-fe1"), "the name dc1-fe1 is used 2 times; give each its own"),
        (('"dispatcher"', '"frontend"'), "datacenters.dc1: has a frontend but no dispatcher; add one"),
        (('"dispatcher"', '"cook"'), "datacenters[0].nodes[1].role: 'cook' is not one of"),
        (
            ("drain_timeout = ", "drain_timeuot = "),
            "node.drain_timeuot: there is no such setting; did you mean drain_timeout?",
        ),
        (('"100ms"', '"soon"'), "node.drain_timeout: 'soon' is not a duration"),
        (("[settings.node]", "[setings.node]"), "setings: there is no such setting; did you mean settings?"),
    ],
)
def test_an_invalid_topology_is_refused_with_its_place(
    change: tuple[str, str], complaint: str, tmp_path: Path
) -> None:
    path = write(tmp_path, CLUSTER.format(1, 2, 3, 4, 5).replace(*change))
    with pytest.raises(ConfigError, match=re.escape(complaint)) as caught:
        topology.load(path)
    assert str(caught.value).startswith(f"{path}: ")


async def test_a_port_is_in_use_while_a_process_listens() -> None:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    address = Address(f"127.0.0.1:{listener.socket.getsockname()[1]}")
    assert ports.is_busy(address)
    await listener.aclose()
    assert not ports.is_busy(address)


def test_secrets_of_the_file_are_in_the_environment_and_not_on_the_command_line(tmp_path: Path) -> None:
    secret, key, password = "s" * 40, "k" * 40, "pa55word"
    text = CLUSTER.format(1, 2, 3, 4, 5).replace(
        "[[datacenters]]",
        f"""[settings.auth]
secret = "{secret}"
nodes_secret = "{secret}"
viewers = "token"
publishers = {{ Site-1 = {{ key = "{key}" }} }}

[settings.backend]
database = "postgresql://me:{password}@db/likes"

[[datacenters]]""",
        1,
    )
    for node in topology.load(write(tmp_path, text)).nodes:
        assert not any(word in " ".join(node.command) for word in (secret, key, password))
        assert 'auth.viewers="token"' in node.command
        overrides = node.command[node.command.index("--set") + 1 :: 2]
        settings = load(None, overrides, node.environment)
        assert settings.auth.secret == settings.auth.nodes_secret == Secret(secret)
        assert settings.auth.publishers["Site-1"].key == Secret(key)
        assert settings.backend.database == f"postgresql://me:{password}@db/likes"


def test_the_package_brings_the_clusters_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert topology.find(topology.DEFAULT) == topology.DEFAULT
    monkeypatch.chdir(tmp_path)
    found = topology.find(topology.DEFAULT)
    assert found == topology.SHIPPED
    assert topology.load(found).nodes[0].name == "dc1-fe1"
    assert topology.find(Path("mine.toml")) == Path("mine.toml")
