"""Models and tokenizers by the names of Transformers: light handles, or objects of Transformers itself."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from tinyreader.errors import MissingExtraError, ModelError, SettingsError, did_you_mean
from tinyreader.integrations.transformers.inputs import ParameterError
from tinyreader.model_files import model_directory
from tinyreader.runtimes import PrecisionName, Runtime
from tinyreader.runtimes.engines import Engine, open_engine
from tinyreader.storage import read_object, read_object_if_any
from tinyreader.tokenizer import load_tokenizer

log = logging.getLogger(__name__)

_FULL_PRECISION = ("float32", "float", "fp32", "float64", "double")
_HALF_PRECISION = ("bfloat16", "bf16", "float16", "half", "fp16")
_OWN_OPTIONS = ("dtype", "engine", "revision", "threads", "torch_dtype")
_NO_EFFECT = (
    "attn_implementation",
    "code_revision",
    "from_flax",
    "from_tf",
    "low_cpu_mem_usage",
    "trust_remote_code",
    "use_fast",
    "use_safetensors",
)
_HUB_VARIABLES = {
    "token": "HF_TOKEN",
    "use_auth_token": "HF_TOKEN",
    "cache_dir": "HF_HUB_CACHE",
    "local_files_only": "HF_HUB_OFFLINE",
}


@dataclass(frozen=True, slots=True)
class TokenizerHandle:
    """A fast tokenizer, and the maximum length in its settings (None: not set)."""

    tokenizer: Tokenizer = field(repr=False)
    name_or_path: str
    model_max_length: int | None = None


@dataclass(frozen=True, slots=True)
class ModelHandle:
    """A model's directory and how to run it. The first pipeline opens the engine, and all pipelines share
    it.
    """

    directory: Path
    name_or_path: str
    engine: Engine = "auto"
    precision: PrecisionName = "fp32"
    threads: int | None = None
    opened: dict[str | None, Runtime] = field(default_factory=dict, repr=False, compare=False)

    def runtime(self, device: str | None) -> Runtime:
        """The model on that device, or for None where its engine runs best."""
        if device not in self.opened:
            try:
                self.opened[device] = open_engine(
                    self.directory, self.engine, self.precision, self.threads, device
                )
            except SettingsError as error:
                raise ParameterError(str(error)) from None
        return self.opened[device]


class AutoModelForQuestionAnswering:
    """Makes model handles, under the name of Transformers' class."""

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        revision: str | None = None,
        dtype: Any = None,
        torch_dtype: Any = None,
        engine: Engine = "auto",
        threads: int | None = None,
        **options: Any,
    ) -> ModelHandle:
        """The model of a directory or Hub id, for `pipeline`; its weights are read when a pipeline opens it.

        `dtype` float32 computes in fp32, bfloat16 and float16 in bf16 where the CPU has it, "int8" in int8;
        None and "auto" take the number format of the weights. Raises `ModelError` if it is not a model, and
        `ParameterError` for options that are not supported.
        """
        directory = _directory(pretrained_model_name_or_path, revision, options)
        config = directory / "config.json"
        if not config.is_file():
            raise ModelError(f"{directory} has no config.json: it is not a Transformers model directory")
        precision = precision_of(torch_dtype if dtype is None else dtype, read_object(config, ModelError))
        return ModelHandle(directory, str(pretrained_model_name_or_path), engine, precision, threads)


class AutoTokenizer:
    """Makes tokenizer handles, under the name of Transformers' class."""

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | Path, *, revision: str | None = None, **options: Any
    ) -> TokenizerHandle:
        """The tokenizer of a directory or Hub id, for `pipeline`."""
        directory = _directory(pretrained_model_name_or_path, revision, options)
        path = directory / "tokenizer_config.json"
        settings = read_object_if_any(path, ModelError) or {}
        if settings.get("padding_side") == "left":
            raise ModelError(
                f"{path} pads on the left: its model reads the context before the question, which is not "
                "supported here."
            )
        return TokenizerHandle(
            load_tokenizer(directory), str(pretrained_model_name_or_path), _max_length(settings)
        )


def precision_of(dtype: Any, config: Mapping[str, Any]) -> PrecisionName:
    """The precision for a dtype, by name or torch's own; None and "auto" take that of the stored weights."""
    name = str(dtype).removeprefix("torch.")
    if dtype is None or name == "auto":
        name = str(config.get("dtype") or config.get("torch_dtype") or "float32")
    if name in _FULL_PRECISION:
        return "fp32"
    if name in _HALF_PRECISION:
        return "auto"
    if name == "int8":
        return "int8"
    raise ParameterError(
        f'dtype is {dtype!r}; it must be "float32", "bfloat16", "float16", "int8" or "auto".'
    )


def model_of(given: Any, **options: Any) -> Any:
    """The handle of a name or path; a handle or a question-answering model of Transformers is returned as is."""
    if isinstance(given, str | Path):
        return AutoModelForQuestionAnswering.from_pretrained(given, **options)
    if isinstance(given, ModelHandle):
        return given
    if not hasattr(given, "config") or not hasattr(given, "forward"):
        raise ParameterError(
            f"model is of type {type(given).__name__}; give a name, a path or a question-answering model."
        )
    if not type(given).__name__.endswith("ForQuestionAnswering"):
        raise ModelError(
            f"{type(given).__name__} is not a question-answering model; load it with "
            "AutoModelForQuestionAnswering."
        )
    return given


