"""`liveserver db`: the version of a likes backend's database, and its upgrade."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from liveserver import config
from liveserver.cli.serve import ConfigFile, Set
from liveserver.errors import LiveserverError

if TYPE_CHECKING:
    from sqlalchemy import Engine

db = typer.Typer(
    help="Show or upgrade the schema of a likes backend's database.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog="\b\nExample:\n  liveserver db upgrade --config config/backend.toml",
)


@db.command()
def current(config_file: ConfigFile = None, settings: Set = None) -> None:
    """Print the version of the schema, and the newest that this program knows."""
    from liveserver.backend.migrations import HEAD, read_version

    with _engine(config_file, settings) as engine, engine.connect() as connection:
        version = read_version(connection) or "none"
    typer.echo(version if version == HEAD else f"{version} (newest: {HEAD})")


@db.command()
def upgrade(config_file: ConfigFile = None, settings: Set = None) -> None:
    """Create or upgrade the tables, as a likes backend does when it starts."""
    from liveserver.backend.migrations import HEAD, migrate

    with _engine(config_file, settings) as engine:
        before = migrate(engine)
    typer.echo(f"{HEAD}, as before" if before == HEAD else f"{before or 'none'} → {HEAD}")


@contextmanager
def _engine(config_file: ConfigFile, settings: Set) -> Iterator[Engine]:
    """Connect to the configured database. Raises `ConfigError`, `LiveserverError`."""
    from contextlib import ExitStack

    from sqlalchemy.exc import SQLAlchemyError

    from liveserver.backend.engine import open_engine, reason
    from liveserver.backend.opening import database_url

    effective = config.load(config_file, settings or ())
    with ExitStack() as stack:
        engine = open_engine(database_url(effective.backend, stack), writes=True)
        stack.callback(engine.dispose)
        try:
            yield engine
        except SQLAlchemyError as error:
            raise LiveserverError(f"backend.database: cannot be opened ({reason(error)})") from None
