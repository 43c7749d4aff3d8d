"""Versions of the database's schema, and the upgrade of an older one (Alembic).

env.py     how Alembic runs the versions
versions/  the versions, oldest first

Rules:

1. A backend upgrades its database when it starts, in one transaction that holds a lock: of several that start
   at once one does it, the others wait. `liveserver db upgrade` does the same beforehand.
2. A new database is made as `schema.py` describes it, and has the newest version at once. A database from
   before there were versions is brought to the first one, whichever of its tables and columns it lacks.
3. A version that this program does not know is of a newer one: it is refused, and nothing is changed.
4. A version never changes. Each new one only adds (tables, columns with a default), so that backends of the
   version before go on during a rolling upgrade; what is no longer used is removed one release later.

Adding a version: change `schema.py`, write `versions/v0003_….py`, set `HEAD` and `KNOWN`; the tests compare
them.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Column, Connection, Engine, MetaData, String, Table, inspect
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from liveserver.backend.schema import metadata
from liveserver.errors import ConfigError

HEAD = "0002"
KNOWN = ("0001", "0002")  # oldest first

# Alembic's own table.
_versions = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))

_LOCK = 0x6C697665  # PostgreSQL's advisory lock for upgrades; any number that others do not use
_ATTEMPTS = 3  # a backend from before there were versions may create the same tables


def migrate(engine: Engine) -> str | None:
    """Bring the database to `HEAD`; return the version it had, None if it had none.

    Raises `ConfigError` if it is of a newer program, `SQLAlchemyError`.
    """
    for attempt in range(_ATTEMPTS):
        try:
            with engine.begin() as connection:
                if connection.dialect.name == "postgresql":
                    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
                version = read_version(connection)
                if version != HEAD:
                    _upgrade(connection, version)
                return version
        except (IntegrityError, OperationalError, ProgrammingError):
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("the last attempt returns or raises")


def read_version(connection: Connection) -> str | None:
    """Return the version of a database; None if it has none.

    Raises `ConfigError` if it is of a newer program.
    """
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    if version is not None and version not in KNOWN:
        raise ConfigError(
            "backend.database",
            f"has schema version {version!r}, and this liveserver knows {', '.join(KNOWN)}; a newer one has "
            "used it: run that, or restore a copy of the database. Nothing was changed",
        )
    return version


def _upgrade(connection: Connection, version: str | None) -> None:
    tables = set(inspect(connection).get_table_names())
    if version is None and not tables & set(metadata.tables):
        metadata.create_all(connection)
        _versions.create(connection)
        connection.execute(_versions.insert().values(version_num=HEAD))
        return
    # Alembic takes a while to import, and is rarely needed.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
