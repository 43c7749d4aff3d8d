"""The dashboard and the alert rules in config/deploy name only metrics that there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
import yaml

from liveserver.backend.backend import BackendStatistics
from liveserver.bus.canary import CanaryStatistics
from liveserver.bus.redis.bus import RedisStatistics
from liveserver.dispatcher.publish import PublishStatistics
from liveserver.dispatcher.relay.relay import RelayStatistics
from liveserver.edge.statistics import EdgeStatistics
from liveserver.frontend.status import FrontendStatistics
from liveserver.hooks.hooks import HookStatistics
from liveserver.instruments import Distribution

DEPLOY = Path("config/deploy")
PARTS: dict[str, type[Any]] = {
    "edge": EdgeStatistics,
    "frontend": FrontendStatistics,
    "publish": PublishStatistics,
    "canary": CanaryStatistics,
    "redis": RedisStatistics,
    "relay": RelayStatistics,
    "backend": BackendStatistics,
    "hooks": HookStatistics,
}
OTHERS = {
    "up",
    "liveserver_node_info",
    "process_resident_memory_bytes",
    "process_cpu_seconds_total",
    "process_open_fds",
    "process_max_fds",
}
_NAME = re.compile(r"\b(?:liveserver|process)_\w+|\bup\b(?=\{)")
_LABEL = re.compile(r'(\w+)=~?"')


def samples(prefix: str, kind: type[Any]) -> Iterator[tuple[str, str | None]]:
    """Each sample's name that a kind of statistics gives, with its own label."""
    for field, hint in get_type_hints(kind, include_extras=True).items():
        plain, *notes = get_args(hint) if hasattr(hint, "__metadata__") else (hint,)
        extra = next((note.extra for note in notes if isinstance(note, msgspec.Meta) and note.extra), {})
        name = f"{prefix}_{extra.get('name') or field}"
        inner = get_args(plain)[0] if getattr(plain, "__origin__", None) is list else plain
        if inner is Distribution:
            yield from ((f"{name}_{ending}", None) for ending in ("bucket", "sum", "count"))
        elif isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            yield from ((sample, extra.get("label") or label) for sample, label in samples(name, inner))
        elif extra:
            yield f"{name}_total" if extra["kind"] == "counter" else name, extra["label"]


KNOWN = dict.fromkeys(OTHERS) | {
    name: label for part, kind in PARTS.items() for name, label in samples(f"liveserver_{part}", kind)
}


def expressions(name: str) -> list[str]:
    text = (DEPLOY / name).read_text()
    if name.endswith(".yml"):
        return [rule["expr"] for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
    dashboard = json.loads(text)
    found = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    return found + [each["query"] for each in dashboard["templating"]["list"]]


def promtool(*arguments: str) -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool, of Debian's package prometheus, is not installed")
    done = subprocess.run([found, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_reads_the_alert_rules() -> None:
    assert f"{len(expressions('alerts.yml'))} rules found" in promtool(
        "check", "rules", str(DEPLOY / "alerts.yml")
    )


def test_prometheus_reads_its_configuration_with_the_rules(tmp_path: Path) -> None:
    (tmp_path / "ops").write_text("key")
    text = (DEPLOY / "prometheus.yml").read_text().replace("/run/secrets/ops", str(tmp_path / "ops"))
    (tmp_path / "prometheus.yml").write_text(text)
    shutil.copy(DEPLOY / "alerts.yml", tmp_path)
    assert "1 rule files found" in promtool("check", "config", str(tmp_path / "prometheus.yml"))


def test_prometheus_reads_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    """As recording rules, since those are checked. What Grafana fills in is replaced."""
    rules = []
    for number, expression in enumerate(expressions("grafana.json")):
        filled = re.sub(r"\$__\w+", "1m", expression).replace("$job", "j").replace("$instance", "i")
        if not filled.startswith("label_values("):  # Grafana's own
            rules.append({"record": f"panel:{number}", "expr": re.sub(r"\$\w+", "x", filled)})
    assert len(rules) > 10
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", str(tmp_path / "panels.yml"))


@pytest.mark.parametrize("file", ["alerts.yml", "grafana.json"])
def test_every_metric_they_name_exists(file: str) -> None:
    named = {name for expression in expressions(file) for name in _NAME.findall(expression)}
    assert len(named) > 10
    assert named - set(KNOWN) == set()


@pytest.mark.parametrize("file", ["alerts.yml", "grafana.json"])
def test_every_label_they_group_by_exists(file: str) -> None:
    everywhere = {"job", "instance", "le"}
    for expression in expressions(file):
        own = {KNOWN.get(name) for name in _NAME.findall(expression)}
        grouped = [
            label.strip() for by in re.findall(r"by \(([^)]*)\)", expression) for label in by.split(",")
        ]
        assert set(grouped) | set(_LABEL.findall(expression)) <= everywhere | own, expression


def test_every_alert_says_what_to_do() -> None:
    rules = [
        rule
        for group in yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]
        for rule in group["rules"]
    ]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]


def test_no_panel_lies_on_another() -> None:
    panels = json.loads((DEPLOY / "grafana.json").read_text())["panels"]
    taken = [
        (x, y)
        for at in (panel["gridPos"] for panel in panels)
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
