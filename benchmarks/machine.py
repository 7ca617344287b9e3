"""What the machine can do and who else uses it: the ceiling of its matrix products, its CPU flags, foreign
load.
"""

from __future__ import annotations

import os
import resource
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType

CEILING_SHAPES = (
    (4420, 768, 3072),
    (4420, 3072, 768),
    (4420, 768, 768),
)  # 26 windows of 170 tokens through BERT-base


def cpu_name() -> str:
    """The processor's name, as the system gives it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown processor"


def has_bf16() -> bool:
    """Whether the processor multiplies bf16 numbers at all."""
    return bool({"amx_bf16", "avx512_bf16"} & set(Path("/proc/cpuinfo").read_text().split()))


def has_amx() -> bool:
    """Whether the processor multiplies bf16 matrices in tiles."""
    return "amx_bf16" in Path("/proc/cpuinfo").read_text().split()


def ceiling(n_threads: int, seconds: float = 0.6) -> dict[str, float]:
    """The most operations per second (1e12) that torch reaches in one matrix product, for fp32 and bf16.

    The best of three shapes, each the fastest of as many runs as fit into the seconds: a ceiling is what is
    possible, so disturbed runs do not lower it.
    """
    import torch

    torch.set_num_threads(n_threads)
    best = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        rates = []
        for rows, inner, columns in CEILING_SHAPES:
            left, weight = torch.randn(rows, inner, dtype=dtype), torch.randn(columns, inner, dtype=dtype)
            torch.nn.functional.linear(left, weight)
            fastest, until = float("inf"), time.perf_counter() + seconds
            while time.perf_counter() < until:
                started = time.perf_counter()
                torch.nn.functional.linear(left, weight)
                fastest = min(fastest, time.perf_counter() - started)
            rates.append(2 * rows * inner * columns / fastest / 1e12)
        best[name] = max(rates)
    return best


def int8_ceiling(n_threads: int, seconds: float = 0.6) -> float:
    """The most operations per second (1e12) in a product of 8-bit integers, by the same rule as `ceiling`.

    torch has two ways: a bare product, and a linear layer that rounds its result to 8 bits again. The faster
    one counts.
    """
    import torch

    torch.set_num_threads(n_threads)
    torch.backends.quantized.engine = "onednn"
    rates = []
    for rows, inner, columns in CEILING_SHAPES:
        left, weight = (
            torch.randint(-127, 128, shape, dtype=torch.int8) for shape in ((rows, inner), (inner, columns))
        )
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # torch moves this to another package, which would be one more to install
            unsigned = torch.quantize_per_tensor(torch.randn(rows, inner), 0.05, 64, torch.quint8)
            packed = torch.ops.quantized.linear_prepack(
                torch.quantize_per_tensor(torch.randn(columns, inner), 0.02, 0, torch.qint8), None
            )
        products: list[Callable[[], object]] = [
            partial(torch._int_mm, left, weight),
            partial(torch.ops.quantized.linear, unsigned, packed, 1.0, 64),
        ]
        for product in products:
            product()
            fastest, until = float("inf"), time.perf_counter() + seconds / 2
            while time.perf_counter() < until:
                started = time.perf_counter()
                product()
                fastest = min(fastest, time.perf_counter() - started)
            rates.append(2 * rows * inner * columns / fastest / 1e12)
    return max(rates)


@dataclass(slots=True)
class CpuWatch:
    """As a context: how much of the machine's CPU others used meanwhile, hypervisor included.

    Own time is that of this process and of the children it waited for.
    """

    foreign_share: float = 0.0
    _busy: float = 0.0
    _own: float = 0.0
    _started: float = 0.0

    def __enter__(self) -> CpuWatch:
        self._busy, self._own, self._started = busy_seconds(), own_seconds(), time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        capacity = (time.perf_counter() - self._started) * (os.cpu_count() or 1)
        foreign = (busy_seconds() - self._busy) - (own_seconds() - self._own)
        self.foreign_share = max(0.0, foreign / capacity)


def busy_seconds() -> float:
    """CPU seconds the machine spent working since it started, summed over its processors."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields[:8]
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def own_seconds() -> float:
    """CPU seconds of this process and its finished children."""
    uses = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(use.ru_utime + use.ru_stime for use in uses)
