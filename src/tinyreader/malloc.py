"""glibc's malloc, tuned from inside the process: `mallopt` is the only way, as its environment variables are read
before Python runs.
"""

from __future__ import annotations

import ctypes
import platform

M_ARENA_MAX = -8
"""Parameter of `mallopt`: the maximum number of arenas. By default glibc gives each thread its own, up to eight a
core, and each keeps the memory it once took.
"""


def mallopt(parameter: int, value: int) -> bool:
    """Sets a parameter of malloc.h for this process; False where malloc is not glibc's or refuses the value."""
    if platform.libc_ver()[0] != "glibc":
        return False
    found = getattr(ctypes.CDLL(None), "mallopt", None)
    return found is not None and bool(found(parameter, value))
