"""`OpenVinoRuntime`: a reader's network compiled for this CPU, for one batch at a time or for a stream of them."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import openvino as ov

from tinyreader.errors import ModelError, SettingsError
from tinyreader.runtimes import Inputs, Logits
from tinyreader.runtimes.openvino.architecture import Architecture, read_architecture
from tinyreader.runtimes.openvino.checkpoint import Checkpoint
from tinyreader.runtimes.openvino.graph import Precision, build_model

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How a model runs: number format, threads in all (None: every core), and batches computed at the same time.

    One stream answers a single question soonest; two share the threads between two batches and answer most in the end.
    """

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    threads: int | None = None
    streams: int = 1

    def __post_init__(self) -> None:
        if self.precision not in ("auto", "fp32", "bf16"):
            raise SettingsError(f'precision is {self.precision!r}; it must be "auto", "fp32" or "bf16".')
        for name, value in (("threads", self.threads), ("streams", self.streams)):
            if value is not None and value < 1:
                raise SettingsError(f"{name} is {value}; it must be at least 1.")


class OpenVinoRuntime:
    """A `StreamingRuntime`. Threads may share it: each call works on a request of its own, as many as there are streams."""

    def __init__(self, model: ov.Model, architecture: Architecture, settings: EngineSettings) -> None:
        """Compile a model that `build_model` made; its precision must be the settings' own, no longer "auto"."""
        self.pad_id = architecture.pad_id
        self.max_tokens = architecture.max_tokens
        self.vocab_size = architecture.vocab_size
        self.takes_segments = architecture.takes_segments
        self.settings = settings
        self.compiled = _core().compile_model(model, "CPU", _properties(settings))
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(settings.streams):
            self._requests.put(self.compiled.create_infer_request())

    def logits(self, input_ids: IntArray, mask: IntArray, segment_ids: IntArray) -> Logits:
        """Start and end logits float32 [B, L] of windows [B, L] padded on the right; `mask` is 1 on real tokens."""
        inputs = self._inputs((input_ids, mask, segment_ids))
        request = self._requests.get()
        try:
            request.infer(inputs)
            return _taken(request)
        finally:
            self._requests.put(request)

    def stream(self, batches: Iterable[Inputs]) -> Iterator[Logits]:
        """What `logits` gives for each batch, in order, with as many at work as there are streams and as many waiting."""
        idle = [self.compiled.create_infer_request() for _ in range(2 * self.settings.streams)]
        busy: deque[Any] = deque()
        try:
            for batch in batches:
                inputs = self._inputs(batch)
                if not idle:
                    yield _finished(busy, idle)
                busy.append(idle.pop())
                busy[-1].start_async(inputs)
            while busy:
                yield _finished(busy, idle)
        finally:
            for request in busy:  # the caller went away or a batch was wrong: what was started comes to its end first
                with suppress(RuntimeError):
                    request.wait()

    def _inputs(self, batch: Inputs) -> dict[str, IntArray]:
        """The model's inputs by name, checked: OpenVINO would read zeros for ids outside the table."""
        input_ids, mask, segment_ids = batch
        if input_ids.shape[1] > self.max_tokens:
            raise SettingsError(f"a window has {input_ids.shape[1]} tokens; this model takes at most {self.max_tokens}.")
        if input_ids.size and not 0 <= input_ids.min() <= input_ids.max() < self.vocab_size:
            raise ModelError(
                f"the tokenizer gave ids from {input_ids.min()} to {input_ids.max()}, but the model embeds "
                f"{self.vocab_size} tokens: they do not belong together"
            )
        inputs = {"input_ids": input_ids, "attention_mask": mask}
        if self.takes_segments:
            inputs["token_type_ids"] = segment_ids
        return inputs


def open_openvino(directory: str | Path, settings: EngineSettings | None = None) -> OpenVinoRuntime:
    """The runtime of the reader in that directory: config.json and safetensors are all it needs."""
    settings = settings or EngineSettings()
    precision = resolve_precision(settings.precision)
    architecture, model = load_model(Path(directory), precision)
    return OpenVinoRuntime(model, architecture, replace(settings, precision=precision))


def load_model(directory: Path, precision: Precision) -> tuple[Architecture, ov.Model]:
    """The architecture and the network, not compiled, of the reader in that directory."""
    architecture = read_architecture(directory)
    weights = Checkpoint(directory, architecture.family.prefix)
    weights.check(architecture.tensors(), architecture.n_layers)
    return architecture, build_model(architecture, weights, precision)


def resolve_precision(wanted: Literal["auto", "fp32", "bf16"]) -> Precision:
    """The precision itself, or for "auto" bf16 where this CPU computes in it and fp32 elsewhere."""
    has_bf16 = "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if wanted == "bf16" and not has_bf16:
        raise SettingsError('this CPU does not compute in bf16; set precision to "fp32" or "auto".')
    if wanted == "auto":
        return "bf16" if has_bf16 else "fp32"
    return wanted


def _properties(settings: EngineSettings) -> dict[str, Any]:
    """OpenVINO's own settings; cores are not pinned, since two processes would be pinned to the same ones."""
    properties = {
        "INFERENCE_PRECISION_HINT": "bf16" if settings.precision == "bf16" else "f32",
        "NUM_STREAMS": settings.streams,
        "ENABLE_CPU_PINNING": False,
    }
    return properties if settings.threads is None else properties | {"INFERENCE_NUM_THREADS": settings.threads}


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
