"""The tree of errors, and each problem as its document."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import httpx
import msgspec
import pytest
import trio

from liveserver import errors
from liveserver.client.errors import failure
from liveserver.errors import (
    ConfigError,
    LiveserverError,
    MethodNotAllowed,
    Problem,
    TooMany,
    Unavailable,
    connection_fault,
)
from tests.edge.authority import Authority

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


@pytest.mark.parametrize("has_tls", [True, False])
async def test_a_fault_of_tls_is_said(tmp_path: Path, has_tls: bool) -> None:
    """httpx and Trio say only that the connection failed."""
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate, authority.key)

    async def serve(stream: trio.SocketStream) -> None:
        try:
            if has_tls:
                await trio.SSLStream(stream, context, server_side=True).do_handshake()
            else:
                await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        except trio.BrokenResourceError:
            pass
        await stream.aclose()

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1", backlog=socket.SOMAXCONN)
    async with trio.open_nursery() as nursery, httpx.AsyncClient(trust_env=False) as client:
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        with pytest.raises(httpx.ConnectError) as caught:
            await client.get(f"https://127.0.0.1:{listener.socket.getsockname()[1]}")
        nursery.cancel_scope.cancel()
    said = connection_fault(caught.value)
    assert said == failure(caught.value).reason
    assert said.startswith("the certificate is not trusted: " if has_tls else "TLS failed: ")


def test_another_fault_is_said_by_its_own_words() -> None:
    assert connection_fault(OSError("refused")) == "refused"
    assert connection_fault(httpx.ConnectError("")) == "ConnectError"
