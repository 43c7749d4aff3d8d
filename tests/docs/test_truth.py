"""What the documentation names exists: settings, metrics, files, and the layers of the code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import pytest

from liveserver import testing
from liveserver.auth.authorizer import AuthorizerStatistics
from liveserver.bus.memory.bus import MemoryStatistics
from liveserver.config import sections
from liveserver.dispatcher.subscriptions import LeaseStatistics
from liveserver.edge.tls import TLSStatistics
from liveserver.tracing.tracer import TracerStatistics
from tests.docs.test_links import ROOT, pages
from tests.ops.test_deploy import PARTS, samples

ALL_PARTS = PARTS | {
    "auth": AuthorizerStatistics,
    "memory_bus": MemoryStatistics,
    "leases": LeaseStatistics,
    "tls": TLSStatistics,
    "tracing": TracerStatistics,
}
METRICS = {name for part, kind in ALL_PARTS.items() for name, _ in samples(f"liveserver_{part}", kind)}
HISTORY = {"CHANGELOG.md", "bench/RESULTS.md"}
TEXTS = [page for page in pages() if str(page.relative_to(ROOT)) not in HISTORY]


def settings() -> dict[str, set[str]]:
    """The names of each section; those of named sections (`[peers.NAME]`) together with it."""
    found: dict[str, set[str]] = {}
    for name, hint in get_type_hints(sections.Settings).items():
        kind: Any = get_args(hint)[1] if get_origin(hint) is dict else hint
        found[name] = {field.encode_name for field in msgspec.structs.fields(kind)}
    return found


SETTINGS = settings()
_SETTING = re.compile(rf"`({'|'.join(SETTINGS)})\.(?!lua`|py`|pml`)([a-z_0-9]+)(?=[ =`,])")
_METRIC = re.compile(r"\bliveserver_[a-z0-9_]+\b")
_FILE = re.compile(r"`((?:liveserver|tests|bench|config|docs)/[\w./-]+)`")
_NO_METRICS = {"liveserver_token", "liveserver_client"}  # the cookie, the Python client


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_settings_metrics_and_files_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text()
    for section, name in _SETTING.findall(text):
        assert name in SETTINGS[section], f"there is no setting {section}.{name}"
    for metric in _METRIC.findall(text):
        if metric in _NO_METRICS:
            continue
        assert {metric, f"{metric}_bucket"} & METRICS, f"there is no metric {metric}"
    for file in _FILE.findall(text):
        assert (ROOT / file).exists(), f"there is no {file}"


def test_the_layers_of_the_architecture_are_those_that_are_checked() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(each["layers"] for each in contracts if each.get("containers") == ["liveserver"])
    text = (ROOT / "ARCHITECTURE.md").read_text()
    shown = re.findall(r"^```text\n(cli\n.*?)^```", text, re.M | re.S)
    assert [block.split("\n")[:-1] for block in shown] == [layers]


def test_every_package_stands_in_the_architecture_once() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    named = re.findall(r"^\| `(\w+)` \|", text, re.M)
    packages = sorted(path.parent.name for path in (ROOT / "liveserver").glob("*/__init__.py"))
    assert sorted(named) == packages


def test_the_line_to_wait_for_is_found_by_the_key_that_logs_have() -> None:
    """`tests/node/test_logs.py` shows the key."""
    for text in ((ROOT / "docs" / "clients.md").read_text(), testing.__doc__ or ""):
        assert re.findall(r"line\s+whose `(\w+)` is `ready`", text) == ["message"]
