"""The document in OpenAPI 3.0.3, and clients that generators make from it and compile."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from openapi_spec_validator import OpenAPIV30SpecValidator

from liveserver.config import Settings
from liveserver.ops.app import ops_app
from liveserver.web.openapi import ops_document, public_document
from liveserver.web.openapi.downgrade import to_3_0
from tests.processes import NodeProcess

ROOT = Path(__file__).parents[3]
TOOLS = ROOT / "clients" / "js" / "node_modules" / ".bin"
SECONDS = 300.0


def require(name: str, found: object) -> None:
    if not found:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is missing")
        pytest.skip(f"{name} is missing")


def run(*command: str, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, timeout=SECONDS,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "openapi.json"
    path.write_bytes(msgspec.json.encode(to_3_0(public_document(Settings()))))
    return path


@pytest.mark.parametrize("document", [public_document(Settings(), nodes_too=True), ops_document()])
def test_it_is_valid(document: dict[str, Any]) -> None:
    before = json.dumps(document)
    OpenAPIV30SpecValidator(to_3_0(document)).validate()
    assert json.dumps(document) == before


def test_null_const_and_exclusive_bounds_are_written_in_the_old_dialect() -> None:
    schema = {
        "name": {"type": ["string", "null"], "maxLength": 3},
        "role": {"enum": ["host", None]},
        "type": {"const": "retract"},
        "lease": {"type": "number", "exclusiveMinimum": 0},
        "videos": {"type": "object", "propertyNames": {"maxLength": 1}},
    }
    converted = to_3_0({"info": {"license": {"name": "L", "identifier": "L"}}, "components": schema})
    assert converted["openapi"] == "3.0.3"
    assert converted["info"]["license"] == {"name": "L"}
    assert converted["components"] == {
        "name": {"type": "string", "nullable": True, "maxLength": 3},
        "role": {"type": "string", "enum": ["host", None], "nullable": True},
        "type": {"type": "string", "enum": ["retract"]},
        "lease": {"type": "number", "minimum": 0, "exclusiveMinimum": True},
        "videos": {"type": "object"},
    }


def test_the_public_document_has_no_routes_of_nodes() -> None:
    document = public_document(Settings())
    assert not [path for path in document["paths"] if path.startswith("/v1/leases")]
    assert not {"LeaseRequest", "Leases", "WithdrawRequest"} & document["components"]["schemas"].keys()
    assert "Publication" in document["components"]["schemas"]


async def test_it_is_served_beside_the_newer_one() -> None:
    response = await ops_app({}, {}, dict).test_client().get("/openapi-3.0.json")
    assert await response.get_json() == to_3_0(ops_document())


@pytest.mark.process
@pytest.mark.slow
def test_openapi_typescript_makes_types_that_compile(document: Path) -> None:
    require("clients/js/node_modules (npm ci)", (TOOLS / "openapi-typescript").exists())
    run(str(TOOLS / "openapi-typescript"), str(document), "--output", "api.ts", cwd=document.parent)
    (document.parent / "use.ts").write_text(
        """
import type { components, operations } from "./api";
const summary: components["schemas"]["Summary"] = { likes: 1, reactions: { heart: 1 }, comments: [] };
type Like = operations["like"]["requestBody"]["content"]["application/json"];
const like: Like = { user: "ada", reaction: "heart" };
export const first: string | undefined = summary.comments[0]?.text ?? like.user ?? undefined;
"""
    )
    run(str(TOOLS / "tsc"), "--strict", "--noEmit", "--skipLibCheck", "use.ts", cwd=document.parent)


@pytest.mark.process
@pytest.mark.slow
def test_openapi_python_client_makes_a_package_that_imports(document: Path) -> None:
    run(
        sys.executable, "-m", "openapi_python_client", "generate", "--path", str(document), "--meta", "none",
        "--output-path", "generated", cwd=document.parent,
    )  # fmt: skip
    said = run(
        sys.executable, "-c",
        "from generated.api.liking import like; from generated.models import Like, Summary; "
        "print(Like(user='ada', reaction='heart').to_dict())",
        cwd=document.parent,
    )  # fmt: skip
    assert said == "{'user': 'ada', 'reaction': 'heart'}\n"


@pytest.mark.process
@pytest.mark.slow
def test_oapi_codegen_makes_a_go_client_that_publishes_and_watches(document: Path) -> None:
    oapi_codegen = shutil.which("oapi-codegen", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if oapi_codegen is None or not shutil.which("go"):
        pytest.skip("Go's oapi-codegen is not installed; .ci/run does that where there is a Go")
    at = document.parent
    code = run(oapi_codegen, "-generate", "types,client", "-package", "main", str(document), cwd=at)
    (at / "api.go").write_text(code)
    (at / "go.mod").write_text("module example.org/api\n\ngo 1.22\n")
    shutil.copy(ROOT / "tests" / "interop" / "programs" / "generated_client.go", at / "main.go")
    run("go", "mod", "tidy", cwd=at)
    run("go", "build", "-o", "client", ".", cwd=at)
    node = NodeProcess("n1", 'frontend","dispatcher', "redis://unused", "bus.kind=memory")
    try:
        node.start()
        trio.run(node.wait_ready)
        status, received = run(str(at / "client"), node.url, cwd=at).splitlines()
    finally:
        node.stop()
    assert status == "202"
    event = json.loads(received.removeprefix("data:"))
    assert (event["id"], event["video"], event["type"]) == ("from-go", "go", "like")
