"""The pidfile names the process that runs a cluster file, and only while it does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from liveserver.cluster.pidfile import hold_pidfile, holder, pidfile_path, request_rolling_restart
from liveserver.errors import LiveserverError


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path / "cluster.toml"


def test_the_holder_is_known_while_it_holds(source: Path) -> None:
    assert holder(source) is None
    with hold_pidfile(source):
        assert holder(source) == os.getpid()
        assert holder(source.with_name("other.toml")) is None
    assert holder(source) is None
    assert not pidfile_path(source).exists()


def test_a_stale_pidfile_names_no_process(source: Path) -> None:
    pidfile_path(source).write_text(f"{os.getpid()}\n")
    assert holder(source) is None
    with pytest.raises(LiveserverError, match="no cluster of"):
        request_rolling_restart(source)


def test_a_second_process_does_not_take_the_pidfile(source: Path) -> None:
    with hold_pidfile(source):
        with hold_pidfile(source):
            assert holder(source) == os.getpid()
        assert holder(source) == os.getpid()


def test_a_link_is_not_followed(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("kept")
    pidfile_path(source).symlink_to(target)
    with hold_pidfile(source):
        assert target.read_text() == "kept"
    assert target.read_text() == "kept"


def test_the_holder_gets_the_signal(source: Path) -> None:
    program = f"""
import signal, tempfile
from pathlib import Path
from liveserver.cluster.pidfile import hold_pidfile
tempfile.tempdir = {str(source.parent)!r}
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
with hold_pidfile(Path({str(source)!r})):
    print("held", flush=True)
    print(signal.sigwait([signal.SIGHUP]) == signal.SIGHUP, flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert request_rolling_restart(source) == process.pid
        assert process.stdout.readline() == "True\n"
    assert process.returncode == 0
