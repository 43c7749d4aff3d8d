"""A real Prometheus, with the shipped configuration, rules and dashboard, scrapes a real node."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
import yaml

from liveserver.cluster.redis_server import free_port
from tests.ops.test_deploy import expressions
from tests.processes import NodeProcess, running

pytestmark = [pytest.mark.process, pytest.mark.redis]

DEPLOY = Path("config/deploy")
SECONDS = 60.0
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
_NAME = re.compile(r"\b(?:liveserver|process)_\w+")
# What the node of this test has: its roles, without hooks and other datacenters.
_PARTS = ("edge", "frontend", "publish", "redis", "backend")


def configuration(node: NodeProcess, absent: int, key: str) -> dict[str, Any]:
    """The shipped configuration, with the addresses of this machine, scraping often but patiently."""
    (Path(key)).write_text("secret-of-the-ops-pages\n")
    shipped: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    (job,) = shipped["scrape_configs"]
    job["authorization"]["credentials_file"] = key
    del job["dns_sd_configs"]
    job["static_configs"] = [{"targets": [f"127.0.0.1:{node.ops_port}", f"127.0.0.1:{absent}"]}]
    shipped["global"] = {
        "scrape_interval": "250ms",
        "scrape_timeout": "250ms",
        "evaluation_interval": "250ms",
    }
    return shipped


def impatient_rules() -> dict[str, Any]:
    """The shipped rules, which do not wait before they fire."""
    rules: dict[str, Any] = yaml.safe_load((DEPLOY / "alerts.yml").read_text())
    for rule in rules["groups"][0]["rules"]:
        rule.pop("for", None)
    return rules


class Prometheus:
    """The API of a running Prometheus."""

    def __init__(self, port: int, client: httpx.AsyncClient) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self._client = client

    async def get(self, path: str, **arguments: str) -> Any:
        """Return the data of an answer, which is a success."""
        answer = await self._client.get(f"{self._url}/api/v1/{path}", params=arguments)
        assert answer.status_code == 200, (path, arguments, answer.text)
        assert answer.json()["status"] == "success"
        return answer.json()["data"]

    async def wait_ready(self) -> None:
        with trio.fail_after(SECONDS):
            while True:
                try:
                    if (await self._client.get(f"{self._url}/-/ready")).status_code == 200:
                        return
                except httpx.HTTPError:
                    pass
                await trio.sleep(0.05)

    async def wait(self, path: str, is_there: Any, **arguments: str) -> Any:
        """Return the data once `is_there` says so."""
        with trio.fail_after(SECONDS):
            while True:
                data = await self.get(path, **arguments)
                if is_there(data):
                    return data
                await trio.sleep(0.1)


@asynccontextmanager
async def prometheus(
    tmp_path: Path, settings: dict[str, Any], rules: dict[str, Any]
) -> AsyncIterator[Prometheus]:
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus, of Debian's package of that name, is not installed")
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(settings))
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump(rules))
    port = free_port()
    command = [
        program,
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
        "--log.level=warn",
    ]
    with (tmp_path / "log").open("w") as log:
        process = await trio.lowlevel.open_process(command, stdout=log, stderr=log)
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
                made = Prometheus(port, client)
                await made.wait_ready()
                yield made
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
    assert "level=error" not in (tmp_path / "log").read_text(), (tmp_path / "log").read_text()


async def test_prometheus_scrapes_a_node_evaluates_the_rules_and_answers_the_dashboard(
    redis_server: str, tmp_path: Path
) -> None:
    node = NodeProcess(
        "n1", 'frontend","dispatcher","backend', redis_server, "auth.ops_key=secret-of-the-ops-pages",
        f"backend.directory={tmp_path}", "tracing.endpoint=http://127.0.0.1:1/v1/traces",
    )  # fmt: skip
    absent = free_port()
    live, dead = f"127.0.0.1:{node.ops_port}", f"127.0.0.1:{absent}"
    settings = configuration(node, absent, str(tmp_path / "key"))
    async with (
        running(node),
        prometheus(tmp_path, settings, impatient_rules()) as server,
        httpx.AsyncClient(trust_env=False, timeout=60) as client,
    ):
        refused = await client.get(f"{node.url}/v1/videos/v1/poll?cursor=malformed")
        assert refused.status_code == 400  # before the exemplar, which is waited for
        answer = await client.post(
            f"{node.url}/v1/videos/v1/events",
            json={"type": "like"},
            headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"},
        )
        assert answer.status_code == 202

        targets = await server.wait(
            "targets", lambda data: {each["health"] for each in data["activeTargets"]} == {"up", "down"}
        )
        health = {each["labels"]["instance"]: each["health"] for each in targets["activeTargets"]}
        assert health == {live: "up", dead: "down"}

        rules = (await server.get("rules"))["groups"][0]["rules"]
        assert len(rules) == len(expressions("alerts.yml"))
        await server.wait(
            "rules", lambda data: {each["health"] for each in data["groups"][0]["rules"]} == {"ok"}
        )

        def is_right(data: Any) -> bool:  # a scrape may have failed on a busy machine
            firing = [each["labels"] for each in data["alerts"] if each["state"] == "firing"]
            down = [each for each in firing if each["alertname"] == "LiveserverDown"]
            return [(each["instance"], each["severity"]) for each in down] == [(dead, "page")]

        alerts = (await server.wait("alerts", is_right))["alerts"]
        assert "LiveserverDefect" not in {each["labels"]["alertname"] for each in alerts}

        exemplars = await server.wait(
            "query_exemplars",
            lambda data: data,
            query="liveserver_publish_commit_seconds_bucket",
            start="0",
            end="4000000000",
        )
        assert {each["labels"]["trace_id"] for series in exemplars for each in series["exemplars"]} == {TRACE}

        names = set(await server.get("label/__name__/values"))
        for expression in [*expressions("grafana.json"), *expressions("alerts.yml")]:
            filled = expression.replace("$__rate_interval", "1m").replace("$job", "liveserver")
            filled = filled.replace("$instance", ".*")
            if found := re.fullmatch(r"label_values\((.*), (\w+)\)", filled):
                values = await server.get(f"label/{found[2]}/values", **{"match[]": found[1]})
                assert values == ["liveserver"] if found[2] == "job" else [live]
                continue
            await server.get("query", query=filled)
            for name in _NAME.findall(filled):
                part = name.split("_")[1]
                assert name in names or (name.startswith("liveserver_") and part not in _PARTS), name


def test_alerts_wait_as_long_as_they_say(tmp_path: Path) -> None:
    """With the rules as shipped, by Prometheus' own tests of rules."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool, of Debian's package prometheus, is not installed")
    shutil.copy(DEPLOY / "alerts.yml", tmp_path)

    def expected(name: str, at: str, **labels: str) -> dict[str, Any]:
        wanted = [{"exp_labels": {"job": "liveserver", **labels}}] if labels else []
        return {"eval_time": at, "alertname": name, "exp_alerts": wanted}

    rules = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"][0]["rules"]
    for rule in rules:  # what they say is not compared
        rule.pop("annotations")
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump({"groups": [{"name": "liveserver", "rules": rules}]}))
    labels = 'job="liveserver",instance="n1"'
    test = {
        "interval": "15s",
        "input_series": [
            {"series": f"up{{{labels}}}", "values": "1x8 0x20"},
            {"series": f"liveserver_frontend_canary_is_alive{{{labels}}}", "values": "0 1 0x20"},
            {"series": f"liveserver_publish_failures_total{{{labels}}}", "values": "0x8 10+10x20"},
        ],
        "alert_rule_test": [
            expected("LiveserverDown", "2m"),
            expected("LiveserverDown", "3m"),  # down since 2:15
            expected("LiveserverDown", "3m15s", instance="n1", severity="page"),
            expected("LiveserverNotDelivering", "45s"),
            expected("LiveserverNotDelivering", "1m", instance="n1", severity="page"),
            expected("LiveserverPublishingFails", "2m"),
            expected("LiveserverPublishingFails", "4m", instance="n1", severity="page"),
        ],
    }
    (tmp_path / "tests.yml").write_text(
        yaml.safe_dump({"rule_files": ["alerts.yml"], "evaluation_interval": "15s", "tests": [test]})
    )
    done = subprocess.run(
        [program, "test", "rules", str(tmp_path / "tests.yml")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
