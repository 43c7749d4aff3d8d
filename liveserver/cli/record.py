"""`liveserver record`: lists, exports and erases recordings."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from liveserver import config
from liveserver.cli.printable import printable_json
from liveserver.cli.serve import ConfigFile, Set

if TYPE_CHECKING:
    from liveserver.recorder.recording import Recording

record = typer.Typer(
    help="List, export or erase recordings.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog="\b\nExample:\n  liveserver record export demo > demo.ndjson",
)

Video = Annotated[str | None, typer.Argument(metavar="VIDEO", help="One video; default: all.")]
User = Annotated[str | None, typer.Option("--user", metavar="USER", help="Only this user's events.")]


def _recordings(settings: config.Settings, video: str | None) -> Iterator[Recording]:
    from liveserver.event import VIDEO
    from liveserver.recorder.opening import location, open_store
    from liveserver.recorder.recording import Recording

    store = open_store(settings.recorder)
    folders = store.folders()
    if video is not None and video not in folders:
        where = location(settings.recorder)
        raise typer.BadParameter(f"there is no recording of {video} in {where}", param_hint="VIDEO")
    for name in folders if video is None else [video]:
        if VIDEO.fullmatch(name):
            yield Recording(store, name, settings.recorder.segment)


@record.command("list")
def list_(video: Video = None, config_file: ConfigFile = None, settings: Set = None) -> None:
    """List recordings, one JSON object a line."""
    for recording in _recordings(config.load(config_file, settings or ()), video):
        index = recording.index()
        if not index.segments:
            continue
        said = {
            "video": index.video,
            "events": sum(entry.events for entry in index.segments),
            "bytes": sum(entry.bytes for entry in index.segments),
            "segments": len(index.segments),
            "first_at": min(entry.first_at for entry in index.segments),
            "last_at": max(entry.last_at for entry in index.segments),
            "gaps": sum(entry.gap for entry in index.segments),
        }
        typer.echo(_line(msgspec.json.encode(said)), nl=False)


@record.command()
def export(
    video: Video = None, user: User = None, config_file: ConfigFile = None, settings: Set = None
) -> None:
    """Write recorded events to standard output, one JSON object a line.

    With --user, the user's entries in the likes database follow.
    """
    loaded = config.load(config_file, settings or ())
    out = sys.stdout.buffer
    for recording in _recordings(loaded, video):
        parts = recording.between(0, float("inf")) if user is None else [list(recording.of_user(user))]
        for lines in parts:
            out.writelines(_line(line) for line in lines)
    if user is not None and video is None:
        from liveserver.backend.privacy import export_user, open_database

        engine = open_database(loaded.backend)
        for row in export_user(engine, user) if engine is not None else ():
            out.write(_line(msgspec.json.encode(row)))


def _line(text: bytes) -> bytes:
    """Return a line of JSON that others have written, with the same value, and safe for a terminal."""
    return printable_json(text.decode()).encode() + b"\n"


@record.command()
def erase(
    user: Annotated[str, typer.Option("--user", metavar="USER", help="The user to erase.")],
    video: Video = None,
    config_file: ConfigFile = None,
    settings: Set = None,
) -> None:
    """Erase a user's data from recordings and, without VIDEO, from the likes database.

    A recorder may be running. Events keep their position and lose their content; likes still count. A ban in
    force is kept: lift it first. Comments in the log are retracted by a moderator:
    DELETE /v1/videos/VIDEO/users/USER/comments.
    """
    loaded = config.load(config_file, settings or ())
    events = sum(recording.erase(user) for recording in _recordings(loaded, video))
    said = {"user": user, "recorded": events, "stored": 0, "bans_kept": 0}
    if video is None:
        from liveserver.backend.privacy import erase_user, open_database

        if (engine := open_database(loaded.backend)) is not None:
            erased = erase_user(engine, user)
            said |= {"stored": erased.rows, "bans_kept": erased.bans_kept}
    typer.echo(_line(msgspec.json.encode(said)), nl=False)
