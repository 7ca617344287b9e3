"""Readers loaded from a directory or the Hub: model and tokenizer, checked against each other.

Nothing that came with a model is run: the code that `auto_map` points to is never loaded, weights are read as
plain data (`weights.py`).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    MODEL_FOR_QUESTION_ANSWERING_MAPPING,
    PretrainedConfig,
    PreTrainedModel,
)

from tinyreader.errors import ModelError
from tinyreader.model_files import check_shapes, model_directory
from tinyreader.models.weights import fit_names, read_weights
from tinyreader.storage import read_object
from tinyreader.tokenizer import load_tokenizer

log = logging.getLogger(__name__)

Task = Literal["question-answering", "masked-LM"]


@dataclass(frozen=True, slots=True)
class LoadedReader:
    """A question-answering model in fp32 on the CPU, in evaluation mode, and its tokenizer; `source` is its
    directory.

    `head_is_new` says that the question-answering head is untrained; `ignored` names tensors that readers do
    not have.
    """

    model: PreTrainedModel
    tokenizer: Tokenizer
    source: Path
    head_is_new: bool = False
    ignored: tuple[str, ...] = ()

    @property
    def config(self) -> PretrainedConfig:
        """The model's configuration."""
        return self.model.config


def load_reader(name_or_dir: str | Path, *, revision: str | None = None) -> LoadedReader:
    """The reader of that directory or Hub id; `ModelError` when it has no trained question-answering head."""
    reader = load_encoder_as_reader(name_or_dir, revision=revision)
    if reader.head_is_new:
        raise ModelError(
            f"{name_or_dir} has no trained question-answering head: it is an encoder, not a reader. "
            f"'tinyreader finetune {name_or_dir} DATA -o OUT' makes a reader of it"
        )
    return reader


def load_encoder_as_reader(
    name_or_dir: str | Path, *, revision: str | None = None, seed: int = 0
) -> LoadedReader:
    """The encoder (or reader) of that directory or Hub id as a reader; a head it lacks is drawn with the
    seed.
    """
    directory = model_directory(name_or_dir, revision)
    config = load_configuration(directory)
    tokenizer = load_tokenizer(directory)
    with NoDraws():
        model = new_model(config, seed)
    new, ignored = _fill(model, read_weights(directory), directory)
    if new:
        _draw(model, new, seed)
        log.info(
            "%s has no trained question-answering head; a new one was drawn with seed %d", directory, seed
        )
    check_vocabulary(model, tokenizer, directory)
    return LoadedReader(model, tokenizer, directory, head_is_new=bool(new), ignored=ignored)


def load_configuration(directory: Path, task: Task = "question-answering") -> PretrainedConfig:
    """The configuration of an encoder in that directory, made one for the task: for readers two outputs a
    token; fp32.
    """
    path = directory / "config.json"
    if not path.is_file():
        raise ModelError(f"{directory} has no config.json: it is not a Transformers model directory")
    content = read_object(path, ModelError)
    model_type = content.get("model_type") or _guess_type(content)
    if model_type not in CONFIG_MAPPING:
        own = "; it comes with code of its own, which is never run" if "auto_map" in content else ""
        raise ModelError(f"{path}: model type {model_type!r} is not known to the installed Transformers{own}")
    if content.pop("auto_map", None) is not None:
        log.warning(
            "%s points to code of its own (auto_map); Transformers' %s is used instead", path, model_type
        )
    content = {
        key: value for key, value in content.items() if key not in ("id2label", "label2id", "num_labels")
    }
    try:
        config = CONFIG_MAPPING[model_type].from_dict(
            content | {"model_type": model_type, "dtype": "float32"}
        )
    except Exception as error:  # whatever a configuration class makes of wrong values
        raise ModelError(f"{path} is not a valid {model_type} configuration: {error}") from error
    if not is_encoder(config, task):
        raise ModelError(f"{path}: {model_type!r} is not an encoder with a {task} model in Transformers")
    return config


def _guess_type(content: dict[str, Any]) -> str | None:
    """BERT for the configurations of its first years, which did not name their type."""
    return "bert" if {"hidden_size", "intermediate_size", "type_vocab_size"} <= content.keys() else None


