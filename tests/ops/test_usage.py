"""Resource usage, as the kernel counts it."""

from __future__ import annotations

import os

import pytest

from liveserver.ops.usage import usage


def test_a_descriptor_is_counted_while_it_is_open() -> None:
    before = usage()
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(20)]
    try:
        assert usage().descriptors == before.descriptors + 20
    finally:
        for descriptor in opened:
            os.close(descriptor)
    assert before.max_descriptors >= before.descriptors > 0


def test_descriptors_are_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert usage().descriptors == len(os.listdir("/proc/self/fd")) - 1  # which has one open itself
    monkeypatch.setattr("os.listdir", None)
    assert usage().descriptors > 0


def test_memory_and_processor_time_grow_with_use() -> None:
    before = usage()
    block = bytearray(b"x") * (64 * 2**20)
    after = usage()
    assert after.memory - before.memory > 32 * 2**20
    assert after.cpu >= before.cpu
    assert len(block) == 64 * 2**20
