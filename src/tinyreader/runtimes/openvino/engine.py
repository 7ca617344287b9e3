"""`OpenVinoRuntime`: a reader's network compiled for this CPU, for one batch at a time or for a stream of
them.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain, islice
from typing import Any

import numpy as np
import openvino as ov

from tinyreader.arrays import Int64
from tinyreader.errors import SettingsError
from tinyreader.runtimes import Inputs, Logits, ModelFacts, PrecisionName, Runtime, n_cores
from tinyreader.runtimes.openvino.graph import Precision

LONG_STREAM = 6
"""So many batches are worth half a second to compile the model once more, for two of them at a time."""


KEPT_KERNELS = 200
"""So many kernels are kept of those made for each shape of a batch. OpenVINO keeps 5,000: after 300 shapes a
reader of 6 layers of 384 holds 200 MB more for them and is no faster. With 10, single questions take a tenth
longer: theirs are made anew.
"""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How a model runs: number format, threads in all (None: every core), and batches computed at the same
    time.

    One stream answers a single question soonest; two share the threads between two batches and answer most in
    the end. `streams` None is both: one, and two from the first long stream of batches on, which are compiled
    when it comes.
    """

    precision: PrecisionName = "auto"
    threads: int | None = None
    streams: int | None = None

    def __post_init__(self) -> None:
        if self.precision not in ("auto", "fp32", "bf16", "int8"):
            raise SettingsError(
                f'precision is {self.precision!r}; it must be "auto", "fp32", "bf16" or "int8".'
            )
        for name, value in (("threads", self.threads), ("streams", self.streams)):
            if value is not None and (type(value) is not int or value < 1):
                raise SettingsError(f"{name} is {value!r}; it must be a whole number, and at least 1.")

    @property
    def may_double(self) -> bool:
        """Whether long streams are to be computed two batches at a time."""
        return self.streams is None and self.n_threads > 1

    @property
    def n_threads(self) -> int:
        """The threads that compute: as many as are wanted, at most one for each core this process may use."""
        cores = n_cores()
        return min(self.threads or cores, cores)


class OpenVinoRuntime(Runtime):
    """Threads may share it: each call works on a request of its own, as many as there are streams."""

    def __init__(self, model: ov.Model, facts: ModelFacts, settings: EngineSettings) -> None:
        """Compile the model; the settings' precision must be its own, no longer "auto"."""
        self.facts = replace(facts, engine="openvino", precision=settings.precision)
        self.settings = settings
        n_streams = settings.streams or 1
        self._model = model  # whatever is compiled of it shares its weights
        self.compiled = _compile(self._model, replace(settings, streams=n_streams))
        self._double: ov.CompiledModel | None = None
        self._doubling = threading.Lock()
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(n_streams):
            self._requests.put(self.compiled.create_infer_request())

    def logits(self, input_ids: Int64, mask: Int64, segment_ids: Int64) -> Logits:
        """Start and end logits float32 [B, L] of windows [B, L] padded on the right; `mask` is 1 on real
        tokens.
        """
        inputs = self.facts.named_inputs((input_ids, mask, segment_ids))
        request = self._requests.get()
        try:
            request.infer(inputs)
            return _taken(request)
        finally:
            self._requests.put(request)

    def stream(self, batches: Iterable[Inputs]) -> Iterator[Logits]:
        """What `logits` gives for each batch, in order, with as many at work as there are streams and as many
        waiting.
        """
        batches = iter(batches)
        compiled, n_streams = self.compiled, self.settings.streams or 1
        if self.settings.may_double:
            first = list(islice(batches, LONG_STREAM))
            batches = chain(first, batches)
            if len(first) == LONG_STREAM:
                compiled, n_streams = self.doubled(), 2
        yield from _streamed(compiled, 2 * n_streams, map(self.facts.named_inputs, batches))

    def with_streams(self, streams: int) -> OpenVinoRuntime:
        """The same network compiled for so many batches at a time, sharing this one's weights."""
        return OpenVinoRuntime(self._model, self.facts, replace(self.settings, streams=streams))

    def doubled(self) -> ov.CompiledModel:
        """The model compiled for two batches at a time; made once, when it is first asked for."""
        with self._doubling:
            if self._double is None:
                self._double = _compile(self._model, replace(self.settings, streams=2))
            return self._double


def resolve_precision(wanted: PrecisionName) -> Precision:
    """What is not int8 is computed in: the precision itself; for "auto" and "int8", bf16 where this CPU has
    it, else fp32.
    """
    has_bf16 = "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if wanted == "bf16" and not has_bf16:
        raise SettingsError('this CPU does not compute in bf16; set precision to "fp32" or "auto".')
    if wanted == "fp32" or not has_bf16:
        return "fp32"
    return "bf16"


def _compile(model: ov.Model, settings: EngineSettings) -> ov.CompiledModel:
    """The model for this CPU; cores are not pinned, since two processes would be pinned to the same ones."""
    properties: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": "bf16" if resolve_precision(settings.precision) == "bf16" else "f32",
        "NUM_STREAMS": settings.streams,
        "ENABLE_CPU_PINNING": False,
        "CPU_RUNTIME_CACHE_CAPACITY": KEPT_KERNELS,
    }
    if settings.threads is not None:
        properties["INFERENCE_NUM_THREADS"] = settings.threads
    return _core().compile_model(model, "CPU", properties)


def _streamed(
    compiled: ov.CompiledModel, n_requests: int, inputs: Iterator[dict[str, Int64]]
) -> Iterator[Logits]:
    """Yield the logits of each batch, in order, with at most `n_requests` begun."""
    idle = [compiled.create_infer_request() for _ in range(n_requests)]
    busy: deque[Any] = deque()
    try:
        for batch in inputs:
            if not idle:
                yield _finished(busy, idle)
            busy.append(idle.pop())
            busy[-1].start_async(batch)
        while busy:
            yield _finished(busy, idle)
    finally:
        for (
            request
        ) in busy:  # the caller went away or a batch was wrong: what was started comes to its end first
            with suppress(RuntimeError):
                request.wait()


def _finished(busy: deque[Any], idle: list[Any]) -> Logits:
    """The logits of the request that was started first, which becomes idle."""
    busy[0].wait()
    logits = _taken(busy[0])
    idle.append(busy.popleft())
    return logits


def _taken(request: Any) -> Logits:
    """Copies of a request's outputs, whose memory the next batch is written to."""
    return (
        np.array(request.get_output_tensor(0).data, np.float32),
        np.array(request.get_output_tensor(1).data, np.float32),
    )


@cache
def _core() -> ov.Core:
    """OpenVINO with its plugins, set up on first use."""
    return ov.Core()


def read_ir(path: str) -> ov.Model:
    """The model in an OpenVINO file, memory-mapped; `RuntimeError` where it cannot be read."""
    return _core().read_model(path)
