"""`liveserver watch`: shows a video's events live, for people or, as JSON lines, for programs."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, NoReturn

import msgspec
import typer

from liveserver.cli.credentials import sendable
from liveserver.cli.printable import printable, printable_json
from liveserver.cli.urls import other_urls, server_url

if TYPE_CHECKING:
    from rich.console import Console

    from liveserver.client import Event, Item, Watcher

# Seconds.
REFRESH = 0.1  # interval of the terminal's updates
RECENT = 5.0  # the window of the rate and the delay in the status line

# Most lines shown per refresh; of more, the last ones.
MAX_LINES = 200


class Transport(StrEnum):
    """The transports to watch with."""

    auto = "auto"
    sse = "sse"
    poll = "poll"
    ws = "ws"


def watch(
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL", callback=server_url, help="A frontend, http://127.0.0.1:8101 for example."
        ),
    ],
    video: Annotated[str, typer.Argument(metavar="VIDEO", help="The video's name.")],
    also: Annotated[
        list[str] | None,
        typer.Option(
            "--also",
            metavar="URL",
            callback=other_urls,
            help="Another frontend to use when a connection is lost. Repeatable.",
        ),
    ] = None,
    transport: Annotated[
        Transport,
        typer.Option(
            "--transport",
            help="auto: an event stream, or long-polls if a proxy blocks streams. ws: a WebSocket.",
        ),
    ] = Transport.auto,
    cursor: Annotated[
        str | None,
        typer.Option("--cursor", metavar="C", help="Where to begin: now (default), earliest, or a cursor."),
    ] = None,
    behind: Annotated[
        float,
        typer.Option("--behind", metavar="S", min=0.0, help="Seconds behind live, as a delayed picture is."),
    ] = 0.0,
    types: Annotated[
        str | None,
        typer.Option("--types", metavar="T,…", help="Only events of these types, such as like,comment."),
    ] = None,
    rate: Annotated[
        int | None,
        typer.Option("--rate", metavar="N", min=1, help="At most so many comments a second: a sample."),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            metavar="TOKEN",
            envvar="LIVESERVER_TOKEN",
            callback=sendable,
            help="A viewer's token; preferably in the environment, where other users cannot see it.",
        ),
    ] = None,
    json_lines: Annotated[
        bool, typer.Option("--json", help='Lines of JSON: {"cursor":…,"event":…,"data":{…}}.')
    ] = False,
) -> None:
    """Show a video's events as they happen.

    Ctrl-C ends it. A lost connection is resumed without losing or repeating events.
    """
    urls = [url, *(also or ())]
    if not behind < float("inf"):
        raise typer.BadParameter("behind is a number of seconds", param_hint="--behind")

    import trio
    from rich.console import Console

    from liveserver.cli.signals import run_until_signal
    from liveserver.client import watch as connect

    console = Console(highlight=False, soft_wrap=True)

    async def go() -> None:
        async with connect(
            urls,
            video,
            cursor=cursor,
            transport=transport.value,
            token=token,
            behind=behind,
            types=types.split(",") if types is not None else (),
            rate=rate,
        ) as watcher:
            if console.is_terminal and not json_lines:
                await _show_live(watcher, video, console)
            else:
                await _write_lines(watcher, _json_line if json_lines else _plain_line)

    async def main() -> None:
        await run_until_signal(go)

    trio.run(main)


async def _write_lines(watcher: Watcher, line_of: Callable[[Item], str | None]) -> None:
    """Print one line per event to standard output, and changes of the connection to standard error."""
    async for item in watcher:
        line = line_of(item)
        if line is not None:
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
        else:
            sys.stderr.write(f"{describe(item)}\n")


async def _show_live(watcher: Watcher, video: str, console: Console) -> None:
    """Print events above a status line."""
    import trio
    from rich.live import Live
    from rich.text import Text

    recent = Recent()
    lines: deque[tuple[str, str]] = deque(maxlen=MAX_LINES)
    skipped = 0
    node: str | None = None

    def refresh() -> None:
        nonlocal skipped
        if skipped:
            console.print(f"… {skipped:,} more …", style="dim")
        for line, style in lines:
            console.print(line, style=style, markup=False)
        lines.clear()
        skipped = 0
        live.update(Text(_status(watcher, video, node, recent)), refresh=True)

    async def keep_refreshing() -> NoReturn:
        while True:
            refresh()
            await trio.sleep(REFRESH)

    try:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(keep_refreshing)
                try:
                    async for item in watcher:
                        if _is_event(item):
                            recent.add(item)
                        node = getattr(item, "node", None) or node
                        skipped += len(lines) == MAX_LINES
                        lines.append((describe(item), "" if _is_event(item) else "dim"))
                finally:
                    refresh()
                nursery.cancel_scope.cancel()
    finally:
        where = f"; to continue from here: --cursor {watcher.cursor}" if watcher.cursor else ""
        console.print(printable(f"{recent.total:,} events{where}"), style="dim", markup=False)


class Recent:
    """The events of the last `RECENT` seconds: their rate, and their delay by this machine's clock."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.total = 0
        self._clock = clock
        self._seen: deque[tuple[float, float]] = deque()  # when, and seconds since it was accepted

    def add(self, item: Item) -> None:
        now = self._clock()
        self.total += 1
        self._seen.append((now, now - getattr(item, "at", 0) / 1000))

    def rate(self) -> float:
        """Return the events per second."""
        self._forget()
        return len(self._seen) / RECENT

    def delay(self) -> float | None:
        """Return the median of the seconds from acceptance to arrival; None without events."""
        self._forget()
        delays = sorted(delay for _, delay in self._seen)
        return delays[len(delays) // 2] if delays else None

    def _forget(self) -> None:
        earliest = self._clock() - RECENT
        while self._seen and self._seen[0][0] < earliest:
            self._seen.popleft()


def describe(item: Item) -> str:
    """Return one line for people; text of viewers cannot control the terminal."""
    from liveserver.client import Bye, Disconnected, Event, Gap, Omitted, Ready, State, Viewers

    match item:
        case Event():
            line = f"{_clock(item.at)}  {item.type:10} {item.user or '-':16} {_data(item)}"
            if item.key is not None:
                line += f"  [{item.key}{'' if item.version is None else f' {item.version}'}]"
        case Ready():
            where = f"to {item.node} " if item.node else ""
            line = f"-- connected {where}at {item.cursor or 'the beginning'}" + ", resumed" * item.resumed
        case Gap():
            line = "-- gap: events before the next one are gone"
        case State():
            line = f"-- state: {', '.join(f'{event.key} {_data(event)}' for event in item.events)}"
        case Viewers():
            line = f"-- {item.total} watching, {item.here} of them here"
        case Omitted():
            line = f"-- {item.omitted} comments left out"
        case Bye():
            line = f"-- the server said bye: {item.reason}"
        case Disconnected():
            line = f"-- disconnected: {item.reason}; trying {item.url} in {item.wait:.1f} s"
    return printable(line).rstrip()


def _clock(at: int) -> str:
    """Format milliseconds since the epoch as this machine's time of day."""
    try:
        return time.strftime("%H:%M:%S", time.localtime(at / 1000)) + f".{at % 1000:03}"
    except (OverflowError, ValueError, OSError):
        return "--:--:--.---"  # no clock shows it


def _data(event: Event) -> str:
    return "" if event.data is msgspec.UNSET else msgspec.json.encode(event.data).decode()


def _status(watcher: Watcher, video: str, node: str | None, recent: Recent) -> str:
    delay = recent.delay()
    parts = [
        video,
        f"{node or watcher.url} by {watcher.transport}",
        f"{recent.rate():,.1f}/s",
        "no events" if delay is None else f"{delay * 1000:,.0f} ms late",
        watcher.cursor or "",
    ]
    return printable(" · ".join(part for part in parts if part))


def _is_event(item: Item) -> bool:
    from liveserver.client import Event

    return isinstance(item, Event)


def _plain_line(item: Item) -> str | None:
    return describe(item) if _is_event(item) else None


def _json_line(item: Item) -> str | None:
    from liveserver.client.items import to_json

    encoded = to_json(item)
    return None if encoded is None else printable_json(encoded.decode())
