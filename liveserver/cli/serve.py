"""The commands that start servers, and the one that reads their configuration first."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from liveserver import config
from liveserver.cli import terminal
from liveserver.config.writing import toml
from liveserver.errors import ConfigError

ConfigFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="A TOML file; without one, the defaults.")
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
        typer.Option("--role", metavar="ROLE", help="frontend, dispatcher, backend or all. Repeatable."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", metavar="N", help="Processes sharing the address. Needs Redis.")
    ] = None,
    log_format: Annotated[
        str | None, typer.Option("--log-format", metavar="FORMAT", help="console, or json: an object a line.")
    ] = None,
    settings: Set = None,
    until_eof: Annotated[bool, typer.Option("--until-eof", hidden=True)] = False,
    as_worker: Annotated[bool, typer.Option("--as-worker", hidden=True)] = False,
    own_terminal: OwnTerminal = False,
) -> None:
    """Start one server process, or several that share an address.

    Without options it is everything in one, on http://127.0.0.1:8000. Ctrl-C and SIGTERM end it, after
    it has let its viewers go.
    """
    overrides = [*_role_overrides(role), *_worker_overrides(workers), *(settings or ())]
    if log_format is not None:
        overrides.append(f"node.log_format={log_format}")
    effective = _load(config_file, overrides)

    import trio

    from liveserver.cluster import parent_watch

    if until_eof:
        parent_watch.end_with_standard_input(effective.node.lame_duck + effective.node.drain_timeout)
    with terminal.taken(own_terminal):
        if effective.node.workers > 1 and not as_worker:
            from liveserver.cluster import workers as several

            options = ["--config", str(config_file)] if config_file else []
            shown, environment = config.move_secrets(overrides)
            options += [word for override in shown for word in ("--set", override)]
            trio.run(several.run, effective, options, environment)
        else:
            from liveserver import node

            trio.run(node.run, effective)


def cluster(
    config_file: Annotated[
        Path, typer.Option("--config", metavar="FILE", help="The nodes, their ports and settings.")
    ] = Path("config/cluster.toml"),
    restart_rolling: Annotated[
        bool, typer.Option("--restart-rolling", help="Have the running cluster restart its nodes in turn.")
    ] = False,
    own_terminal: OwnTerminal = False,
) -> None:
    """Start a cluster on this machine.

    Redis, dispatchers and frontends, each a process; Ctrl-C ends them all. SIGHUP, or the same command
    with --restart-rolling, restarts every node, one after the other, while the others go on.
    """
    if restart_rolling:
        from liveserver.cluster import pidfile

        process = pidfile.ask_to_roll(config_file)
        typer.echo(
            f"Asked process {process} to restart its nodes in turn; its log says how that goes.", err=True
        )
        return

    import trio

    from liveserver.cluster import supervisor, topology

    with terminal.taken(own_terminal):
        trio.run(supervisor.run, topology.load(config_file))


def check(
    config_file: ConfigFile = None,
    role: Annotated[
        list[str] | None,
        typer.Option("--role", metavar="ROLE", help="As for run."),
    ] = None,
    settings: Set = None,
) -> None:
    """Say what is wrong with a configuration, or print it.

    Also for a cluster's file.
    """
    if config_file and "datacenters" in config.read_toml(config_file):
        from liveserver.cluster import topology

        for plan in topology.load(config_file).nodes:
            typer.echo(f"{plan.name:16} {plan.role:12} public {plan.public}  ops {plan.ops}")
        typer.echo(f"\n{config_file} is right.", err=True)
        return
    effective = _load(config_file, [*_role_overrides(role), *(settings or ())])
    typer.echo(render(effective))
    typer.echo(
        f"\n{config_file or 'The configuration'} is right; what is marked differs from the default.", err=True
    )


def render(settings: config.Settings) -> str:
    """The settings as TOML that `run` reads back to the same; what differs from the defaults is marked."""
    lines: list[str] = []
    defaults = config.Settings()
    for section in settings.__struct_fields__:
        lines += ["", f"[{section}]"] if lines else [f"[{section}]"]
        values, standard = getattr(settings, section), getattr(defaults, section)
        if isinstance(values, dict):  # a table whose names are the operator's
            lines += [f"{name} = {toml(value)}" for name, value in values.items()]
            continue
        for name in values.__struct_fields__:
            value, default = getattr(values, name), getattr(standard, name)
            if value is None:
                lines.append(f"# {name} {'is made up at the start' if name == 'name' else 'is not set'}")
                continue
            text = f"{name} = {toml(value)}"
            if isinstance(value, config.Secret):
                lines.append(f"# {name} is set, and not shown")
            elif value == default:
                lines.append(text)
            else:
                was = "none" if default is None else toml(default)
                lines.append(f"{text:40}  # default: {was}")
    return "\n".join(lines)


def _load(path: Path | None, overrides: list[str]) -> config.Settings:
    """`config.load`, whose complaint also says where the wrong value was written."""
    try:
        return config.load(path, overrides)
    except ConfigError as error:
        source = _source(error.where, path, overrides)
        if source is None or source in str(error):
            raise
        raise ConfigError(source, str(error)) from None


def _source(where: str, path: Path | None, overrides: list[str]) -> str | None:
    """Which of the three sources gave the setting; None when it is a default that is wrong in company."""
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
    known = config.NodeSettings().roles  # "all" is what the embedded default plays
    chosen = known if "all" in roles else roles
    return [f"node.roles={json.dumps(list(dict.fromkeys(chosen)))}"]


def _worker_overrides(workers: int | None) -> list[str]:
    return [] if workers is None else [f"node.workers={workers}"]
