"""What of a log is delivered, and in which form."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from liveserver.config import HookEndpointSettings
from liveserver.event import SITE
from liveserver.hooks.messages import Target, gap_message, kind_of, message_id, messages
from tests.hooks.harness import URL, keyed, line


@pytest.mark.parametrize(
    ("expected", "made"),
    [
        ("comment.created", line("comment", "v", "e", data={"text": "hi"})),
        ("comment.retracted", line("retract", "v", "e", data={"id": "c1"})),
        ("comment.waiting", keyed("waiting", "v", "waiting/c1", "e", {"id": "c1"}, internal=True)),
        ("comment.decided", keyed("waiting", "v", "waiting/c1", "e", None, internal=True)),
        ("moderation.settings", keyed("settings", "v", "settings", "e", {"comments": "closed"})),
        ("moderation.ban", keyed("ban", "v", "ban/ada", "e", {"user": "ada"}, internal=True)),
        ("moderation.unban", keyed("ban", "v", "ban/ada", "e", None, internal=True)),
        ("moderation.clear", keyed("clear", "v", "clear/ada", "e", {"user": "ada"})),
        ("moderation.pin", keyed("pin", "v", "pin", "e", {"text": "hi"})),
        ("moderation.unpin", keyed("pin", "v", "pin", "e", None)),
        ("moderation.announcement", line("announcement", "v", "e", data={"text": "hi"})),
        ("moderation.disconnection", line("disconnection", SITE, "e", data={"user": "ada"})),
        ("moderation.revocation", keyed("revocation", SITE, "revoked/user/ada", "e", {"user": "ada"})),
        ("event.score", keyed("score", "v", "score", "e", {"home": 1})),
        ("event.settings.more", keyed("settings.more", "v", "settings.more", "e", {})),
        ("event.like", line("like", "v", "e")),
    ],
)
def test_each_kind_has_its_event_and_an_id_of_its_own(expected: str, made: bytes) -> None:
    video = SITE if SITE.encode() in made else "v"
    (message,) = messages(video, [made])
    body = msgspec.json.decode(message.body)
    assert (message.kind, body["type"], body["data"]["id"]) == (expected, expected, "e")
    assert body["timestamp"].startswith("2025-11-23T01:40:00.")
    assert body["timestamp"].endswith("Z")
    assert kind_of(message.body) == expected
    assert "." not in message.id
    (again,) = messages(video, [made])
    assert again == message
    assert message.id not in {message_id("w", expected, "e"), message_id(video, "other", "e")}


@pytest.mark.parametrize(
    ("video", "made"),
    [
        ("v", b'canary {"id":"e"}'),
        ("v", keyed("likes", "v", "likes/store", "e", {"total": {}})),
        ("v", keyed("audit", "v", "audit", "e", {}, internal=True)),
        ("v", b'comment {"id":3}'),
        ("v", b";malformed line"),
        (SITE, line("question", SITE, "e")),
        (SITE, keyed("audit", SITE, "audit", "e", {}, internal=True)),
    ],
)
def test_what_only_nodes_need_is_no_message(video: str, made: bytes) -> None:
    assert list(messages(video, [made])) == []


def test_an_endpoint_wants_kinds_and_videos() -> None:
    def wants(kind: str, video: str, **given: Any) -> bool:
        return Target("site", HookEndpointSettings(url=URL, **given), ["like"]).wants(kind, video)

    assert wants("comment.created", "v")
    assert not wants("event.score", "v")
    assert wants("event.score", "v", events=["event.score"])
    assert not wants("event.scores", "v", events=["event.score"])
    assert wants("event.score", "v", events=["*"])
    assert not wants("event.like", "v", events=["*"]), "it is not kept long enough to be certain"
    assert wants("comment.created", "concert-1", videos=["concert-*"])
    assert not wants("comment.created", "concer", videos=["concert-*"])
    assert wants("video.gap", "v", events=["event.score"]), "what is lost is always said"
    assert not wants("video.gap", "v", videos=["w"])


def test_a_time_beyond_all_calendars_is_no_failure() -> None:
    (message,) = messages("v", [line("comment", "v", "e", at=2**53)])
    assert b'"timestamp":"1970-' in message.body
    assert gap_message("v", "a-1", 0).kind == "video.gap"
