"""Viewer counts as frames: once per position, and anew when they change."""

from __future__ import annotations

from liveserver.frontend.delivery.count_frames import CountFrames
from liveserver.transport.sse import SSE
from tests.frontend.history.harness import batch, log_at


def test_there_are_none_before_the_counts_are_known() -> None:
    frames = CountFrames(log_at("dc1-aaa-0"))
    assert not frames
    assert frames.at(SSE, 0) == frames.at(SSE, 0, b"dc1-aaa-0") == b""


def test_a_position_has_one_frame_with_its_cursor() -> None:
    log = log_at("dc1-aaa-0")
    log.append(batch(1, 3), 0, 0.0)
    frames = CountFrames(log)
    frames.set(b'{"here":1}')
    frame = frames.at(SSE, 2)
    assert b"id: dc1-aaa-2\n" in frame
    assert b'{"here":1}' in frame
    assert frames.at(SSE, 2) is frame
    assert b"dc9-zzz-7" in frames.at(SSE, 2, b"dc9-zzz-7")
    frames.set(b'{"here":2}')
    assert b'{"here":2}' in frames.at(SSE, 2)


def test_a_position_that_is_not_held_has_no_cursor() -> None:
    log = log_at("dc1-aaa-0", capacity=4)
    log.append(batch(1, 40), 0, 0.0)
    log.trim(0.0, needed=log.tip)
    frames = CountFrames(log)
    frames.set(b"{}")
    assert b"id:" not in frames.at(SSE, 0)
