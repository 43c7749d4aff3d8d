"""The Helm chart: valid for Kubernetes, with configurations that liveserver accepts.

`rendered/chart.yaml` is what `helm template` made of the chart, so that tests need no helm; they fail when
the chart has changed since. Where there is a helm they compare, too. Anew:

    python -m tests.deploy.test_helm
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from liveserver import __version__
from liveserver.auth.authorizer import Authorizer
from liveserver.config import Settings, load, unknown_in
from tests.ops.test_deploy import KNOWN

ROOT = Path(__file__).parents[2]
CHART = ROOT / "config" / "deploy" / "helm" / "liveserver"
RENDERED = Path(__file__).parent / "rendered" / "chart.yaml"
KUBERNETES = "1.30"
VALUES = {
    "secrets.nodesSecret": "n" * 40,
    "secrets.viewersSecret": "v" * 40,
    "secrets.opsKey": "o" * 40,
    "secrets.publisherKey": "p" * 40,
    "secrets.busUrl": "redis://redis:6379/0",
    "secrets.databaseUrl": "postgresql://user:password@postgres/liveserver",
    "settings.history.max_events": "1000000",  # helm reads numbers as floats
    "settings.history.max_age": "5m",
    "settings.edge.allow_origins": "{https://example.org,https://www.example.org}",
}
ROLES = ("frontend", "dispatcher", "backend")


def checksum() -> str:
    digest = hashlib.sha256(repr(sorted(VALUES.items())).encode())
    for file in sorted(CHART.rglob("*")):
        if file.is_file():
            digest.update(str(file.relative_to(CHART)).encode() + file.read_bytes())
    return digest.hexdigest()


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("helm")
    if program is None:
        pytest.skip("helm is not installed; the rendered chart is tested")
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=120, check=False)


def render(**other: str) -> subprocess.CompletedProcess[str]:
    values = [word for pair in (VALUES | other).items() for word in ("--set", "=".join(pair))]
    return helm("template", "live", str(CHART), "--kube-version", f"{KUBERNETES}.0", *values)


@cache
def parse(text: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(text) if each]


def objects(kind: str, text: str = "") -> dict[str, dict[str, Any]]:
    """The rendered objects of a kind, by the component that they are for, or by their name."""
    return {
        each["metadata"]["name"].removeprefix("live-liveserver-"): each
        for each in parse(text or RENDERED.read_text())
        if each["kind"] == kind
    }


def pod(role: str) -> dict[str, Any]:
    spec: dict[str, Any] = objects("Deployment")[role]["spec"]["template"]["spec"]
    return spec


def settings_of(role: str, directory: Path) -> Settings:
    """Load the configuration from a pod's environment, with the secrets as files in `directory`."""
    secrets = objects("Secret")["secrets"]["stringData"]
    for name, value in secrets.items():
        (directory / name).write_text(value)
    environment = {}
    for entry in pod(role)["containers"][0]["env"]:
        source = entry.get("valueFrom", {})
        if "secretKeyRef" in source:
            assert source["secretKeyRef"]["name"] == objects("Secret")["secrets"]["metadata"]["name"]
            environment[entry["name"]] = secrets[source["secretKeyRef"]["key"]]
        else:
            value = entry.get("value", f"live-liveserver-{role}-6c9f-x7")
            environment[entry["name"]] = value.replace("/etc/liveserver/secrets", str(directory))
    assert unknown_in(environment) == []
    return load(None, (), environment)


def test_the_chart_has_not_changed_since_it_was_rendered() -> None:
    first, _, _ = RENDERED.read_text().partition("\n")
    assert first == f"# {checksum()}", "run: python -m tests.deploy.test_helm"


def test_helm_has_no_complaint_and_renders_the_same() -> None:
    values = [word for pair in VALUES.items() for word in ("--set", "=".join(pair))]
    lint = helm("lint", "--strict", str(CHART), *values)
    assert lint.returncode == 0, lint.stdout
    made = render()
    assert made.returncode == 0, made.stderr
    assert parse(made.stdout) == parse(RENDERED.read_text())
    refused = render(**{"secrets.opsKey": ""})
    assert "secrets.opsKey: what `liveserver token --key` prints" in refused.stderr
    assert "datacenter" in render(datacenter="Not A Name").stderr
    own = render(
        **{"secrets.existing": "mine", "backend.enabled": "false", "frontend.autoscaling.enabled": "false"}
    )
    assert set(objects("Deployment", own.stdout)) == {"frontend", "dispatcher"}
    assert objects("Secret", own.stdout) == {}
    assert objects("Deployment", own.stdout)["frontend"]["spec"]["replicas"] == 2