def is_encoder(config: PretrainedConfig, task: Task = "question-answering") -> bool:
    """Whether Transformers has this architecture for the task, and it sees the whole text: what fills in
    masks does.
    """
    kind = type(config)
    both = kind in _models(task) and kind in MODEL_FOR_MASKED_LM_MAPPING
    return (
        both and not getattr(config, "is_encoder_decoder", False) and not getattr(config, "is_decoder", False)
    )


def _models(task: Task) -> Any:
    """Transformers' classes for the task by their configurations' classes."""
    return (
        MODEL_FOR_QUESTION_ANSWERING_MAPPING if task == "question-answering" else MODEL_FOR_MASKED_LM_MAPPING
    )


def new_model(config: PretrainedConfig, seed: int, task: Task = "question-answering") -> PreTrainedModel:
    """A model of that configuration with random weights, the same for the same seed; other random numbers
    stay.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _models(task)[type(config)](config)
    return model.float().eval()


class NoDraws(TorchFunctionMode):
    """Puts zeros for the random numbers of weights that are about to be loaded: seconds for a model of BERT's
    size.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return args[0].zero_() if func in (Tensor.normal_, Tensor.uniform_) else func(*args, **(kwargs or {}))


def _draw(model: PreTrainedModel, names: set[str], seed: int) -> None:
    """Initialise parameters as encoders are: weights normal with the configuration's deviation, biases 0,
    norms 1.
    """
    generator = torch.Generator().manual_seed(seed)
    deviation = getattr(model.config, "initializer_range", 0.02)
    for name, parameter in model.named_parameters():
        if name not in names:
            continue
        if parameter.ndim >= 2:
            nn.init.normal_(parameter, std=deviation, generator=generator)
        else:
            nn.init.constant_(parameter, 0.0 if name.endswith("bias") else 1.0)


def _fill(
    model: PreTrainedModel, weights: dict[str, Tensor], directory: Path
) -> tuple[set[str], tuple[str, ...]]:
    """Load the weights; returns which parameters of the head are still to be drawn, and which tensors had no
    place.
    """
    own = model.state_dict()
    prefix = model.base_model_prefix
    weights = fit_names(weights, own, prefix)
    head = {name for name in own if not name.startswith(f"{prefix}.")}
    has_head = head <= weights.keys() and _is_reader(model.config, head)
    if (
        not has_head
    ):  # the last layer is then that of another task, what is before it (ModernBERT) may be of use
        last = {f"{path}.{name}" for path in ("qa_outputs", "classifier") for name in ("weight", "bias")}
        weights = {name: tensor for name, tensor in weights.items() if name not in head & last}
    check_weights(own, weights, head, model.config.num_hidden_layers, directory)
    ignored = tuple(sorted(weights.keys() - own.keys()))
    model.load_state_dict({name: tensor for name, tensor in weights.items() if name in own}, strict=False)
    return head - weights.keys(), ignored


def _is_reader(config: PretrainedConfig, head: set[str]) -> bool:
    """Whether tensors of the head's names are a reader's; `classifier` may be that of a classifier of
    texts.
    """
    architectures = getattr(config, "architectures", None) or []
    return any(name.startswith("qa_outputs.") for name in head) or any(
        "QuestionAnswering" in name for name in architectures
    )


def check_vocabulary(model: PreTrainedModel, tokenizer: Tokenizer, directory: Path) -> None:
    """Raise `ModelError` when the tokenizer gives ids that the model has no embedding for."""
    rows = model.get_input_embeddings().num_embeddings
    largest = max(tokenizer.get_vocab().values())
    if largest >= rows:
        raise ModelError(
            f"{directory}: the tokenizer gives ids up to {largest}, but the model embeds {rows} tokens: they "
            "do not "
            "belong together"
        )


def check_weights(
    own: dict[str, Tensor], weights: dict[str, Tensor], head: set[str], n_layers: int, directory: Path
) -> None:
    """Raise `ModelError` unless the weights are the whole encoder that the configuration describes."""
    check_shapes(
        {name: tuple(tensor.shape) for name, tensor in weights.items()},
        {name: tuple(tensor.shape) for name, tensor in own.items() if name in weights or name not in head},
        n_layers,
        directory,
    )
    for name in sorted(own.keys() & weights.keys()):
        if weights[name].is_floating_point() and not torch.isfinite(weights[name]).all():
            raise ModelError(f"{directory}: {name} holds values that are not finite; the weights are damaged")
