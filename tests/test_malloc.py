"""`malloc`: parameters reach glibc, and no other allocator is touched."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tinyreader.malloc import M_ARENA_MAX, mallopt


def test_a_parameter_is_handed_to_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    """`mallopt` of the C library gets parameter and value, and its answer comes back."""
    calls: list[tuple[int, int]] = []

    def library(_: None) -> SimpleNamespace:
        return SimpleNamespace(mallopt=lambda *given: calls.append(given) or 1)

    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setattr(ctypes, "CDLL", library)
    assert mallopt(M_ARENA_MAX, 2) is True
    assert calls == [(-8, 2)]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc is not glibc's here")
def test_glibc_accepts_it() -> None:
    """In a process of its own, so that this one keeps its arenas."""
    code = "from tinyreader.malloc import M_ARENA_MAX, mallopt\nassert mallopt(M_ARENA_MAX, 2)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_other_allocators_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the C library is not glibc, nothing is called."""
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert mallopt(M_ARENA_MAX, 2) is False


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc is not glibc's here")
def test_freed_memory_is_kept_unless_the_environment_decides() -> None:
    """The same 64 MB, freed and taken again, cost page faults once; a setting of the user's changes nothing."""
    code = (
        "import resource, numpy as np\n"
        "from tinyreader.malloc import keep_freed_memory\n"
        "kept = keep_freed_memory()\n"
        "def faults():\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    np.ones(2**23)\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        "faults()\n"
        "print(kept, faults() < 100)\n"
    )

    def said(**environment: str) -> str:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
        ran = subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=clean | environment
        )
        return ran.stdout.strip()

    assert said() == "True True"
    assert said(MALLOC_MMAP_THRESHOLD_="131072").startswith("False")
    assert said(GLIBC_TUNABLES="glibc.malloc.mmap_max=65536").startswith("False")
