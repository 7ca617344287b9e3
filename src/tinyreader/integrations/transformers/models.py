"""Models and tokenizers by the names Transformers gave them: light handles, or objects of Transformers
itself.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from tokenizers import Tokenizer

from tinyreader.errors import MissingExtraError, ModelError
from tinyreader.integrations.transformers.parameters import ParameterError
from tinyreader.model_files import model_directory
from tinyreader.runtimes import PrecisionName, Runtime
from tinyreader.runtimes.engines import Engine, choose_engine, open_engine
from tinyreader.tokenizer import load_tokenizer, read_json

log = logging.getLogger(__name__)

_FULL = ("float32", "float", "fp32", "float64", "double")
_HALF = ("bfloat16", "bf16", "float16", "half", "fp16")
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
_OF_THE_HUB = {
    "token": "HF_TOKEN",
    "use_auth_token": "HF_TOKEN",
    "cache_dir": "HF_HUB_CACHE",
    "local_files_only": "HF_HUB_OFFLINE",
}


@dataclass(frozen=True, slots=True)
class TokenizerHandle:
    """A fast tokenizer, and how many tokens it was said to be good for (None: not said)."""

    tokenizer: Tokenizer
    name_or_path: str
    model_max_length: int | None = None


@dataclass(frozen=True, slots=True)
class ModelHandle:
    """A model's directory and how to run it; the engine is opened by the first pipeline that needs it, and
    shared.
    """

    directory: Path
    name_or_path: str
    engine: Engine = "auto"
    precision: PrecisionName = "fp32"
    threads: int | None = None
    opened: dict[str | None, Runtime] = field(default_factory=dict, repr=False, compare=False)

    def runtime(self, device: str | None) -> Runtime:
        """The model on that device; None is wherever its engine runs best without being told."""
        if device not in self.opened:
            self.opened[device] = self._open(device)
        return self.opened[device]

    def _open(self, device: str | None) -> Runtime:
        if device in (None, "cpu"):
            engine = (
                choose_engine(self.directory, self.precision).engine if self.engine == "auto" else self.engine
            )
            if (
                device is None or engine != "torch"
            ):  # left to itself, torch takes an accelerator where there is one
                return open_engine(self.directory, engine, self.precision, self.threads)
        if self.engine not in ("auto", "torch"):
            raise ParameterError(
                f'engine {self.engine!r} runs on a CPU only, not on {device!r}; take engine="torch".'
            )
        return torch_runtime(self.directory, device or "cpu", self.precision)


class AutoModelForQuestionAnswering:
    """Makes model handles by the name of Transformers' class."""

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
        """The model of a directory or Hub id, which `pipeline` takes; its weights are read when a pipeline
        opens it.

        `dtype` float32 computes in full, bfloat16 and float16 in bf16 where the CPU has it, "int8" as
        `Reader` does; None and "auto" as the weights are stored. Raises `ModelError` for what is no model,
        and `ParameterError` for options that cannot be followed.
        """
        directory = _directory(pretrained_model_name_or_path, revision, options)
        config = directory / "config.json"
        if not config.is_file():
            raise ModelError(f"{directory} has no config.json: it is no Transformers model directory")
        precision = precision_of(torch_dtype if dtype is None else dtype, read_json(config))
        return ModelHandle(directory, str(pretrained_model_name_or_path), engine, precision, threads)


class AutoTokenizer:
    """Makes tokenizer handles by the name of Transformers' class."""

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | Path, *, revision: str | None = None, **options: Any
    ) -> TokenizerHandle:
        """The tokenizer of a directory or Hub id, which `pipeline` takes."""
        directory = _directory(pretrained_model_name_or_path, revision, options)
        path = directory / "tokenizer_config.json"
        settings = read_json(path) if path.is_file() else {}
        if settings.get("padding_side") == "left":
            raise ModelError(
                f"{path} pads on the left: its model reads the context before the question, not supported "
                "here."
            )
        return TokenizerHandle(
            load_tokenizer(directory), str(pretrained_model_name_or_path), _sane_length(settings)
        )


