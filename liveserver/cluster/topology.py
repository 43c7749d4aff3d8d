"""Reads and checks config/cluster.toml: the nodes, and the command that starts each."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from liveserver import config
from liveserver.cluster.workers import ops_addresses
from liveserver.config import Address, Datacenter, Duration, Name, RoleName, Section
from liveserver.config.writing import toml
from liveserver.errors import ConfigError

HOST = "127.0.0.1"

DEFAULT = Path("config/cluster.toml")
SHIPPED = Path(__file__).parent / "shipped" / "cluster.toml"  # the same file, part of the package

Port = Annotated[int, Meta(ge=1, le=65535)]


class _Node(Section, frozen=True):
    name: Name
    role: RoleName
    public: Port
    ops: Port


class _Datacenter(Section, frozen=True):
    name: Datacenter
    redis: Port
    nodes: list[_Node]


class _File(Section, frozen=True):
    datacenters: list[_Datacenter]
    stop_after: Duration = Duration(5.0)
    config: dict[RoleName, str] = msgspec.field(default_factory=dict)
    settings: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)


class NodeSpec(msgspec.Struct, frozen=True):
    """One node: its role, its addresses, and the command line and environment that start it.

    `all_ops` are the ops addresses of its workers; `ops` is the first.
    """

    name: str
    role: str
    datacenter: str
    public: Address
    ops: Address
    command: tuple[str, ...]
    all_ops: tuple[Address, ...] = ()
    environment: dict[str, str] = {}  # secrets, added to this process' own environment


class DatacenterSpec(msgspec.Struct, frozen=True):
    """One datacenter: the port of its Redis, and its nodes."""

    name: str
    redis: int
    nodes: list[NodeSpec]


class Topology(msgspec.Struct, frozen=True):
    """A cluster. A node that has not ended `stop_after` seconds after SIGTERM is killed."""

    source: Path
    datacenters: list[DatacenterSpec]
    stop_after: float = 5.0

    @property
    def nodes(self) -> list[NodeSpec]:
        return [node for datacenter in self.datacenters for node in datacenter.nodes]


def find(path: Path) -> Path:
    """Return `path`, or the package's own cluster file if `path` is the default and does not exist."""
    return SHIPPED if path == DEFAULT and not path.exists() else path


def load(path: Path) -> Topology:
    """Return the topology in a file, with each node's settings checked as the node itself does.

    Raises `ConfigError`, which names the file, the setting, and what to write instead.
    """
    try:
        file = config.convert(config.read_toml(path), _File)
        _check(file)
        plans = [_plan(file, datacenter, path) for datacenter in file.datacenters]
        _check_workers(plans)
        return Topology(path, plans, file.stop_after)
    except ConfigError as error:
        if error.where == str(path):
            raise
        raise ConfigError(str(path), str(error)) from None


def _check(file: _File) -> None:
    if not any(datacenter.nodes for datacenter in file.datacenters):
        raise ConfigError("datacenters", "have no nodes; name at least one dispatcher and one frontend")
    names = Counter(node.name for datacenter in file.datacenters for node in datacenter.nodes)
    names.update(datacenter.name for datacenter in file.datacenters)
    for name, uses in names.items():
        if uses > 1:
            raise ConfigError("datacenters", f"the name {name} is used {uses} times; give each its own")
    ports = Counter(datacenter.redis for datacenter in file.datacenters)
    ports.update(
        port
        for datacenter in file.datacenters
        for node in datacenter.nodes
        for port in (node.public, node.ops)
    )
    for port, uses in ports.items():
        if uses > 1:
            raise ConfigError("datacenters", f"port {port} is used {uses} times; give each its own")
    for datacenter in file.datacenters:
        roles = {node.role for node in datacenter.nodes}
        for role in ("frontend", "backend"):
            if role in roles and "dispatcher" not in roles:
                raise ConfigError(
                    f"datacenters.{datacenter.name}", f"has a {role} but no dispatcher; add one"
                )


def _check_workers(plans: list[DatacenterSpec]) -> None:
    """Check that the ops ports that follow from `node.workers` are not used twice."""
    nodes = [node for plan in plans for node in plan.nodes]
    taken = {plan.redis: f"{plan.name}'s Redis" for plan in plans} | {
        node.public.port: node.name for node in nodes
    }
    for node in nodes:
        for number, ops in enumerate(node.all_ops, 1):
            if (other := taken.setdefault(ops.port, node.name)) != node.name or ops == node.public:
                raise ConfigError(
                    "settings.node.workers",
                    f"worker {number} of {node.name} has the ops port {ops.port}, which is {other}'s; "
                    "leave as many ports free after each node's ops port as it has workers",
                )


def _plan(file: _File, datacenter: _Datacenter, path: Path) -> DatacenterSpec:
    dispatchers = [f"http://{HOST}:{node.public}" for node in datacenter.nodes if node.role == "dispatcher"]
    peers = {
        f"peers.{other.name}.url": _redis_url(other) for other in file.datacenters if other is not datacenter
    }
    shared = [
        f"{section}.{name}={toml(value, reveal=True)}"
        for section, values in file.settings.items()
        for name, value in values.items()
    ]
    nodes = []
    for node in datacenter.nodes:
        public, ops = f"{HOST}:{node.public}", f"{HOST}:{node.ops}"
        identity = {
            "node.name": node.name,
            "node.datacenter": datacenter.name,
            "node.roles": [node.role],
            "listen.public": public,
            "listen.ops": ops,
            "bus.kind": "redis",
            "bus.url": _redis_url(datacenter),
            **(peers if node.role == "dispatcher" else {f"{node.role}.dispatchers": dispatchers}),
        }
        base = path.parent / file.config[node.role] if node.role in file.config else None
        # Each likes backend has a database file of its own, unless one is configured for all.
        said = (file.settings, config.read_toml(base) if base else {})
        has_own = node.role == "backend" and not any("database" in each.get("backend", {}) for each in said)
        own = [f"backend.database={toml(f'{node.name}.db')}"] if has_own else []
        overrides = [
            *own,
            *shared,
            *(f"{name}={toml(value, reveal=True)}" for name, value in identity.items()),
        ]
        settings = config.load(
            base, overrides
        )  # now, so that what is wrong is said once and not by every child
        command = [sys.executable, "-m", "liveserver", "run", "--until-eof"]
        command += ["--config", str(base)] if base else []
        shown, environment = config.move_secrets(overrides)
        command += [argument for override in shown for argument in ("--set", override)]
        nodes.append(
            NodeSpec(
                node.name,
                node.role,
                datacenter.name,
                Address(public),
                Address(ops),
                tuple(command),
                ops_addresses(settings),
                environment,
            )
        )
    return DatacenterSpec(datacenter.name, datacenter.redis, nodes)


def _redis_url(datacenter: _Datacenter) -> str:
    return f"redis://{HOST}:{datacenter.redis}/0"
