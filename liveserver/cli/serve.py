"""The commands that start servers, and those that check and print a configuration."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from liveserver import config
from liveserver.cli import foreground
from liveserver.cli.printable import printable
from liveserver.config.render import render, render_full
from liveserver.errors import ConfigError, LiveserverError

ConfigFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="A TOML file; default settings without one.")
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="One setting, frontend.lease=10s for example. Repeatable."
    ),
]
OwnTerminal = Annotated[bool, typer.Option("--own-terminal", hidden=True)]


def run(
    config_file: ConfigFile = None,
    role: Annotated[
        list[str] | None,
        typer.Option(
            "--role",
            metavar="ROLE",
            help="frontend, dispatcher, backend, recorder, hooks, or all: the first three. Repeatable.",
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", metavar="N", help="Processes sharing the address. Needs Redis.")
    ] = None,
    log_format: Annotated[
        str | None,
        typer.Option("--log-format", metavar="FORMAT", help="console, or json: an object per line."),
    ] = None,
    settings: Set = None,
    until_eof: Annotated[bool, typer.Option("--until-eof", hidden=True)] = False,
    as_worker: Annotated[bool, typer.Option("--as-worker", hidden=True)] = False,
    own_terminal: OwnTerminal = False,
) -> None:
    """Start one server process, or several that share an address.

    Without options it has the roles frontend, dispatcher and backend, on http://127.0.0.1:8000. Ctrl-C and
    SIGTERM end it after it has disconnected its viewers.
    """
    overrides = [*_role_overrides(role), *_worker_overrides(workers), *(settings or ())]
    if log_format is not None:
        overrides.append(f"node.log_format={log_format}")
    effective = _load(config_file, overrides)

    import trio

    from liveserver.cluster import parent_watch

    with ExitStack() as stack:
        stack.callback(gc.enable)
        gc.disable()  # until all is imported and open (`node.run`): so far all objects are in use
        is_supervisor = effective.node.workers > 1 and not as_worker
        if is_supervisor:
            from liveserver.cluster import fork_server

            # While there is no thread yet: one watches standard input.
            forking = stack.enter_context(fork_server.start(_run_command, partial(_preload, effective)))
        if until_eof:
            parent_watch.end_with_standard_input(effective.node.lame_duck + effective.node.drain_timeout)
        stack.enter_context(foreground.in_foreground(own_terminal))
        if is_supervisor:
            from liveserver.cluster import workers as several

            options = ["--config", str(config_file)] if config_file else []
            shown, environment = config.move_secrets(overrides)
            options += [word for override in shown for word in ("--set", override)]
            gc.enable()
            trio.run(several.run, effective, options, environment, forking)
        else:
            from liveserver import node

            trio.run(node.run, effective, lambda: _load(config_file, overrides))


def cluster(
    config_file: Annotated[
        Path, typer.Option("--config", metavar="FILE", help="The nodes, their ports and settings.")
    ] = Path("config/cluster.toml"),
    restart_rolling: Annotated[
        bool, typer.Option("--restart-rolling", help="Restart the nodes of the running cluster in turn.")
    ] = False,
    own_terminal: OwnTerminal = False,
) -> None:
    """Start a cluster on this machine.

    Redis, dispatchers and frontends, each a process; Ctrl-C ends all of them. SIGHUP, or the same command
    with --restart-rolling, restarts every node, one after the other, while the others are running.
    """
    from liveserver.cluster import topology

    config_file = topology.find(config_file)
    if restart_rolling:
        from liveserver.cluster import pidfile

        process = pidfile.request_rolling_restart(config_file)
        typer.echo(
            f"Asked process {process} to restart its nodes in turn; see its log for the progress.", err=True
        )
        return

    import trio

    from liveserver.cluster import supervisor

    with foreground.in_foreground(own_terminal):
        trio.run(supervisor.run, topology.load(config_file))


def check(
    config_file: ConfigFile = None,
    role: Annotated[
        list[str] | None,
        typer.Option("--role", metavar="ROLE", help="As for run."),
    ] = None,
    settings: Set = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not connect to Redis, database, dispatchers or key set.")
    ] = False,
) -> None:
    """Check a configuration, and print it.

    Opens everything that run opens: files, keys, addresses, the database, Redis, the dispatchers. For a
    cluster's file, the settings and the ports are checked. Exit code 2 if the configuration is wrong, 1 if a
    service cannot be reached.
    """
    for variable in config.unknown_in(os.environ):
        typer.echo(printable(f"environment variable {variable}: not a setting, ignored"), err=True)
    if config_file and "datacenters" in config.read_toml(config_file):
        from liveserver.cluster import supervisor, topology

        layout = topology.load(config_file)
        for plan in layout.nodes:
            typer.echo(f"{plan.name:16} {plan.role:12} public {plan.public}  ops {plan.ops}")
        for port in supervisor.busy_ports(layout):
            typer.echo(f"port {port} is in use, perhaps by this cluster", err=True)
        typer.echo(f"\n{config_file} is right.", err=True)
        return
    effective = _load(config_file, [*_role_overrides(role), *(settings or ())])
    typer.echo(render(effective))

    import trio

    from liveserver.node.preflight import preflight

    async def open_all() -> None:
        troubles = [each for each in await preflight(effective, offline=offline) if each.trouble]
        for each in troubles:
            typer.echo(printable(f"{each.setting}: {each.trouble}"), err=True)
        if any(not each.setting.startswith("listen.") for each in troubles):
            raise LiveserverError("the configuration is right, but a service it names cannot be reached")

    trio.run(open_all)
    typer.echo(
        f"\n{config_file or 'The configuration'} is right; marked settings differ from the default.", err=True
    )


def config_(
    config_file: ConfigFile = None,
    role: Annotated[
        list[str] | None,
        typer.Option("--role", metavar="ROLE", help="As for run."),
    ] = None,
    settings: Set = None,
    full: Annotated[bool, typer.Option("--full", help="Every setting with its default and meaning.")] = False,
) -> None:
    """Print the configuration as a TOML file that run reads.

    With --full every setting is there, commented out where it has its default.
    """
    effective = _load(config_file, [*_role_overrides(role), *(settings or ())])
    typer.echo(render_full(effective) if full else render(effective))


def _run_command(arguments: Sequence[str]) -> None:
    from liveserver.cli import main

    main(arguments)


def _preload(settings: config.Settings) -> None:
    from liveserver.node.preload import preload

    preload(settings)


def _load(path: Path | None, overrides: list[str]) -> config.Settings:
    """Return `config.load`'s settings; its error also says where the wrong value was written."""
    try:
        return config.load(path, overrides)
    except ConfigError as error:
        source = _source(error.where, path, overrides)
        if source is None or source in str(error):
            raise
        raise ConfigError(source, str(error)) from None


def _source(where: str, path: Path | None, overrides: list[str]) -> str | None:
    """Return which of the three sources gave the setting; None if it has its default."""
    setting = where.partition("[")[0]
    for override in overrides:
        if override.partition("=")[0].strip() == setting:
            return f"--set {setting}=…" if config.is_secret(setting) else f"--set {override}"
    variable = config.ENVIRONMENT_PREFIX + setting.upper().replace(".", "__")
    if variable in os.environ:
        return f"environment variable {variable}"
    tree: Any = config.read_toml(path) if path else {}
    for part in setting.split("."):
        tree = tree.get(part) if isinstance(tree, dict) else None
    return str(path) if tree is not None else None


def _role_overrides(roles: list[str] | None) -> list[str]:
    if not roles:
        return []
    known = config.NodeSettings().roles  # "all" means the default roles
    chosen = known if "all" in roles else roles
    return [f"node.roles={json.dumps(list(dict.fromkeys(chosen)))}"]


def _worker_overrides(workers: int | None) -> list[str]:
    return [] if workers is None else [f"node.workers={workers}"]
