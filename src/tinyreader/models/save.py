"""Readers written as directories that Transformers loads, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path

from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel

from tinyreader.errors import ModelError
from tinyreader.models.parts import max_tokens, takes_segments
from tinyreader.storage import atomic_directory, match_parent_mode
from tinyreader.tokenizer import tokenizer_files


def save_reader(
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    directory: str | Path,
    *,
    weights: Mapping[str, Tensor] | None = None,
    extra: Mapping[str, str] | None = None,
) -> Path:
    """The directory, holding the reader: fp32 safetensors, configuration, tokenizer, and `extra` files (name
    to text).

    `weights` replaces the model's own tensors of the same names: masters in fp32 of weights that train in
    bf16. A model directory that is there already is replaced as a whole.
    """
    own = model.state_dict()
    if unknown := sorted((weights or {}).keys() - own.keys()):
        raise ModelError(f"the model has no weights called {', '.join(unknown[:3])}")
    tensors = {name: _plain(tensor) for name, tensor in {**own, **(weights or {})}.items()}
    files = tokenizer_files(
        tokenizer,
        takes_segments=takes_segments(model),
        max_tokens=max_tokens(model),
        pad_id=getattr(model.config, "pad_token_id", None),
    )
    files["config.json"] = _configuration(model.config, type(model).__name__)
    _check_replaceable(Path(directory).resolve())
    with atomic_directory(directory) as temporary:
        save_file(tensors, temporary / "model.safetensors", metadata={"format": "pt"})
        match_parent_mode(temporary / "model.safetensors")
        for name, text in {**files, **(extra or {})}.items():
            (temporary / name).write_text(text, encoding="utf-8", newline="\n")
    return Path(directory)


def _plain(tensor: Tensor) -> Tensor:
    """The tensor as a file holds it: on the CPU, contiguous, floating point numbers in fp32."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.is_floating_point() else tensor).contiguous()


def _configuration(config: PretrainedConfig, architecture: str) -> str:
    """The text of config.json, without traces of where the model came from or how it was being run."""
    content = deepcopy(config).to_diff_dict()
    for key in ("_name_or_path", "auto_map", "torch_dtype"):
        content.pop(key, None)
    content |= {"architectures": [architecture], "dtype": "float32"}
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _check_replaceable(target: Path) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise ModelError(f"{target} is a file; a reader is written to a directory")
    entries = list(target.iterdir())
    if entries and not ((target / "config.json").is_file() and all(entry.is_file() for entry in entries)):
        raise ModelError(
            f"{target} holds other things than a model and is not replaced; give another directory"
        )
