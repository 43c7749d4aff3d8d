"""What `config/deploy/` says is true of liveserver's settings, and is read by the programs it is for."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from liveserver.config import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "config" / "deploy"


def service() -> dict[str, list[str]]:
    """The unit's settings, each with all of its values."""
    found: dict[str, list[str]] = {}
    for line in (DEPLOY / "liveserver.service").read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def test_the_unit_gives_a_drain_its_time_and_viewers_their_descriptors() -> None:
    unit, settings = service(), Settings()
    assert int(unit["TimeoutStopSec"][0]) >= settings.node.drain_timeout + 5
    assert int(unit["LimitNOFILE"][0]) > settings.edge.max_connections + 300
    assert unit["KillSignal"] == ["SIGTERM"]
    assert unit["KillMode"] == ["mixed"]
    assert unit["User"] != ["root"]
    assert unit["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    for wall in ("ProtectSystem", "NoNewPrivileges", "PrivateTmp", "ProtectHome", "RestrictAddressFamilies"):
        assert wall in unit


def test_systemd_reads_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("there is no systemd here to ask")
    program = shutil.which("true")
    copy = tmp_path / "liveserver.service"
    copy.write_text(
        re.sub(r"/opt/liveserver/bin/liveserver", str(program), (DEPLOY / "liveserver.service").read_text())
    )
    asked = subprocess.run(
        [analyze, "verify", "--man=no", copy], capture_output=True, text=True, timeout=60, check=False
    )
    assert [line for line in asked.stderr.splitlines() if "liveserver.service" in line] == []


def test_the_image_is_small_and_runs_without_privileges() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    lines = [line for line in re.sub(r"\\\n", " ", text).splitlines() if line and not line.startswith("#")]
    starts = [index for index, line in enumerate(lines) if line.startswith("FROM ")]
    assert len(starts) == 2
    first, last = lines[starts[0] : starts[1]], lines[starts[1] :]
    words = [line.split()[0] for line in last]
    assert set(words) <= {
        "FROM", "RUN", "COPY", "ENV", "WORKDIR", "VOLUME", "USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK",
        "ENTRYPOINT", "CMD",
    }  # fmt: skip
    assert not any(tool in line for line in last for tool in ("pip install", "apt-get", "gcc", "curl"))
    user = next(line.split()[1] for line in last if line.startswith("USER "))
    assert not user.startswith(("0", "root"))
    assert words.index("USER") > words.index("RUN"), "what is prepared as root is prepared before"
    assert "STOPSIGNAL SIGTERM" in last
    assert next(line for line in last if line.startswith("ENTRYPOINT")).endswith("]"), "signals reach it"
    assert any("readyz" in line for line in last if line.startswith("HEALTHCHECK"))
    copied = [
        line.split()[1:-1] for line in (*first, *last) if line.startswith("COPY ") and "--from" not in line
    ]
    for name in (name for names in copied for name in names):
        assert (ROOT / name).exists(), name


def test_each_sysctl_is_explained_and_one_the_kernel_knows() -> None:
    lines = (DEPLOY / "60-liveserver.conf").read_text().splitlines()
    names = []
    for before, line in zip(["", *lines], lines, strict=False):
        if not line or line.startswith("#"):
            continue
        match = re.fullmatch(r"-?([a-z0-9_.-]+) = [0-9 ]+", line)
        assert match, line
        assert before, f"what is {line} for?"
        names.append(match[1])
    assert len(names) == len(set(names)) > 12
    known = [name for name in names if Path("/proc/sys", *name.split(".")).exists()]
    away = set(names) - set(known)
    # Those of a module that is not loaded, and what a container does not see of its host.
    assert all(name.startswith(("net.", "fs.")) for name in away)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (
            "nginx.conf",
            [
                "proxy_buffering off",
                "proxy_http_version 1.1",
                "X-Forwarded-For $remote_addr",
                "Host $liveserver_host",
            ],
        ),
        ("haproxy.cfg", ["X-Forwarded-For %[src]", "timeout http-request", "GET /readyz"]),
        ("Caddyfile", ["flush_interval -1", "versions 1.1", "grace_period", "/readyz"]),
    ],
)
def test_proxies_do_not_buffer_and_forward_the_clients_address(name: str, wanted: list[str]) -> None:
    text = (DEPLOY / name).read_text()
    for words in wanted:
        assert words in text
    for inner in ("/v1/leases", "/v1/retractions"):
        assert inner in text, "it is kept from outside"


def test_a_proxy_waits_longer_than_the_heartbeat_and_than_long_polls() -> None:
    frontend = Settings().frontend
    least = max(frontend.heartbeat, frontend.max_wait)
    nginx = re.search(r"proxy_read_timeout (\d+)s", (DEPLOY / "nginx.conf").read_text())
    haproxy = re.search(r"timeout server (\d+)s", (DEPLOY / "haproxy.cfg").read_text())
    assert nginx is not None
    assert haproxy is not None
    assert int(nginx[1]) > least
    assert int(haproxy[1]) > least
