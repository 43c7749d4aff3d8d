"""The likes interface of a whole node, over real sockets."""

from __future__ import annotations

from pathlib import Path

import pytest

from liveserver import config, node
from liveserver.errors import ConfigError
from tests.backend.node_harness import (
    ANYWHERE,
    COMMENTS,
    LIKES,
    NODES,
    SITE,
    SUMMARY,
    serving,
)
from tests.conftest import Until


async def test_a_comment_comes_and_goes(until: Until) -> None:
    async with serving() as on:
        text = "<script>alert('hi')</script> 💜" + "x" * 470
        assert len(text) == 500
        answer = await on.post(COMMENTS, {"user": "u1", "text": text})
        assert answer.status_code == 201
        made = answer.json()["id"]
        assert [each["text"] for each in (await on.get(SUMMARY))["comments"]] == [text]
        for _ in range(2):
            gone = await on.client.delete(f"{on.url}{COMMENTS}/{made}")
            assert (gone.status_code, gone.content) == (204, b"")
        assert (await on.get(SUMMARY))["comments"] == []
        assert (await on.client.delete(f"{on.url}{COMMENTS}/other")).status_code == 404

        async def both_seen() -> bool:
            return len(await on.events()) == 2

        await until(both_seen)
        comment, retraction = await on.events()  # who comes later is not shown what it was
        assert (comment["type"], comment["id"], comment["data"]) == ("retract", made, {"id": made})
        assert "user" not in comment
        assert (retraction["type"], retraction["data"]) == ("retract", {"id": made})


@pytest.mark.parametrize("locks", [(NODES,), (SITE,), (NODES, SITE)])
async def test_where_anything_is_locked_open_viewers_take_no_comments_back(locks: tuple[str, ...]) -> None:
    async with serving(*locks) as on:
        made = (await on.post(COMMENTS, {"text": "stays"})).json()["id"]
        answer = await on.client.delete(f"{on.url}{COMMENTS}/{made}")
        assert answer.status_code == 403
        assert [each["id"] for each in (await on.get(SUMMARY))["comments"]] == [made]


async def test_a_backend_alone_needs_no_redis_and_no_dispatcher_to_store(tmp_path: Path) -> None:
    alone = (
        'node.roles=["backend"]',
        "bus.kind=redis",
        "bus.url=redis://127.0.0.1:1/0",
        'backend.dispatchers=["http://127.0.0.1:1"]',
        "backend.database=likes.db",
        f"backend.directory={tmp_path / 'new'}",
    )
    async with serving(*alone) as on:
        assert (await on.post(LIKES, {})).json()["total"] == 1
        assert (await on.client.get(on.ops + "/readyz")).status_code == 200
    async with serving(*alone) as on:
        assert (await on.post(LIKES, {})).json()["total"] == 2


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("backend.database=sqlite:////proc/none/x.db", "backend.database: cannot be opened"),
        ("backend.directory=/proc/none", "backend.directory: cannot be created"),
        ('backend.database="/"', "backend.database: cannot be opened"),
    ],
)
async def test_a_database_that_cannot_be_opened_is_reported(setting: str, complaint: str) -> None:
    overrides = [*ANYWHERE, *([] if "directory" in setting else ["backend.directory=/tmp"]), setting]
    with pytest.raises(ExceptionGroup) as caught:
        await node.serve(config.load(None, overrides, {}))
    error: Exception = caught.value
    while isinstance(error, ExceptionGroup):
        [error] = error.exceptions
    assert isinstance(error, ConfigError)
    assert complaint in str(error)
