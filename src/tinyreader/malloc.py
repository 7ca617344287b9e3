"""glibc's malloc, tuned from inside the process: `mallopt` is the only way, as its environment variables are read
before Python runs.
"""

from __future__ import annotations

import ctypes
import os
import platform

M_ARENA_MAX = -8
"""Parameter of `mallopt`: the maximum number of arenas. By default glibc gives each thread its own, up to eight a
core, and each keeps the memory it once took.
"""
M_MMAP_MAX = -4
"""Parameter of `mallopt`: the maximum number of allocations that are mapped pages of their own; 0 puts all on the heap."""
M_TRIM_THRESHOLD = -1
"""Parameter of `mallopt`: free bytes at the top of the heap above which they go back to the system; -1 for never."""

_SET_BY_USER = ("MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_")


def mallopt(parameter: int, value: int) -> bool:
    """Sets a parameter of malloc.h for this process; False where malloc is not glibc's or refuses the value."""
    if platform.libc_ver()[0] != "glibc":
        return False
    found = getattr(ctypes.CDLL(None), "mallopt", None)
    return found is not None and bool(found(parameter, value))


def keep_freed_memory() -> bool:
    """Lets this process keep freed memory for its next large allocations; returns whether it now does.

    Memory then stays at its peak until the process ends: glibc has no way back to its moving thresholds. Settings
    of malloc in the environment win, and nothing is changed.
    """
    # glibc maps each large activation anew and unmaps it when it is freed, so each step of training touches all its
    # pages for the first time: 45 % of the time went to page faults. Without that a step of MPNet 12x768 on 32
    # windows of 240 tokens (bf16, AMX) took 4.45 s instead of 8.0 s.
    if any(name in os.environ for name in _SET_BY_USER) or "glibc.malloc" in os.environ.get(
        "GLIBC_TUNABLES", ""
    ):
        return False
    return mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1)