def tokenizer_of(given: Any, model: Any, **options: Any) -> TokenizerHandle:
    """The handle of a name, a path, a pair (name, options) or a fast tokenizer; for None, of the model's own
    directory.
    """
    if given is None:
        if not isinstance(model, ModelHandle):
            raise ParameterError("a model object was given without a tokenizer; give tokenizer= as well.")
        return AutoTokenizer.from_pretrained(model.directory)
    if isinstance(given, TokenizerHandle):
        return given
    if isinstance(given, str | Path):
        same = isinstance(model, ModelHandle) and str(given) == model.name_or_path
        return AutoTokenizer.from_pretrained(model.directory if same else given, **({} if same else options))
    if isinstance(given, tuple) and len(given) == 2:
        return AutoTokenizer.from_pretrained(given[0], **{**options, **given[1]})
    if isinstance(given, Tokenizer):
        return TokenizerHandle(given, "")
    backend = getattr(given, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        raise ParameterError(
            f"tokenizer is of type {type(given).__name__}; give a name, a path or a fast tokenizer (slow "
            "ones do not have the places of their tokens)."
        )
    if getattr(given, "padding_side", "right") == "left":
        raise ModelError(
            "the tokenizer pads on the left: its model reads the context before the question, which is not "
            "supported here."
        )
    settings = {"model_max_length": getattr(given, "model_max_length", None)}
    return TokenizerHandle(backend, str(getattr(given, "name_or_path", "")), _max_length(settings))


def open_runtime(model: Any, tokenizer: TokenizerHandle, device: str | None) -> Runtime:
    """The runtime of a handle or a model object on that device. None leaves an object on its own device, and
    a handle to its engine. Raises `ModelError` if the tokenizer does not fit.
    """
    if isinstance(model, ModelHandle):
        runtime = model.runtime(device)
    else:
        runtime = _object_runtime(model, device or str(model.device), tokenizer.tokenizer)
    runtime.facts.require_tokenizer(tokenizer.tokenizer)
    return runtime


def _object_runtime(model: Any, device: str, tokenizer: Tokenizer) -> Runtime:
    """The torch runtime of a model object, whose weights stay in their own number format."""
    try:
        from tinyreader.models import LoadedReader
        from tinyreader.runtimes.torch_runtime import TorchRuntime, find_device
    except ModuleNotFoundError as error:
        raise MissingExtraError("reading with torch", "train") from error
    try:
        place = find_device(device)
    except SettingsError as error:
        raise ParameterError(str(error)) from None
    return TorchRuntime(LoadedReader(model, tokenizer, Path(str(model.name_or_path))), "fp32", place)


def device_name(device: Any, device_map: Any) -> str | None:
    """The device by torch's name for it. None is left to the engine; numbers below 0 mean the CPU, others an
    accelerator.

    Without an accelerator, a number (or device_map="auto") falls back to the CPU, as in Transformers.
    """
    if device is not None and device_map is not None:
        raise ParameterError("device and device_map were both given; give one of them.")
    given = device if device_map is None else device_map
    if isinstance(given, Mapping):
        raise ParameterError(
            "device_map is a mapping; a reader is small enough for one device: name that one."
        )
    if given is None or (isinstance(given, int) and given < 0):
        return None if given is None else "cpu"
    if given == "auto" or isinstance(given, int):
        return _accelerator(0 if given == "auto" else given) or "cpu"
    return str(given)


def _accelerator(number: int) -> str | None:
    try:
        import torch
    except ModuleNotFoundError:
        log.warning("torch is not installed, so no accelerator can be used; reading on the CPU")
        return None
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if found is None:
        log.warning("there is no accelerator; reading on the CPU")
    return None if found is None else f"{found.type}:{number}"


def _directory(name: str | Path, revision: str | None, options: Mapping[str, Any]) -> Path:
    """The directory of the model. Raises `ParameterError` for options that would change what is loaded."""
    for option, value in options.items():
        if option in _HUB_VARIABLES:
            if value not in (None, False, True) and not Path(name).expanduser().is_dir():
                raise ParameterError(
                    f"{option} cannot be given here; set the environment variable {_HUB_VARIABLES[option]}."
                )
        elif option not in _NO_EFFECT:
            known = sorted((*_OWN_OPTIONS, *_NO_EFFECT, *_HUB_VARIABLES))
            raise ParameterError(
                f"{option} is not an option of from_pretrained here.{did_you_mean(option, known)} It takes "
                f"{', '.join(known)}."
            )
    if options.get("trust_remote_code"):
        log.warning("trust_remote_code has no effect: code that comes with a model is never run")
    return model_directory(name, revision)


def _max_length(settings: Mapping[str, Any]) -> int | None:
    """The tokenizer's `model_max_length`, or None for the huge number that stands for "no limit"."""
    length = settings.get("model_max_length")
    return length if isinstance(length, int) and 0 < length < 10**9 else None
