"""A process imports what its roles need: the rest is start-up time and memory."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROGRAM = """
import json, sys, trio
from liveserver.config import Settings, convert
from liveserver.node.assembly import Node

import liveserver.node

async def main():
    async with Node(convert(json.loads(sys.argv[1]), Settings)).opened():
        print(json.dumps(sorted(sys.modules)))

trio.run(main)
"""


@pytest.mark.process
def test_a_frontend_with_its_dispatcher_imports_what_it_uses() -> None:
    settings = json.dumps({"node": {"roles": ["frontend", "dispatcher"]}})
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, settings], capture_output=True, text=True, timeout=120, check=True
    )
    modules = json.loads(done.stdout.splitlines()[-1])
    assert "liveserver.frontend.frontend" in modules
    for needless in ("sqlalchemy", "redis", "httpx", "quart", "hypercorn", "jwt", "wsproto", "rich"):
        assert needless not in modules


@pytest.mark.process
def test_metrics_do_not_import_the_web_application() -> None:
    program = "import json, sys, liveserver.ops.metrics; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )
    modules = json.loads(done.stdout)
    assert "prometheus_client" in modules
    for needless in ("quart", "hypercorn", "werkzeug", "jinja2"):
        assert needless not in modules
