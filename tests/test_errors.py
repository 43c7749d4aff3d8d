"""The tree of errors, and each problem as its document."""

from __future__ import annotations

import msgspec
import pytest

from liveserver import errors
from liveserver.errors import ConfigError, LiveserverError, MethodNotAllowed, Problem, TooMany, Unavailable

STATUSES = {
    "Problem": 500,
    "BadRequest": 400,
    "Unauthorized": 401,
    "Forbidden": 403,
    "NotFound": 404,
    "MethodNotAllowed": 405,
    "RequestTimeout": 408,
    "Conflict": 409,
    "TooLarge": 413,
    "WrongType": 415,
    "Misdirected": 421,
    "UpgradeRequired": 426,
    "HeadersTooLarge": 431,
    "Retryable": 500,
    "TooMany": 429,
    "Unavailable": 503,
}
PROBLEMS = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Problem)]


def test_every_error_is_a_liveserver_error() -> None:
    raised = [
        each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)
    ]
    assert all(issubclass(each, LiveserverError) for each in raised)
    assert {each.__name__: each.status for each in PROBLEMS} == STATUSES


@pytest.mark.parametrize("kind", [each for each in PROBLEMS if each is not MethodNotAllowed])
def test_a_problem_is_a_document(kind: type[Problem]) -> None:
    problem = kind('do "this"\n')
    assert msgspec.json.decode(problem.body()) == {
        "type": "about:blank",
        "title": kind.title,
        "status": kind.status,
        "detail": 'do "this"\n',
    }
    assert str(problem) == problem.detail


def test_problem_headers() -> None:
    assert MethodNotAllowed("PUT", "GET, POST").headers == (("allow", "GET, POST"),)
    assert MethodNotAllowed("PUT", "GET, POST").detail == "PUT is not allowed here; use GET, POST"
    assert Unavailable("later").headers == (("retry-after", "1"),)
    assert Unavailable("later", retry_after=30).headers == (("retry-after", "30"),)
    assert TooMany("later", 7).headers == (("retry-after", "7"),)
    assert Problem("x").headers == ()


def test_a_configuration_error_says_where() -> None:
    error = ConfigError("history.max_age", "is no duration")
    assert (error.where, str(error)) == ("history.max_age", "history.max_age: is no duration")
