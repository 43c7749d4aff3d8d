"""Has glibc's allocator return memory that is no longer used. Nothing is done with other C libraries.

By default glibc raises its thresholds with the largest block that was freed, to 32 MiB and 64 MiB. After some
request bodies of 4 MiB, blocks of that size come from the heap, where smaller ones that stay keep what lies
below them from being returned. And each thread begins a heap of its own, up to eight per core. Setting a
threshold turns that off (mallopt(3)).
"""

from __future__ import annotations

import ctypes
import os

# From malloc.h: parameters of mallopt(3).
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8

PARAMETERS = {
    # glibc's own first value. Larger blocks are mapped, and unmapped when they are freed; a read from a
    # socket (64 KiB) and a write to viewers (`frontend.max_write`) are smaller, and reuse the heap.
    M_MMAP_THRESHOLD: 128 * 1024,
    M_TRIM_THRESHOLD: 1024 * 1024,  # free memory kept at the heap's end
    M_ARENA_MAX: 2,  # the event loop's, and one for all other threads
}


def is_glibc() -> bool:
    """Return whether the process runs on glibc."""
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (ValueError, OSError):  # musl, macOS
        return False


def tune_allocator() -> bool:
    """Set the parameters; return whether all were accepted. Call it before there are threads."""
    if not is_glibc():
        return False
    mallopt = ctypes.CDLL(None).mallopt
    accepted = [mallopt(parameter, value) for parameter, value in PARAMETERS.items()]
    return accepted == [1] * len(PARAMETERS)
