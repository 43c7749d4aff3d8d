"""The cost of a recording: size on disk, CPU, and the time to open it in the middle.

    python -m bench.recording --minutes 60

A feed of `--likes` likes/s and `--comments` comments/s is appended in parts of `recorder.interval`, as the
recorder does, in this process and without a bus; then a replay is opened in the middle: the index, and the
segment there. CPU is this process's; a disk's own speed shows in `seconds` only.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from bench.harness import progress
from bench.results import Sheet, finish, machine
from liveserver.bus.interface import Head, Slice
from liveserver.config import RecorderSettings
from liveserver.cursor import Cursor
from liveserver.event import Batch
from liveserver.recorder.directory import Directory
from liveserver.recorder.recording import Recording

BEGIN = 1_763_862_000_000  # milliseconds since the epoch
WORDS = [
    "goal",
    "what",
    "a",
    "save",
    "no",
    "way",
    "ref",
    "is",
    "blind",
    "love",
    "this",
    "team",
    "hello",
    "great",
]
OPENINGS = 20


def main(
    minutes: Annotated[float, typer.Option(help="Length of the recording.")] = 60.0,
    likes: Annotated[int, typer.Option(help="Likes a second.")] = 600,
    comments: Annotated[int, typer.Option(help="Comments a second.")] = 20,
) -> None:
    """Record a feed, and open the recording in the middle."""
    settings = RecorderSettings()
    chance = random.Random(1)
    number, appending, cpu = 0, 0.0, 0.0
    with tempfile.TemporaryDirectory() as name, progress(round(minutes * 60 / settings.interval)) as step:
        recording = Recording(Directory(Path(name)), "v", settings.segment)
        for at in range(0, round(minutes * 60_000), round(settings.interval * 1000)):
            step("recording")
            lines = part(chance, at, settings.interval, likes, comments)
            head = Head("aaaaa", number + len(lines), Cursor.parse(f"dc1-aaaaa-{number + len(lines)}"))
            batch = Batch("v", "aaaaa", number + 1, "dc1", "aaaaa", number + 1, lines)
            began, used = time.perf_counter(), time.process_time()
            recording.append(Slice(head, 1, [batch]))
            appending += time.perf_counter() - began
            cpu += time.process_time() - used
            number += len(lines)
        index = recording.index()
        size = sum(path.stat().st_size for path in (Path(name) / "v").iterdir())
        middle = minutes * 30_000
        opening = []
        for _ in range(OPENINGS):
            began = time.perf_counter()
            next(iter(recording.between(middle, middle + 1_000, by_position=True)))
            opening.append(time.perf_counter() - began)
    result: dict[str, Any] = {
        "bench": "recording",
        "events": number,
        "minutes": minutes,
        "likes": likes,
        "comments": comments,
        "rounds": [{"open_ms": round(each * 1000, 1)} for each in opening],
        "size_mib": round(size / 1024**2, 1),
        "bytes_per_event": round(size / number, 1),
        "segments": len(index.segments),
        "cpu_seconds": round(cpu, 1),
        "cpu_share": round(cpu / (minutes * 60), 4),
        "us_per_event": round(cpu / number * 1e6, 2),
        "seconds": round(appending, 1),
        "open_ms": round(statistics.median(opening) * 1000, 1),
        "machine": machine(),
    }
    finish(result, sheets(result))


def sheets(result: dict[str, Any]) -> list[Sheet]:
    """Return the table of a result."""
    about = f"{result['minutes']:g} minutes of {result['likes']} likes/s and {result['comments']} comments/s"
    measures = {
        "events": "events",
        "size_mib": "on disk, MiB",
        "bytes_per_event": "bytes an event",
        "segments": "segments",
        "cpu_seconds": "CPU, seconds",
        "cpu_share": "CPU, of one core while it is live",
        "us_per_event": "CPU an event, µs",
        "open_ms": "opened in the middle, ms",
    }
    return [Sheet(about, ["", ""], [[what, result[name]] for name, what in measures.items()])]


def part(chance: random.Random, at: int, seconds: float, likes: int, comments: int) -> list[bytes]:
    """Return the lines of so many seconds."""
    lines = []
    count = round((likes + comments) * seconds)
    for each in range(count):
        moment = at + round(each * seconds * 1000 / count)
        is_comment = each * comments % (likes + comments) < comments
        event = {
            "id": f"01{chance.getrandbits(120):030X}",
            "video": "v",
            "type": "comment" if is_comment else "like",
            "user": f"u{chance.randrange(5_000)}",
            "at": BEGIN + moment,
            "position": moment,
            "data": {"text": " ".join(chance.choices(WORDS, k=8))} if is_comment else {"reaction": "heart"},
        }
        lines.append((b"comment " if is_comment else b"like ") + msgspec.json.encode(event))
    return lines


if __name__ == "__main__":
    typer.run(main)
