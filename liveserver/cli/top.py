"""`liveserver top`: a live table of all nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from liveserver.cli.credentials import sendable
from liveserver.cli.printable import printable
from liveserver.cli.rows import Row
from liveserver.cli.urls import ops_urls

if TYPE_CHECKING:
    import httpx
    from rich.table import Table

CLUSTER = Path("config/cluster.toml")
ALONE = "http://127.0.0.1:9000"  # the default of `liveserver run`
WIDE = 150  # terminal columns that the whole table needs
FIRST = 0.5  # seconds between the two readings that the first table needs


def top(
    urls: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[URL]…", callback=ops_urls, help="Ops addresses; default: the nodes on this machine."
        ),
    ] = None,
    cluster: Annotated[
        Path,
        typer.Option(
            "--config", metavar="FILE", help="The cluster file whose nodes are shown if no URL is given."
        ),
    ] = CLUSTER,
    interval: Annotated[
        float, typer.Option("--interval", min=0.1, help="Seconds between two readings.")
    ] = 1.0,
    key: Annotated[
        str | None,
        typer.Option(
            "--key",
            metavar="KEY",
            envvar="LIVESERVER_OPS_KEY",
            callback=sendable,
            help="The nodes' auth.ops_key, if they have one.",
        ),
    ] = None,
    all_nodes: Annotated[
        bool,
        typer.Option(
            "--all", help="All live nodes of the cluster, as listed in Redis, including later ones."
        ),
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="Print one table and end.")] = False,
) -> None:
    """Show all nodes: videos, viewers, rates, delays, lag, memory.

    Ctrl-C ends it. Each ops address shows the same as a page.
    """
    import trio

    trio.run(_top, urls or of_this_machine(cluster), interval, once, key, all_nodes)


def of_this_machine(cluster: Path) -> list[str]:
    """Return the ops addresses of a cluster's file and of a single node."""
    if not cluster.exists() and cluster == CLUSTER:
        return [ALONE]
    from liveserver.cluster import topology

    nodes = topology.load(cluster).nodes
    return [f"http://{address}" for node in nodes for address in node.all_ops or (node.ops,)] + [ALONE]


async def _top(
    urls: Sequence[str], interval: float, once: bool, key: str | None = None, all_nodes: bool = False
) -> None:
    import httpx
    from rich.console import Console
    from rich.live import Live

    from liveserver.cli.nodes import TIMEOUT
    from liveserver.cli.signals import run_until_signal

    console = Console()
    if not console.is_terminal:
        console = Console(width=2 * WIDE)  # a file or a pipe has no width
    headers = {"authorization": f"Bearer {key}"} if key is not None else {}
    async with httpx.AsyncClient(timeout=TIMEOUT, trust_env=False, headers=headers) as client:
        if once:
            await _refresh(
                client,
                urls,
                FIRST,
                lambda rows: console.print(table(rows, console.width)),
                times=1,
                all_nodes=all_nodes,
            )
            return
        with Live(console=console, screen=console.is_terminal, auto_refresh=False) as live:
            await run_until_signal(
                lambda: _refresh(
                    client,
                    urls,
                    interval,
                    lambda rows: live.update(table(rows, console.width), refresh=True),
                    all_nodes=all_nodes,
                )
            )


async def _refresh(
    client: httpx.AsyncClient,
    urls: Sequence[str],
    interval: float,
    show: Callable[[list[Row]], None],
    times: int = 0,
    *,
    all_nodes: bool = False,
) -> None:
    """Query all nodes and show the result, `times` times; 0: until cancelled.

    `all_nodes`: those that the nodes at `urls` know, looked up before each table.
    """
    import trio

    from liveserver.cli import nodes

    async def fetch() -> dict[str, nodes.Status | str]:
        asked = await nodes.discover(client, urls) if all_nodes else urls
        return dict(zip(asked, await nodes.fetch_all(client, asked), strict=True))

    before = await fetch()
    asked, shown = trio.current_time(), 0
    pause = min(FIRST, interval)
    while not times or shown < times:
        await trio.sleep(pause)
        now = await fetch()
        seconds = trio.current_time() - asked
        asked += seconds
        rows = [nodes.row(url, before.get(url), later, seconds) for url, later in now.items()]
        # Without URLs, only the nodes that answer are shown.
        show([each for each in rows if each.url != ALONE or not each.trouble or len(urls) == 1])
        before, pause, shown = now, interval, shown + 1


class Column(NamedTuple):
    """A column of the table. Columns that are not `is_needed` are left out of narrow terminals."""

    title: str
    text: Callable[[Row], str]
    is_needed: bool = True


COLUMNS = (
    Column("roles", lambda row: row.roles, is_needed=False),
    Column("videos", lambda row: whole(row.videos)),
    Column("viewers", lambda row: whole(row.viewers)),
    Column("deliveries/s", lambda row: whole(row.deliveries)),
    Column("a write", lambda row: "" if row.coalescing is None else f"{row.coalescing:.1f}", is_needed=False),
    Column("publishes/s", lambda row: whole(row.publishes)),
    Column(
        "delay p99", lambda row: "" if row.delay is None else f"{1000 * row.delay:.0f} ms", is_needed=False
    ),
    Column("lagging", lambda row: whole(row.lagging), is_needed=False),
    Column("lag", lambda row: whole(row.lag)),
    Column("gaps", lambda row: whole(row.gaps), is_needed=False),
    Column("memory", lambda row: "" if row.memory is None else f"{row.memory / 1024**2:,.0f} MiB"),
    Column("cpu", lambda row: "" if row.cpu is None else f"{100 * row.cpu:.0f} %"),
    Column("up", lambda row: "" if row.uptime is None else since(row.uptime), is_needed=False),
)


def table(rows: Sequence[Row], width: int) -> Table:
    """Return the table of all nodes and their sum, for a terminal of this width."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    columns = [column for column in COLUMNS if column.is_needed or width >= WIDE]
    made = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    made.add_column("node", overflow="fold")
    for column in columns:
        made.add_column(column.title, justify="left" if column.title == "roles" else "right", no_wrap=True)
    for each in rows:
        if each.trouble:
            name = f"{each.node or each.url.removeprefix('http://')}: {each.trouble}"
            made.add_row(Text(printable(name), "red"))
        else:
            made.add_row(
                Text(printable(each.node)), *(Text(printable(column.text(each))) for column in columns)
            )
    well = [each for each in rows if not each.trouble]
    if len(well) > 1:
        made.add_section()
        sums = Row(
            "",
            viewers=sum(each.viewers or 0 for each in well),
            deliveries=sum(each.deliveries or 0 for each in well),
            publishes=sum(each.publishes or 0 for each in well),
            lagging=sum(each.lagging or 0 for each in well),
            gaps=sum(each.gaps or 0 for each in well),
            memory=sum(each.memory or 0 for each in well),
        )
        made.add_row("all", *(column.text(sums) for column in columns), style="bold")
    return made


def whole(number: float | None) -> str:
    """Format a number with thousands separators; None is empty."""
    return "" if number is None else f"{number:,.0f}"


def since(seconds: float) -> str:
    """Format a duration in its largest unit."""
    for name, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} s"
