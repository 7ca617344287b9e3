"""How many heaps glibc keeps: one for each thread, unless it is told otherwise, and each keeps what it once
took.
"""

from __future__ import annotations

import ctypes
import platform

_M_ARENA_MAX = -8  # of malloc.h
HEAPS = 2


def share_heaps(n: int = HEAPS) -> bool:
    """Whether all threads of this process now share `n` heaps; False where malloc is not glibc's.

    A front of a dozen threads that cut texts into tokens grew by some MB a minute for want of it, though
    nothing leaked.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_M_ARENA_MAX, n))
