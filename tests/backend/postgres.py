"""A temporary PostgreSQL server, if installed, and proxies in front of it."""

from __future__ import annotations

import os
import select
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

from liveserver.backend.engine import open_engine

NOBODY = 65534  # PostgreSQL refuses to run as root


def programs() -> Path | None:
    """The directory of `initdb` and `pg_ctl`; None where PostgreSQL is not installed."""
    if found := shutil.which("initdb"):
        return Path(found).parent
    return max(Path("/usr/lib/postgresql").glob("*/bin/"), default=None)


def _run(program: Path | str, *arguments: str, directory: Path) -> None:
    """Run one of PostgreSQL's programs, as a user who is not root."""
    user = NOBODY if os.geteuid() == 0 else None
    subprocess.run(
        [program, *arguments],
        check=True, cwd=directory, user=user, group=user, timeout=270,
    )  # fmt: skip


@cache
def _initialized(binaries: Path) -> TemporaryDirectory[str]:
    """A directory with the `data` of an empty server, to be copied; removed when the process ends."""
    initialized = TemporaryDirectory(prefix="pg-")
    directory = Path(initialized.name)
    if os.geteuid() == 0:
        os.chown(directory, NOBODY, NOBODY)
    options = ("-U", "test", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
    _run(binaries / "initdb", "-D", f"{directory}/data", *options, directory=directory)
    return initialized


@contextmanager
def postgres(binaries: Path) -> Iterator[str]:
    """The URL of an empty database, for the duration of the block. Its machine does not fail: no fsync."""
    with TemporaryDirectory(prefix="pg-") as name:  # short: its socket has a limit of 107 bytes
        directory = Path(name)
        if os.geteuid() == 0:
            os.chown(directory, NOBODY, NOBODY)
        data = f"{directory}/data"
        _run("cp", "-a", f"{_initialized(binaries).name}/data", data, directory=directory)
        options = f"-c listen_addresses= -c fsync=off -k {directory}"
        pg_ctl = partial(_run, binaries / "pg_ctl", "-D", data, "-w", directory=directory)
        pg_ctl("-l", f"{directory}/log", "-o", options, "start")
        try:
            yield f"postgresql+psycopg://test@/postgres?host={directory}"
        finally:
            pg_ctl("-m", "immediate", "stop")
            print((directory / "log").read_text())  # shown when the test fails


def execute(url: str, *statements: str) -> None:
    """Execute each by itself, outside of a transaction."""
    engine = open_engine(url, writes=False)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def set_read_only(url: str, is_on: bool) -> None:
    """Have the server refuse writes, or accept them again, and wait until that holds for its connections.

    A reload is asynchronous. The server signals its connections' processes before it accepts the next
    connection, so what holds for a new connection holds for the next statement on any other.
    """
    value = "on" if is_on else "off"
    execute(url, f"alter system set default_transaction_read_only = {value}", "select pg_reload_conf()")
    deadline = time.monotonic() + 60
    while fetch(url, "show default_transaction_read_only") != value:
        assert time.monotonic() < deadline, "the server did not read its configuration"
        time.sleep(0.01)


def fetch(url: str, query: str) -> object:
    """Return the query's one value, on a connection of its own."""
    engine = open_engine(url, writes=False)
    with engine.connect() as connection:
        value: object = connection.exec_driver_sql(query).scalar_one()
    engine.dispose()
    return value


def directory_of(url: str) -> str:
    """Where a server's socket is."""
    return url.rpartition("host=")[2]


@contextmanager
def pgbouncer(url: str, pool: int) -> Iterator[str]:
    """The URL of a pooler in transaction mode, with so many connections to the server."""
    user = NOBODY if os.geteuid() == 0 else None
    with TemporaryDirectory(prefix="pgb-") as name:
        directory = Path(name)
        (directory / "users").write_text('"test" ""\n')
        (directory / "ini").write_text(
            f"""[databases]
postgres = host={directory_of(url)} user=test
[pgbouncer]
unix_socket_dir = {name}
listen_port = 5432
auth_type = any
auth_file = {name}/users
pool_mode = transaction
default_pool_size = {pool}
logfile = {name}/log
"""
        )
        if user is not None:
            for path in (directory, *directory.iterdir()):
                os.chown(path, user, user)
        with subprocess.Popen(["pgbouncer", "-q", f"{name}/ini"], user=user, group=user) as process:
            try:
                deadline = time.monotonic() + 60
                while not (directory / ".s.PGSQL.5432").exists():
                    assert process.poll() is None, (directory / "log").read_text()
                    assert time.monotonic() < deadline
                    time.sleep(0.02)
                yield f"postgresql+psycopg://test@/postgres?host={name}"
            finally:
                process.kill()
                print((directory / "log").read_text())  # shown when the test fails


class Proxy:
    """Between a client and its server: forwards, until `loses(data)` says of what the client sends that its
    answer is lost. Then the connection ends after the server has answered."""

    def __init__(self, url: str, loses: Callable[[bytes], bool]) -> None:
        self._directory = TemporaryDirectory(prefix="pgp-")
        self._target = f"{directory_of(url)}/.s.PGSQL.5432"
        self._loses = loses
        self.lost = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"{self._directory.name}/.s.PGSQL.5432")
        self._listener.listen()
        self.url = f"postgresql+psycopg://test@/postgres?host={self._directory.name}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._directory.cleanup()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """PostgreSQL's protocol asks and answers in turn, so one thread is enough."""
        server = socket.socket(socket.AF_UNIX)
        server.connect(self._target)
        with client, server:
            while True:
                ready, _, _ = select.select([client, server], [], [])
                if server in ready:
                    answer = server.recv(65536)
                    if not answer:
                        return
                    client.sendall(answer)
                    continue
                asked = client.recv(65536)
                if not asked:
                    return
                server.sendall(asked)
                if self._loses(asked):
                    server.recv(65536)
                    self.lost += 1
                    return
