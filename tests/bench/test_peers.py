"""The peers of the comparison, and the load for each."""

from __future__ import annotations

import json
import multiprocessing
import os
from operator import attrgetter
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import typer

from bench import sockets, viewers
from bench.harness import HOST
from bench.likes import Likes
from bench.peers import install
from bench.peers.__main__ import chosen
from bench.peers.install import COMMANDS
from bench.peers.kinds import PEERS, Peer

ROOT = Path(__file__).parent.parent.parent


def test_all_peers_are_measured_unless_some_are_named() -> None:
    assert chosen("") == list(PEERS)
    assert {peer.name for peer in chosen("nchan, node")} == {"nginx + nchan", "Node"}


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(typer.BadParameter, match="'apache' is in none of: liveserver,"):
        chosen("apache")


def likes_in(body: bytes) -> list[dict[str, Any]]:
    """The events that a request of any of the peers carries."""
    if body.startswith(b"topic="):
        return [json.loads(parse_qs(body.decode())["data"][0])]
    found: list[dict[str, Any]] = []
    for line in body.splitlines():
        pending = [json.loads(line)]
        while pending:
            match pending.pop():
                case {"type": "like"} as event:
                    found.append(event)
                case dict() as inner:
                    pending += inner.values()
                case list() as inner:
                    pending += inner
                case str() as text if "\ndata: " in text:
                    pending.append(json.loads(text.partition("\ndata: ")[2]))
    return found


@pytest.mark.parametrize("peer", PEERS, ids=attrgetter("name"))
def test_each_gets_the_same_like(peer: Peer) -> None:
    [like] = likes_in(next(peer.stream.template.requests()).partition(b"\r\n\r\n")[2])
    assert (like["type"], like["data"]) == ("like", {"reaction": "heart"})
    assert like["user"].startswith("t")
    assert int(like["user"][1:]) > 10**15  # microseconds


@pytest.mark.parametrize("peer", [peer for peer in PEERS if peer.batch], ids=attrgetter("name"))
def test_a_batch_has_a_hundred_of_them(peer: Peer) -> None:
    assert peer.batch is not None
    assert len(likes_in(peer.batch.body)) == peer.batch.events == 100


PROGRAMS = [peer for peer in PEERS if peer.install in COMMANDS.values() or peer.name == "Node"]
WATCHING: dict[Any, type[viewers.Viewers]] = {viewers.run: viewers.Viewers, sockets.run: sockets.Sockets}


@pytest.mark.process
@pytest.mark.parametrize("peer", PROGRAMS, ids=attrgetter("name"))
def test_what_it_is_given_reaches_a_viewer(peer: Peer) -> None:
    if not peer.version():
        pytest.skip(f"not installed: {peer.install}")
    control, _theirs = multiprocessing.Pipe()
    with peer.start(min(os.sched_getaffinity(0))) as server:
        audience = WATCHING[peer.stream.program](control)
        for method, *arguments in peer.stream.setup:
            getattr(audience, method)(*arguments)
        audience.connect(HOST, server.port, [peer.stream.path], 2, "", 0)
        published = Likes().evenly(server.publish_port, 1.0, 1.0, 1, peer.stream.template)
        assert published["accepted"] == 1
        assert len(audience.lone(30.0)) == 2
        for viewer in audience._sockets.values():
            viewer.close()


def test_what_is_built_is_built_outside_of_the_repository() -> None:
    outputs = [word for command in COMMANDS.values() for word in command.split() if "-peers" in word]
    assert len(outputs) >= 3
    assert not any(Path(word).is_relative_to(ROOT) for word in outputs)


def test_install_only_lists_if_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("subprocess.run", None)
    install.main(None, list_=True)
    with pytest.raises(typer.BadParameter, match="apache: none of nchan, "):
        install.main(["apache"])


def test_more_is_asked_than_can_be_given_but_not_more_than_is_kept() -> None:
    own = chosen("liveserver")[0]
    assert own.rate(own.demand, 10_000) == 600
    assert own.rate(own.demand, 100) == 600
    assert chosen("nchan")[0].rate(350_000, 10_000) == 35
