"""The memory of large blocks is returned to the system, although small ones between them stay."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from liveserver.node import allocator

# Bodies of 1 MB that are received at the same time, and what is kept of each.
BODIES = """
from liveserver.node.allocator import tune_allocator

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

assert tune_allocator() if {tuned} else True
bytes(20_000_000)  # has glibc raise its threshold: blocks of 1 MB come from the heap
before, bodies, kept = resident(), [], []
for _ in range(40):
    bodies.append(b"x" * 1_000_000)
    kept.append(b"y" * 20_000)
del bodies
print(resident() - before)
"""


def grown(*, tuned: bool) -> int:
    script = BODIES.format(tuned=tuned)
    return int(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout)


@pytest.mark.skipif(
    not allocator.is_glibc() or not Path("/proc/self/statm").exists(), reason="this C library has no mallopt"
)
@pytest.mark.process
def test_large_blocks_are_returned() -> None:
    assert grown(tuned=True) < 6_000_000


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for answer in (None, "", "musl 1.2"):
        monkeypatch.setattr(os, "confstr", lambda name, answer=answer: answer)
        assert not allocator.tune_allocator()

    def unknown(name: str) -> str:
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(os, "confstr", unknown)
    assert not allocator.tune_allocator()
