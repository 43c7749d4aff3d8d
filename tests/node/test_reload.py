"""Other settings while a node runs: all of them or none, no connection lost, what cannot change is named."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import httpx
import msgspec
import pytest
import structlog
import trio

from liveserver import config, node
from liveserver.backend.review import open_review_hook
from liveserver.client import Disconnected, Event, Ready, Watcher, watch
from liveserver.edge.server import EdgeServer
from liveserver.errors import ConfigError
from liveserver.node import logs
from liveserver.node.assembly import Node
from liveserver.node.reload import FIXED, RELOADABLE, Reloader, _compare

BASE = """
[listen]
public = "127.0.0.1:0"
ops = "127.0.0.1:0"

[backend]
database = ":memory:"

[node]
name = "n1"
"""
EVENTS = "/v1/videos/v/events"


class Stage:
    """A node that reads its configuration from a file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.write("")
        self.client = httpx.AsyncClient(trust_env=False, timeout=60)

    def write(self, more: str) -> None:
        self._file.write_text(BASE + more)

    def load(self) -> config.Settings:
        return config.load(self._file, (), {})

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery, self.client:
            self.running = await nursery.start(lambda **more: node.serve(self.load(), load=self.load, **more))
            self.url = f"http://{self.running.addresses.public}"
            self.ops = f"http://{self.running.addresses.ops}"
            yield
            nursery.cancel_scope.cancel()

    async def reload(self, **headers: str) -> httpx.Response:
        return await self.client.post(f"{self.ops}/v1/reload", headers=headers)

    async def publish(self, key: str = "") -> int:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        response = await self.client.post(self.url + EVENTS, json={"type": "like"}, headers=headers)
        return response.status_code


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    stage = Stage(tmp_path / "node.toml")
    async with stage.serving():
        yield stage


async def until_events(items: Watcher, count: int) -> AsyncIterator[Event | Disconnected]:
    """The events that follow, and what happens to the connection; viewers' counts are left out."""
    while count:
        item = await anext(items)
        count -= isinstance(item, Event)
        if isinstance(item, Event | Disconnected):
            yield item


async def test_keys_and_limits_are_taken_and_a_viewer_stays(stage: Stage, tmp_path: Path) -> None:
    async with watch(stage.url, "v", transport="sse") as items:
        assert isinstance(await anext(items), Ready)
        assert await stage.publish() == 202
        (tmp_path / "site.key").write_text("the-first-key-of-the-site")
        stage.write(
            f'[auth.publishers.site]\nkey_file = "{tmp_path / "site.key"}"\n'
            "[limits]\nevents_per_publisher = 0.001\nburst = 1\n[edge]\nmax_connections = 77\n"
        )
        response = await stage.reload()
        assert response.status_code == 200
        assert response.json() == {
            "changed": [
                "edge.max_connections", "auth.publishers", "limits.burst", "limits.events_per_publisher"
            ],
            "needs_restart": [],
        }  # fmt: skip
        assert await stage.publish() == 401
        assert await stage.publish("the-first-key-of-the-site") == 202
        assert await stage.publish("the-first-key-of-the-site") == 429
        status = (await stage.client.get(f"{stage.ops}/v1/status")).json()
        assert status["edge"]["capacity"] == 77
        (tmp_path / "site.key").write_text("the-second-key-of-the-site")  # the settings are the same
        assert (await stage.reload()).json() == {"changed": [], "needs_restart": []}
        assert await stage.publish("the-first-key-of-the-site") == 401
        with trio.fail_after(60):
            kinds = [type(item) async for item in until_events(items, 2)]
        assert kinds == [Event, Event]  # on the same connection


async def test_nothing_is_taken_of_a_configuration_that_is_wrong(stage: Stage) -> None:
    stage.write('[auth.publishers.site]\nkey_file = "nowhere.key"\n[edge]\nmax_connections = 77\n')
    with structlog.testing.capture_logs() as lines:
        response = await stage.reload()
    assert response.status_code == 409
    assert "nothing was changed: auth.publishers.site" in response.json()["detail"]
    assert [line["event"] for line in lines].count("reload_failed") == 1  # the node may log more
    assert await stage.publish() == 202
    status = (await stage.client.get(f"{stage.ops}/v1/status")).json()
    assert status["edge"]["capacity"] != 77
    stage.write('[edge]\nmax_connections = "many"\n')
    assert "edge.max_connections: 'many' is not a whole number" in (await stage.reload()).json()["detail"]
    with pytest.raises(ConfigError):
        stage.running.reload()


async def test_settings_that_need_a_restart_are_named_and_kept(stage: Stage) -> None:
    stage.write('[frontend]\nheartbeat = "3s"\n[edge]\nhttp2_streams = 3\nkeep_alive = "3s"\n')
    response = await stage.reload()
    assert response.json() == {
        "changed": ["edge.keep_alive"], "needs_restart": ["edge.http2_streams", "frontend.heartbeat"]
    }  # fmt: skip
    settings = stage.running.node.settings
    assert (settings.edge.keep_alive, settings.edge.http2_streams, settings.frontend.heartbeat) == (
        3,
        100,
        15,
    )


async def test_the_ops_key_guards_it_and_changes_with_it(stage: Stage) -> None:
    stage.write('[auth]\nops_key = "the-key-of-the-operators"\n')
    assert (await stage.reload()).status_code == 200
    assert (await stage.reload()).status_code == 401
    assert (await stage.reload(authorization="Bearer the-key-of-the-operators")).status_code == 200


