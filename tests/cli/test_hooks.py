"""`liveserver hooks`: secrets, tests of endpoints, and enabling them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest
import redis
from standardwebhooks import Webhook

from liveserver.cli import main
from liveserver.cluster.redis_server import free_port
from liveserver.webhook_signature import decode_secret

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def run(capfd: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["hooks", *words])
    said = capfd.readouterr()
    assert ended.value.code == code, said
    assert "Traceback" not in said.err
    return said.out if code == 0 else said.err


def endpoint(url: str) -> list[str]:
    return [f"--set=hooks.endpoints.site.url={url}", f"--set=hooks.endpoints.site.secret={SECRET}"]


class Receiver(BaseHTTPRequestHandler):
    status = 204
    received: ClassVar[list[dict[str, object]]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.received.append(Webhook(SECRET).verify(body, dict(self.headers)))
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[tuple[str, type[Receiver]]]:
    class Own(Receiver):
        received: ClassVar[list[dict[str, object]]] = []

    with HTTPServer(("127.0.0.1", 0), Own) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hooks", Own
        server.shutdown()
        thread.join()


def test_a_secret_is_new_each_time_and_long_enough(capfd: pytest.CaptureFixture[str]) -> None:
    made = {run(capfd, "secret").strip() for _ in range(2)}
    assert len(made) == 2
    assert all(len(decode_secret(secret) or b"") == 32 for secret in made)


def test_a_test_message_is_delivered_once_and_its_answer_shown(
    capfd: pytest.CaptureFixture[str], receiver: tuple[str, type[Receiver]]
) -> None:
    url, own = receiver
    assert "site has accepted msg_" in run(capfd, "test", "site", *endpoint(url))
    (message,) = own.received
    assert message["type"] == "test"
    own.status = 500
    assert "has not accepted the message: status 500" in run(capfd, "test", "site", *endpoint(url), code=1)
    away = endpoint(f"http://127.0.0.1:{free_port()}/")
    assert "site has not accepted the message" in run(capfd, "test", "site", *away, code=1)
    assert "there is no hooks.endpoints.other; there are: site" in run(
        capfd, "test", "other", *endpoint(url), code=2
    )


def test_an_endpoint_is_enabled_in_redis(capfd: pytest.CaptureFixture[str], redis_server: str) -> None:
    with redis.Redis.from_url(redis_server) as client:
        client.hset("ls:{+hooks}:disabled", "site", "mark")
        own = [*endpoint("https://example.org/"), "--set=bus.kind=redis", f"--set=bus.url={redis_server}"]
        assert run(capfd, "enable", "site", *own) == "site is enabled\n"
        assert client.hgetall("ls:{+hooks}:disabled") == {}
    assert 'bus.kind is "memory"' in run(capfd, "enable", "site", *endpoint("https://example.org/"), code=1)


@pytest.mark.parametrize("command", ["secret", "test", "enable"])
def test_help_has_an_example(capfd: pytest.CaptureFixture[str], command: str) -> None:
    assert f"liveserver hooks {command}" in run(capfd, command, "--help")