def test_kubernetes_accepts_every_object() -> None:
    found = parse(RENDERED.read_text())
    assert len(found) > 10
    for each in found:
        kubernetes_validate.validate(each, KUBERNETES, strict=True)
    broken = found[0] | {"spec": found[0]["spec"] | {"ingres": []}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, KUBERNETES, strict=True)


@pytest.mark.parametrize("role", ROLES)
def test_each_pod_has_a_configuration_that_starts_and_time_to_drain(role: str, tmp_path: Path) -> None:
    settings, spec = settings_of(role, tmp_path), pod(role)
    Authorizer(settings)  # reads the secrets
    assert settings.node.roles == [role]
    assert settings.node.name is not None
    assert not settings.node.allow_unauthenticated
    assert settings.history.max_events == 1_000_000
    assert settings.edge.allow_origins == ["https://example.org", "https://www.example.org"]
    least = settings.node.lame_duck + settings.node.drain_timeout + 10
    assert spec["terminationGracePeriodSeconds"] >= least
    container = spec["containers"][0]
    assert container["image"] == f"liveserver:{__version__}"
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert ports == {"http": settings.listen.public.port, "ops": settings.listen.ops.port}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "ops"}
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "ops"}
    lame = container["readinessProbe"]["periodSeconds"] * container["readinessProbe"]["failureThreshold"]
    assert lame <= settings.node.lame_duck + 2, "the pod is out of the service before it stops accepting"
    assert spec["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]


def test_dispatchers_are_found_by_the_name_of_a_headless_service(tmp_path: Path) -> None:
    service = objects("Service")["dispatchers"]
    assert service["spec"]["clusterIP"] == "None"
    url = f"dns+http://{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"
    assert settings_of("frontend", tmp_path).frontend.dispatchers == [url]
    assert settings_of("backend", tmp_path).backend.dispatchers == [url]


def test_all_selectors_match_the_pods_they_are_for() -> None:
    labels = {
        role: each["spec"]["template"]["metadata"]["labels"] for role, each in objects("Deployment").items()
    }

    def selected(selector: dict[str, str]) -> set[str]:
        return {role for role, own in labels.items() if selector.items() <= own.items()}

    for role in ROLES:
        assert selected(objects("Deployment")[role]["spec"]["selector"]["matchLabels"]) == {role}
        assert selected(objects("PodDisruptionBudget")[role]["spec"]["selector"]["matchLabels"]) == {role}
        assert selected(objects("NetworkPolicy")[role]["spec"]["podSelector"]["matchLabels"]) == {role}
    assert selected(objects("Service")["dispatchers"]["spec"]["selector"]) == {"dispatcher"}
    assert selected(objects("Service")["frontend"]["spec"]["selector"]) == {"frontend"}
    publishing = objects("NetworkPolicy")["dispatcher"]["spec"]["ingress"][0]["from"]
    assert {min(selected(each["podSelector"]["matchLabels"])) for each in publishing} == {
        "frontend",
        "backend",
    }
    assert "from" not in objects("NetworkPolicy")["frontend"]["spec"]["ingress"][0]  # viewers


def test_frontends_scale_by_their_viewers() -> None:
    scaler = objects("HorizontalPodAutoscaler")["frontend"]["spec"]
    assert scaler["scaleTargetRef"]["name"] == objects("Deployment")["frontend"]["metadata"]["name"]
    assert "replicas" not in objects("Deployment")["frontend"]["spec"], "the scaler decides"
    [metric] = scaler["metrics"]
    assert metric["pods"]["metric"]["name"] in KNOWN
    shrinking = scaler["behavior"]["scaleDown"]["policies"][0]
    assert shrinking["periodSeconds"] >= pod("frontend")["terminationGracePeriodSeconds"]


def test_the_chart_is_of_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == __version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", chart["version"])


if __name__ == "__main__":
    RENDERED.write_text(f"# {checksum()}\n{render().stdout}")
