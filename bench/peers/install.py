"""Builds or installs peers: each from its registry, by name, with one command.

    python -m bench.peers.install                # all
    python -m bench.peers.install mercure axum
    python -m bench.peers.install --list         # only print the commands

Programs are built into ~/.cache/liveserver-peers, or LIVESERVER_PEERS. Go 1.26, cargo, and for Debian's
packages apt-get, are required. Neither the bench nor its tests install anything.
"""

from __future__ import annotations

import os
import subprocess
from typing import Annotated

import typer

from bench.harness import console
from bench.peers.programs import DIRECTORY, HERE

CENTRIFUGO = "v6.9.1"

COMMANDS = {
    "nchan": "apt-get install -y nginx-light libnginx-mod-nchan",
    "pushpin": "apt-get install -y pushpin",
    "centrifugo": f"go install github.com/centrifugal/centrifugo/v6@{CENTRIFUGO}",
    "mercure": f"go build -C {HERE}/mercure -o {DIRECTORY}/bin/liveserver-bench-mercure .",
    "nethttp": f"go build -C {HERE}/nethttp -o {DIRECTORY}/bin/liveserver-bench-nethttp .",
    "axum": f"cargo install --path {HERE}/axum --root {DIRECTORY} --target-dir {DIRECTORY}/target --no-track",
}


def main(
    names: Annotated[list[str] | None, typer.Argument(help="Peers; all by default.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Print the commands without running them.")] = False,
) -> None:
    """Install the peers of `python -m bench.peers` outside the repository.

    Example: python -m bench.peers.install mercure axum
    """
    if unknown := set(names or ()) - set(COMMANDS):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: none of {', '.join(COMMANDS)}")
    failed = []
    for name in names or COMMANDS:
        console.print(f"{name}: {COMMANDS[name]}", soft_wrap=True)
        if not list_ and not _run(COMMANDS[name]):
            failed.append(name)
    if failed:
        console.print(f"[red]not installed: {', '.join(failed)}")
        raise typer.Exit(1)


def _run(command: str) -> bool:
    (DIRECTORY / "bin").mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "GOBIN": str(DIRECTORY / "bin"), "GOFLAGS": ""}
    try:
        return subprocess.run(command.split(), env=environment, check=False).returncode == 0
    except FileNotFoundError as error:
        console.print(f"[yellow]{error.filename} is not there")
        return False


if __name__ == "__main__":
    typer.run(main)
