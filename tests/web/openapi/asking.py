"""Requests made from an OpenAPI document, and whether their answers are as it says.

A module of its own because schemathesis takes long to import: the test imports this one when it runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from liveserver.config import Settings
from liveserver.web.openapi import public_document

EXAMPLES = int(os.environ.get("LIVESERVER_API_EXAMPLES", "8"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]
REFUSALS = ["400", "401", "403", "404", "405", "413", "415", "429", "5xx"]
STREAM = "GET /v1/videos/{video}/events"


def ask_all(url: str, tag: str, mode: str) -> None:
    """Ask for each operation of a port's document, in schemathesis' mode `positive` or `negative`."""
    asked = list(operations(url, tag))
    assert len(asked) > 1
    for operation in asked:
        ask_many(operation, GenerationMode(mode))


def operations(url: str, tag: str = "") -> Iterator[APIOperation[Any, Any, Any, Any]]:
    """The operations of a port's document; with a tag, those of the nodes' whole one that have it."""
    if tag:
        whole = public_document(Settings(), nodes_too=True)
        schema = schemathesis.openapi.from_dict(whole).include(tag=tag)
    else:
        schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    schema.config.update(base_url=url)
    schema.config.checks.negative_data_rejection.expected_statuses = REFUSALS
    schema.config.max_stream_events = 1  # a stream is left after its `ready`
    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        yield result.ok()


def ask(case: Case[Any]) -> None:
    """One request, and whether the answer is as the document says."""
    if case.operation.label == STREAM and case.method == "GET":
        answer = case.call(stream=True, timeout=60)
    else:
        answer = case.call(timeout=60)
    case.validate_response(answer, checks=CHECKS)


def ask_many(operation: APIOperation[Any, Any, Any, Any], mode: GenerationMode) -> None:
    @settings(
        max_examples=EXAMPLES,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
        derandomize=EXAMPLES < 50,
        database=None,
        deadline=None,
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def many(case: Case[Any]) -> None:
        ask(case)

    try:
        many()
    except Unsatisfiable:  # what takes nothing can be given nothing wrong
        assert mode is GenerationMode.NEGATIVE
