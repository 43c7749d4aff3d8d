"""A PostgreSQL of the test's own, in a directory of its own, where its programs are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

NOBODY = 65534  # PostgreSQL refuses to run as root


def programs() -> Path | None:
    """The directory of `initdb` and `pg_ctl`; None where PostgreSQL is not installed."""
    if found := shutil.which("initdb"):
        return Path(found).parent
    return max(Path("/usr/lib/postgresql").glob("*/bin/"), default=None)


@contextmanager
def postgres(binaries: Path) -> Iterator[str]:
    """The URL of an empty database, for the duration of the block."""
    user = NOBODY if os.geteuid() == 0 else None
    with TemporaryDirectory(prefix="pg-", dir="/tmp") as name:  # short: its socket's path is limited
        directory = Path(name)
        if user is not None:
            os.chown(directory, user, user)

        def run(program: str, *arguments: str) -> None:
            subprocess.run(
                [binaries / program, *arguments],
                check=True, cwd=directory, user=user, group=user, stdout=subprocess.DEVNULL, timeout=60,
            )  # fmt: skip

        data, log = directory / "data", directory / "log"
        run("initdb", "-D", str(data), "-U", "test", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
        run(
            "pg_ctl",
            "-D",
            str(data),
            "-l",
            str(log),
            "-o",
            f"-c listen_addresses= -k {directory}",
            "-w",
            "start",
        )
        try:
            yield f"postgresql+psycopg://test@/postgres?host={directory}"
        finally:
            run("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
