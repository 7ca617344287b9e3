"""The heaps of a server's front."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

THREADS = """
import ctypes, sys, threading
from tinyreader.serve.heaps import share_heaps
if sys.argv[1] == "shared":
    assert share_heaps()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
gate = threading.Barrier(13)
def work():
    libc.malloc(1000)
    gate.wait()
for _ in range(12):
    threading.Thread(target=work, daemon=True).start()
gate.wait()
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
libc.fopen.restype = ctypes.c_void_p
file = libc.fopen(sys.argv[2].encode(), b"w")
libc.malloc_info(0, file)
libc.fclose(ctypes.c_void_p(file))
print(open(sys.argv[2]).read().count("<heap "))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc is not glibc's here")
def test_threads_share_heaps(tmp_path: object) -> None:
    """A dozen threads that ask for memory at the same time make two heaps, not one each."""
    counts = {}
    for how in ("own", "shared"):
        command = [sys.executable, "-c", THREADS, how, f"{tmp_path}/{how}"]
        counts[how] = int(subprocess.run(command, check=True, capture_output=True).stdout)
    assert counts["shared"] <= 2 < counts["own"]


def test_elsewhere_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where malloc is another one, it is left alone."""
    from tinyreader.serve import heaps

    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert heaps.share_heaps() is False
