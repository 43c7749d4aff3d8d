"""compose.yml: each node's environment is a configuration that liveserver accepts; what it names exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from liveserver.auth.authorizer import Authorizer
from liveserver.config import Settings, load, unknown_in

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "config" / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
NODES = [name for name, service in SERVICES.items() if service["image"].startswith("liveserver:")]


def settings_of(name: str, directory: Path) -> Settings:
    """Load a service's configuration from its environment, with its secrets in `directory`."""
    environment = dict(SERVICES[name]["environment"])
    for secret in SERVICES[name]["secrets"]:
        (directory / secret).write_text(secret[:1] * 40)
    assert unknown_in(environment) == []
    return load(
        None, (), {key: value.replace("/run/secrets", str(directory)) for key, value in environment.items()}
    )


def test_it_is_a_datacenter() -> None:
    assert set(NODES) == {"dispatcher", "frontend", "backend"}
    assert {"redis", "postgres", "prometheus", "grafana"} < set(SERVICES)
    assert SERVICES["dispatcher"]["deploy"]["replicas"] == SERVICES["frontend"]["deploy"]["replicas"] == 2


@pytest.mark.parametrize("name", NODES)
def test_each_node_has_a_configuration_that_starts(name: str, tmp_path: Path) -> None:
    service, settings = SERVICES[name], settings_of(name, tmp_path)
    Authorizer(settings)  # reads the secrets
    assert settings.node.roles == [name]
    assert not settings.node.allow_unauthenticated
    assert settings.bus.url.split("/")[2].split(":")[0] in SERVICES
    for url in (*settings.frontend.dispatchers, *settings.backend.dispatchers):
        assert url == f"dns+http://dispatcher:{settings.listen.public.port}"
    port = str(settings.listen.public.port)
    assert all(each.startswith("127.0.0.1:") and each.endswith(f":{port}") for each in service["ports"])
    grace = int(service["stop_grace_period"].removesuffix("s"))
    assert grace >= settings.node.lame_duck + settings.node.drain_timeout + 10
    assert service["ulimits"]["nofile"]["soft"] > settings.edge.max_connections
    assert service["command"][0] == "run"


def test_what_it_names_is_there() -> None:
    for name, service in SERVICES.items():
        assert re.search(r":(local|v?\d[\w.-]*)$", service["image"]), f"{name}'s image is pinned by a tag"
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]
        for secret in service.get("secrets", ()):
            assert COMPOSE["secrets"][secret]["file"] == f"./secrets/{secret}"
        assert set(service.get("depends_on", ())) <= set(SERVICES)
    assert (ROOT / SERVICES["frontend"]["build"]["dockerfile"]).exists()


def test_prometheus_finds_all_nodes_at_their_ops_port(tmp_path: Path) -> None:
    prometheus = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    [scrape] = prometheus["scrape_configs"]
    [found] = scrape["dns_sd_configs"]
    assert set(found["names"]) == set(NODES)
    assert {settings_of(name, tmp_path).listen.ops.port for name in NODES} == {found["port"]}
    assert all((DEPLOY / name).exists() for name in prometheus["rule_files"])
    assert scrape["authorization"]["credentials_file"] == "/run/secrets/ops"
    assert "ops" in SERVICES["prometheus"]["secrets"]
