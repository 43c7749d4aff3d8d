"""Operations of every node: the files that are documented are those that are served."""

from __future__ import annotations

import re

import pytest

from liveserver.web.app import public_app
from liveserver.web.openapi.pages import OPS_SCHEMAS, PUBLIC_PATHS, PUBLIC_SCHEMAS
from liveserver.web.page import documents
from tests.web.openapi.test_route import DOCUMENT


def test_each_file_of_the_page_is_at_a_documented_path() -> None:
    patterns = [re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)) for path in PUBLIC_PATHS]
    for path in documents():
        assert any(re.fullmatch(pattern, path) for pattern in patterns), path


@pytest.mark.parametrize("path", ["/", "/liveserver.js", "/openapi.json"])
async def test_a_file_has_the_type_that_is_documented(path: str) -> None:
    answer = await public_app(openapi=DOCUMENT).test_client().get(path)
    [kind] = PUBLIC_PATHS[path]["get"]["responses"]["200"]["content"]
    assert answer.headers["content-type"].partition(";")[0] == kind


def test_a_viewers_identity_may_have_no_user() -> None:
    assert PUBLIC_SCHEMAS["Me"]["required"] == ["scopes", "signed_in"]


def test_a_check_may_have_no_detail() -> None:
    checks = OPS_SCHEMAS["Readiness"]["properties"]["checks"]["additionalProperties"]
    assert checks["required"] == ["ok"]
