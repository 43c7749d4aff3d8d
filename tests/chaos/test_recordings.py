"""The checker for recordings finds faults, and has no false positives.

Recordings of two datacenters in one process have each event once, and the same bytes when made again.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from liveserver.bus.interface import AppendRequest, ReplicationBatch
from liveserver.bus.memory.bus import MemoryBus
from liveserver.config import HistorySettings, RecorderSettings
from liveserver.recorder.directory import Directory
from liveserver.recorder.recorder import Recorder
from liveserver.recorder.recording import Recording
from tests.chaos.recordings import NAMES, SEGMENT, World, complaints
from tests.chaos.viewer_processes import Notes
from tests.recorder.test_recording import Killed, MortalStore, event, files, ids, part, recording, retraction

KEYS = ["p-0", "p-1"]


def judged(directory: Path, dc1: list[str], dc2: list[str], *, oldest: int = 1) -> list[str]:
    """Two events were accepted, and of a third nothing is known."""
    notes = Notes()
    notes.send("v", KEYS).answered = notes.tick()
    notes.send("v", ["p-2"])
    world = World(directory)
    for name, keys in zip(NAMES, (dc1, dc2), strict=True):
        there = Recording(Directory(world.recordings(name)), "v", SEGMENT)
        there.append(part([event(0, user="p-2")]) if oldest > 1 else part([]))
        lines = [event(number, user=key) for number, key in enumerate(keys)]
        there.append(part(lines, oldest, oldest=oldest))
    return complaints(notes, world, ["v"])


@pytest.mark.parametrize("keys", [KEYS, KEYS[::-1], [*KEYS, "p-2"]])
def test_right_recordings(tmp_path: Path, keys: list[str]) -> None:
    assert judged(tmp_path, keys, keys) == []


@pytest.mark.parametrize(
    ("dc1", "dc2", "complaint"),
    [
        (KEYS, ["p-0"], "dc2 has not 1 events of v, p-1 for one"),
        ([*KEYS, "p-1"], KEYS, "dc1 has 1 events of v twice"),
        ([*KEYS, "p-2"], KEYS, "1 events of v are in one datacenter only, p-2 for one"),
    ],
)
def test_wrong_recordings_are_reported(
    tmp_path: Path, dc1: list[str], dc2: list[str], complaint: str
) -> None:
    assert complaint in judged(tmp_path, dc1, dc2)


def test_gaps_are_reported(tmp_path: Path) -> None:
    assert "dc1 has a gap in v, and nothing was lost" in judged(tmp_path, KEYS, KEYS, oldest=3)


@pytest.mark.parametrize("seed", range(3))
async def test_two_datacenters(tmp_path: Path, seed: int) -> None:
    """Links that lag and repeat, and recorders that die at any step, or have a full disk."""
    chance = random.Random(seed)
    buses = {name: MemoryBus(name, HistorySettings(), 100) for name in NAMES}
    sent: dict[str, list[bytes]] = {name: [] for name in NAMES}
    relayed = dict.fromkeys(NAMES, 0)
    epoch: dict[str, str] = {}
    for turn in range(40):
        for name in NAMES:
            first = (turn + 1) * 10 + 1_000 * NAMES.index(name)
            lines = [event(first + number, turn * 900 + number) for number in range(chance.randrange(3))]
            if chance.random() < 0.2:  # of what came, here or there, or is still to come
                target = chance.randrange(1, turn + 5) * 10 + chance.choice([0, 1_000])
                lines.append(retraction(first + 9, target, turn * 900 + 9))
            if lines:
                request = AppendRequest("v", f"t{name}{turn}", lines, [None] * len(lines))
                (result,) = await buses[name].append([request])
                mark = result.cursor.get(name)
                assert mark is not None
                epoch[name] = mark.epoch
                sent[name] += lines
        for name, peer in (NAMES, NAMES[::-1]):
            if chance.random() < 0.5 or turn == 39:
                first = max(0, relayed[name] - chance.randrange(4))  # some of it again
                if lines := sent[peer][first:]:
                    batch = ReplicationBatch("v", peer, epoch[peer], first + 1, len(sent[peer]), lines)
                    await buses[name].relay([batch])
                    relayed[name] = len(sent[peer])
        for name in NAMES:
            how = chance.choice(["before", "within", "after", "alive", "alive"])
            last = 99 if how == "alive" else chance.randrange(1, 5)
            try:
                store = MortalStore(tmp_path / name, last, how)
                await Recorder(buses[name], store, RecorderSettings()).catch_up()
            except Killed:
                continue
    for name in NAMES:
        for root in (tmp_path / name, tmp_path / f"{name}-again"):
            await Recorder(buses[name], Directory(root), RecorderSettings()).catch_up()
        assert files(tmp_path / name) == files(tmp_path / f"{name}-again")
        names = ids(recording(tmp_path / name))
        assert len(names) == len(set(names)) == sum(map(len, sent.values()))
