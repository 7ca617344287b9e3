"""`OpenVinoRuntime`: a reader's network compiled for this CPU, for single batches and for streams of them;
built from safetensors, read from OpenVINO's files, or converted once and cached.
"""

from __future__ import annotations

import importlib.metadata
import queue
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from tinyreader.arrays import Int64
from tinyreader.errors import MissingExtraError, ModelError, SettingsError
from tinyreader.model_files import has_weights, model_fingerprint
from tinyreader.runtimes import Inputs, Logits, ModelFacts, PrecisionName, Runtime, n_cores
from tinyreader.runtimes.architecture import Architecture, read_architecture
from tinyreader.runtimes.checkpoint import Checkpoint
from tinyreader.runtimes.facts import exported_precision, facts_of, is_known, read_facts, write_facts
from tinyreader.runtimes.int8 import Int8Plan, read_plan
from tinyreader.runtimes.openvino.graph import Precision, build_model
from tinyreader.storage import cache_directory, cached_build

IR_FILE = "openvino_model.xml"

LONG_STREAM = 6
"""From this many batches on, compiling the model again for two at a time (half a second) pays."""

CACHED_KERNELS = 200
"""Kernels cached per model, one for each shape of a batch. OpenVINO's default is 5,000: after 300 shapes a
reader of 6 layers of 384 holds 200 MB more for them and is not faster. With 10, single questions take a tenth
longer, since their kernels are compiled again.
"""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How a model runs: precision, total threads (None: all cores), and batches computed at the same time.

    One stream has the lowest latency; two share the threads between two batches and have the higher
    throughput. `streams` None means one, and two from the first long stream of batches on.
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
        """Whether long streams are computed two batches at a time."""
        return self.streams is None and self.n_threads > 1

    @property
    def n_threads(self) -> int:
        """The number of threads: at most one for each core that this process may use."""
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
        """Yield the logits of each batch, in order: per stream, one batch is computed and one waits."""
        batches = iter(batches)
        compiled, n_streams = self.compiled, self.settings.streams or 1
        if self.settings.may_double:
            first = list(islice(batches, LONG_STREAM))
            batches = chain(first, batches)
            if len(first) == LONG_STREAM:
                compiled, n_streams = self.doubled(), 2
        yield from _streamed(compiled, 2 * n_streams, map(self.facts.named_inputs, batches))

    def with_streams(self, streams: int) -> OpenVinoRuntime:
        """The same network compiled for that many batches at a time, sharing this one's weights."""
        return OpenVinoRuntime(self._model, self.facts, replace(self.settings, streams=streams))

    def doubled(self) -> ov.CompiledModel:
        """The model compiled for two batches at a time, on first use."""
        with self._doubling:
            if self._double is None:
                self._double = _compile(self._model, replace(self.settings, streams=2))
            return self._double


def resolve_precision(wanted: PrecisionName) -> Precision:
    """The precision of all that is not int8: for "auto" and "int8", bf16 where this CPU has it, else fp32."""
    has_bf16 = "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if wanted == "bf16" and not has_bf16:
        raise SettingsError('this CPU does not compute in bf16; set precision to "fp32" or "auto".')
    if wanted == "fp32" or not has_bf16:
        return "fp32"
    return "bf16"


def open_openvino(directory: str | Path, settings: EngineSettings | None = None) -> OpenVinoRuntime:
    """The runtime of the reader in that directory: config.json and safetensors are all it needs for the
    common encoders.

    Without such weights, OpenVINO's own files in the directory are read. Other architectures are converted
    once by way of torch (`MissingExtraError` without it) and cached.
    """
    directory, settings = Path(directory), settings or EngineSettings()
    if (directory / IR_FILE).is_file() and not (has_weights(directory) and is_known(directory)):
        return _open_ir(directory, settings)
    precision = resolve_precision(settings.precision)
    if not is_known(directory):
        return _open_ir(converted(directory), settings)
    architecture = read_architecture(directory)
    plan = None
    if settings.precision == "int8":
        plan = read_plan(directory, architecture.linears())
    else:
        settings = replace(settings, precision=precision)
    return OpenVinoRuntime(load_model(directory, precision, plan)[1], facts_of(architecture), settings)


def load_model(
    directory: Path, precision: Precision, plan: Int8Plan | None = None
) -> tuple[Architecture, ov.Model]:
    """The architecture and the network, not compiled, of the reader in that directory."""
    architecture = read_architecture(directory)
    weights = Checkpoint(directory, architecture.family.prefix)
    weights.check(architecture.tensors(), architecture.n_layers)
    return architecture, build_model(architecture, weights, precision, plan)


