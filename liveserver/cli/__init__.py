"""The `liveserver` command.

serve.py         `run`, `cluster`, `check`, `config`
signals.py       ends a command on Ctrl-C
foreground.py    takes the terminal's foreground, under make
publish.py       `publish`
watch.py         `watch`
top.py           `top`
rows.py          its table
nodes.py         what nodes report, and rates from it
token.py         `token`
record.py        `record`
hooks.py         `hooks`
audit.py         `audit`
db.py            `db`
urls.py          URLs of servers
credentials.py   keys and tokens that can be sent
printable.py     others' text, safe for a terminal
error_report.py  every failure as one line and an exit code

1. `--help` is quick and has an example: what a command needs is imported when it runs.
2. An error is one line: what is wrong, where, and what to do. Never a traceback (`error_report.py`).
3. Exit codes: 0 success, 1 failure, 2 the command or the configuration is wrong.
4. Output for programs goes to standard output, messages for people to standard error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer

from liveserver import __version__
from liveserver.cli import error_report
from liveserver.cli.printable import printable

# The module of each command, in the order of --help, and an example; groups of commands have none.
_COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("serve", "liveserver run --set listen.public=127.0.0.1:8080"),
    "cluster": ("serve", "liveserver cluster --config config/cluster.toml"),
    "publish": (
        "publish",
        "liveserver publish http://127.0.0.1:8000 demo --type like --user me --rate 100 --count 1000",
    ),
    "watch": ("watch", "liveserver watch http://127.0.0.1:8000 demo"),
    "top": ("top", "liveserver top http://127.0.0.1:9101 http://127.0.0.1:9102"),
    "token": (
        "token",
        "liveserver token --video 'concert-*' --user ada --for 1h --secret-file viewers.secret",
    ),
    "audit": ("audit", "liveserver audit http://127.0.0.1:8121 demo"),
    "check": ("serve", "liveserver check --config config/all-in-one.toml"),
    "config": ("serve", "liveserver config --full > liveserver.toml"),
    "record": ("record", ""),
    "hooks": ("hooks", ""),
    "db": ("db", ""),
}


def _application(arguments: Sequence[str]) -> typer.Typer:
    """Return the command line with the command that the arguments name, or with all commands."""
    app = typer.Typer(
        add_completion=False,
        pretty_exceptions_enable=False,
        invoke_without_command=True,
        rich_markup_mode=None,
        epilog="Begin with: liveserver run",
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
    app.callback()(liveserver)
    named = arguments[0] if arguments else ""
    for name in [named] if named in _COMMANDS else _COMMANDS:
        module, example = _COMMANDS[name]
        found = vars(import_module(f"liveserver.cli.{module}"))
        if example:
            # \b: not wrapped in narrow terminals, so that it can be copied.
            command = found["config_" if name == "config" else name]
            app.command(name, epilog=f"\b\nExample:\n  {example}")(command)
        else:
            app.add_typer(found[name], name=name)
    return app


def liveserver(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    """One like, on every viewer's screen, within a blink."""
    if version:
        typer.echo(f"liveserver {__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command line (None: `sys.argv[1:]`), and exit with its exit code."""
    code: Any = 0
    try:
        words = sys.argv[1:] if arguments is None else list(arguments)
        code = _application(words)(words, prog_name="liveserver", standalone_mode=False)
        _flush()
    except Exception as error:
        complaint = error_report.explain(error)
        code = complaint.code
        if complaint.text:
            # It may quote a server's answer.
            typer.echo("\n".join(map(printable, complaint.text.split("\n"))), err=True)
    except (KeyboardInterrupt, BaseExceptionGroup):
        code = error_report.INTERRUPTED
    try:
        _flush()
    except BrokenPipeError:
        # Otherwise Python would try to flush again at exit, and print an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code if isinstance(code, int) else 0)


def _flush() -> None:
    """Flush standard output, which is None if it was closed before the start."""
    if sys.stdout is not None:
        sys.stdout.flush()