async def test_a_page_in_a_browser_cannot_reload(stage: Stage) -> None:
    assert (await stage.reload(origin="https://evil.example")).status_code == 403


async def test_the_log_level_changes(stage: Stage) -> None:
    stage.write('log_level = "error"\n')
    try:
        assert (await stage.reload()).json()["changed"] == ["node.log_level"]
        with pytest.raises(structlog.DropEvent):
            logs._drop_unimportant(None, "warning", {})
        assert logs._drop_unimportant(None, "exception", {"a": 1}) == {"a": 1}
    finally:
        logs.set_level("info")


async def test_the_address_that_stays_may_not_become_open(tmp_path: Path) -> None:
    """Neither configuration is wrong by itself."""
    secret = "auth = { viewers = 'token', secret = '0123456789abcdef0123456789abcdef' }\n"
    closed = (
        'node = { name = "n", roles = ["backend", "frontend"] }\nbackend = { dispatchers = ["http://a"] }\n'
    )
    closed += 'bus = { kind = "redis" }\nfrontend = { dispatchers = ["http://a"] }\n'
    current = tmp_path / "current.toml"
    current.write_text(secret + closed + 'listen = { public = "0.0.0.0:0" }\n')
    wanted = tmp_path / "wanted.toml"
    wanted.write_text(closed)
    held = Node(config.load(current, (), {}))
    reloader = Reloader(held, cast("EdgeServer", None), lambda: config.load(wanted, (), {}))
    with pytest.raises(ConfigError, match=r"^listen\.public: .*likes and comments need no token"):
        reloader.reload()
    assert held.settings.auth.viewers == "token"


async def test_the_review_hooks_secret_is_read_again(stage: Stage, tmp_path: Path) -> None:
    file = tmp_path / "review.secret"
    file.write_text("x" * 32)
    review = f'[review]\nurl = "http://127.0.0.1:9/"\nsecret_file = "{file}"\n'
    settings = config.ReviewSettings(url="http://127.0.0.1:9/", secret_file=str(file))
    async with open_review_hook(settings) as hook:
        assert hook is not None
        file.write_text("y" * 32)
        hook.prepare(settings)
        assert hook._secret == b"x" * 32
        hook.prepare(settings)()
        assert hook._secret == b"y" * 32
        file.write_text("short")
        with pytest.raises(ConfigError):
            hook.prepare(settings)
    stage.write(review + 'unanswered = "reject"\n')
    assert (await stage.reload()).status_code == 200
    assert "review.url" in (await stage.reload()).json()["needs_restart"]


@pytest.mark.redis
async def test_peers_are_taken(tmp_path: Path, redis_server: str) -> None:
    stage = Stage(tmp_path / "node.toml")
    bus = f'[bus]\nkind = "redis"\nurl = "{redis_server}"\n'
    stage.write(bus)
    async with stage.serving():
        stage.write(f'{bus}[peers.dc2]\nurl = "{redis_server}"\n[edge]\nhttp2_streams = 3\n')
        answer = (await stage.reload()).json()
        assert answer == {"changed": ["peers.dc2"], "needs_restart": ["edge.http2_streams"]}
        status = (await stage.client.get(f"{stage.ops}/v1/status")).json()
        assert [each["peer"] for each in status["relay"]["peers"]] in ([], ["dc2"])  # it is about to start
        stage.write(f'{bus}[peers.dc2]\nurl = "redis://host:port"\n')
        refused = await stage.reload()
        assert (refused.status_code, "peers.dc2.url" in refused.json()["detail"]) == (409, True)
        assert stage.running.node.settings.peers["dc2"].url == redis_server
        stage.write(bus)
        assert (await stage.reload()).json()["changed"] == ["peers.dc2"]
        status = (await stage.client.get(f"{stage.ops}/v1/status")).json()
        assert status["relay"]["peers"] == []


async def test_peers_of_a_node_without_redis_are_refused(stage: Stage) -> None:
    stage.write('[bus]\nkind = "redis"\n[peers.dc2]\nurl = "redis://127.0.0.1:9/"\n')
    assert (await stage.reload()).json() == {"changed": [], "needs_restart": ["bus.kind", "peers.dc2"]}


async def test_each_setting_that_differs_is_either_changed_or_named(stage: Stage) -> None:
    """Nothing is silent: a file with every setting changed names them all."""
    current = stage.running.node.settings
    for section in current.__struct_fields__:
        values = getattr(current, section)
        for name in getattr(values, "__struct_fields__", ()):
            other = msgspec.structs.replace(values, **{name: object()})
            changed, fixed = _compare(current, msgspec.structs.replace(current, **{section: other}))
            assert [*changed, *fixed] == [f"{section}.{name}"]


def test_the_documentation_names_what_can_change() -> None:
    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
    text = page[page.index("## Reload") : page.index("<!-- generated")]
    named = set(re.findall(r"`([a-z]+\.[a-z_*]+)`", text))
    assert named == RELOADABLE | FIXED | {"peers.*"}


def test_the_names_of_what_can_change_are_settings() -> None:
    defaults = config.Settings()
    for full in RELOADABLE | FIXED:
        section, _, name = full.partition(".")
        assert name == "*" or name in getattr(defaults, section).__struct_fields__