def converted(directory: Path) -> Path:
    """The directory in the user's cache with the converted network, made now or before."""
    versions = f"{ov.__version__}-{_version('transformers')}"
    name = (
        f"{model_fingerprint(directory)}-{''.join(c if c.isalnum() or c == '.' else '-' for c in versions)}"
    )

    def build(target: Path) -> None:
        try:
            from tinyreader.runtimes.openvino.convert import convert
        except ModuleNotFoundError as error:
            raise MissingExtraError(f"converting {directory} for OpenVINO", "train") from error
        model, facts = convert(directory)
        ov.save_model(model, target / IR_FILE, compress_to_fp16=False)
        write_facts(target, facts, "openvino", "fp32")

    return cached_build(cache_directory() / "openvino" / name, build)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def _open_ir(directory: Path, settings: EngineSettings) -> OpenVinoRuntime:
    """The runtime of the OpenVINO files in that directory."""
    wanted = _precision_of_ir(settings.precision, exported_precision(directory), directory)
    path = directory / IR_FILE
    model = _read(path)
    facts = read_facts(directory, _input_names(path, model))
    return OpenVinoRuntime(model, facts, replace(settings, precision=wanted))


def _precision_of_ir(wanted: PrecisionName, held: str | None, directory: Path) -> PrecisionName:
    """The precision to run at, for files that hold the network at `held`: the one wanted, where possible."""
    if wanted == "int8" and held != "int8":
        raise ModelError(
            f"{directory / IR_FILE} does not hold an int8 network; export the original with --precision int8"
        )
    if held == "int8":
        if wanted not in ("auto", "int8"):
            raise _other(directory, held, wanted)
        return "int8"
    if held == "bf16" and wanted == "fp32":
        raise _other(directory, held, wanted)
    return resolve_precision(wanted)


def _other(directory: Path, held: str, wanted: str) -> SettingsError:
    path = directory / IR_FILE
    return SettingsError(
        f'{path} was exported at {held}; set precision to "{held}" or "auto", not "{wanted}".'
    )


def _read(path: Path) -> ov.Model:
    try:
        return _core().read_model(str(path))
    except RuntimeError as error:
        reason = next(iter(str(error).strip().splitlines()[-1:]), "")
        raise ModelError(
            f"{path} is damaged, or its .bin file is: {reason}. Export the model again"
        ) from None


def _input_names(path: Path, model: ov.Model) -> set[str]:
    """The names of the network's inputs. Raises `ModelError` unless it is a reader's."""
    inputs = {one.get_any_name() for one in model.inputs}
    outputs = [one.get_any_name() for one in model.outputs]
    if not {"input_ids", "attention_mask"} <= inputs <= {
        "input_ids",
        "attention_mask",
        "token_type_ids",
    } or outputs != ["start_logits", "end_logits"]:
        raise ModelError(
            f"{path} is not a question-answering network: it takes {', '.join(sorted(inputs))} and gives "
            f"{', '.join(outputs)}"
        )
    return inputs


def _compile(model: ov.Model, settings: EngineSettings) -> ov.CompiledModel:
    """The model compiled for this CPU. Cores are not pinned: two processes would be pinned to the same ones."""
    properties: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": "bf16" if resolve_precision(settings.precision) == "bf16" else "f32",
        "NUM_STREAMS": settings.streams,
        "ENABLE_CPU_PINNING": False,
        "CPU_RUNTIME_CACHE_CAPACITY": CACHED_KERNELS,
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
        for request in busy:  # the caller left, or a batch was refused: what was started has to end first
            with suppress(RuntimeError):
                request.wait()


def _finished(busy: deque[Any], idle: list[Any]) -> Logits:
    """Wait for the oldest request and take its logits; it becomes idle."""
    busy[0].wait()
    logits = _taken(busy[0])
    idle.append(busy.popleft())
    return logits


def _taken(request: Any) -> Logits:
    """Copies of a request's outputs: the next batch overwrites their memory."""
    return (
        np.array(request.get_output_tensor(0).data, np.float32),
        np.array(request.get_output_tensor(1).data, np.float32),
    )


@cache
def _core() -> ov.Core:
    """OpenVINO with its plugins, set up on first use."""
    return ov.Core()