def precision_of(dtype: Any, config: Mapping[str, Any]) -> PrecisionName:
    """The precision for a dtype, by name or torch's own; None and "auto" take what the weights are stored
    in.
    """
    name = str(dtype).removeprefix("torch.")
    if dtype is None or name == "auto":
        name = str(config.get("dtype") or config.get("torch_dtype") or "float32")
    if name in _FULL:
        return "fp32"
    if name in _HALF:
        return "auto"
    if name == "int8":
        return "int8"
    raise ParameterError(
        f'dtype is {dtype!r}; it must be "float32", "bfloat16", "float16", "int8" or "auto".'
    )


def model_of(given: Any, **options: Any) -> Any:
    """The handle of a name or path; a handle, or a question-answering model of Transformers, as it is."""
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
            f"{type(given).__name__} is no question-answering model; load it by "
            "AutoModelForQuestionAnswering."
        )
    return given


def tokenizer_of(given: Any, model: Any, **options: Any) -> TokenizerHandle:
    """The handle of a name, a path, a pair (name, options) or a fast tokenizer; of None, that of the model's
    own directory.
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
            "ones cannot say where "
            "their tokens stand in the text)."
        )
    if getattr(given, "padding_side", "right") == "left":
        raise ModelError(
            "the tokenizer pads on the left: its model reads the context before the question, not supported "
            "here."
        )
    said = {"model_max_length": getattr(given, "model_max_length", None)}
    return TokenizerHandle(backend, str(getattr(given, "name_or_path", "")), _sane_length(said))


def open_runtime(model: Any, tokenizer: TokenizerHandle, device: str | None) -> Runtime:
    """The runtime of a handle or a model object, on that device (None: where it is, or runs best)."""
    if isinstance(model, ModelHandle):
        runtime = model.runtime(device)
    else:
        runtime = torch_runtime(model, device or str(model.device), "fp32", tokenizer.tokenizer)
    runtime.facts.require_tokenizer(tokenizer.tokenizer)
    return runtime


def torch_runtime(
    model: Any, device: str, precision: PrecisionName, tokenizer: Tokenizer | None = None
) -> Runtime:
    """The torch runtime of a directory's model, or of a model object, whose weights stay as they are, on that
    device.
    """
    try:
        import torch

        from tinyreader.models import LoadedReader, best_precision, load_reader
        from tinyreader.runtimes.torch_runtime import TorchRuntime
    except ModuleNotFoundError as error:
        raise MissingExtraError("reading with torch", "train") from error
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as error:
        raise ParameterError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from None
    if precision == "int8":
        raise ParameterError(
            'torch does not compute in int8; take another dtype, or device="cpu" with another engine.'
        )
    if isinstance(model, Path):
        return TorchRuntime(
            load_reader(model), best_precision(place) if precision == "auto" else precision, place
        )
    return TorchRuntime(
        LoadedReader(model, cast(Tokenizer, tokenizer), Path(str(model.name_or_path))), "fp32", place
    )


def device_name(device: Any, device_map: Any) -> str | None:
    """The device by torch's name for it: None is left to the engine, numbers below 0 are the CPU, others an
    accelerator.

    A number (or device_map="auto") falls back to the CPU where there is no accelerator, as it did in
    Transformers.
    """
    if device is not None and device_map is not None:
        raise ParameterError("device and device_map were both given; give one of them.")
    given = device if device_map is None else device_map
    if isinstance(given, Mapping):
        raise ParameterError("device_map is a mapping; readers are small enough for one device: name it.")
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
    """The directory of the model, once the options are known to be followed or of no effect."""
    for option, value in options.items():
        if option in _OF_THE_HUB:
            if value not in (None, False, True) and not Path(name).expanduser().is_dir():
                raise ParameterError(
                    f"{option} cannot be given here; set the environment variable {_OF_THE_HUB[option]}."
                )
        elif option not in _NO_EFFECT:
            known = ", ".join(sorted((*_NO_EFFECT, *_OF_THE_HUB)))
            raise ParameterError(
                f"{option} is no option of from_pretrained here; beside the named ones it takes {known}."
            )
    if options.get("trust_remote_code"):
        log.warning("trust_remote_code has no effect: code that comes with a model is never run")
    return model_directory(name, revision)


def _sane_length(settings: Mapping[str, Any]) -> int | None:
    """The tokenizer's `model_max_length`, where it is one and not the huge number that says that there is
    none.
    """
    said = settings.get("model_max_length")
    return said if isinstance(said, int) and 0 < said < 10**9 else None
