"""Checkpoints read by numpy for OpenVINO: every form that published models come in, and one clear error for
the rest.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModel

from tiny_models import write_reader
from tinyreader.errors import ModelError
from tinyreader.models import load_reader
from tinyreader.runtimes.openvino import Checkpoint, load_model, read_architecture

Weights = dict[str, Tensor]


def rewrite_weights(directory: Path, change: Callable[[Weights], Weights]) -> Path:
    """Replace a directory's weights by what `change` makes of them."""
    path = directory / "model.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in change(load_file(path)).items()}, path)
    return directory


def rewrite_config(directory: Path, **changes: object) -> Path:
    """Change values of a directory's config.json; None takes a key out."""
    path = directory / "config.json"
    content = {**json.loads(path.read_text("utf-8")), **changes}
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}), encoding="utf-8")
    return directory


def tensors(directory: Path) -> dict[str, np.ndarray]:
    """All that a reader of this architecture has, checked and read."""
    architecture = read_architecture(directory)
    checkpoint = Checkpoint(directory, architecture.family.prefix)
    checkpoint.check(architecture.tensors(), architecture.n_layers)
    return {name: checkpoint[name] for name in architecture.tensors()}


def equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    """Whether names and values are the same."""
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("family", ["bert", "distilbert", "electra", "mpnet", "roberta"])
def test_every_tensor_of_a_family_is_known(tmp_path: Path, family: str) -> None:
    """What is expected of a family is what its reader has, no more and no less, with the same values."""
    directory = write_reader(tmp_path, family)
    state = load_reader(directory).model.state_dict()
    prefix = read_architecture(directory).family.prefix
    own = {name.removeprefix(f"{prefix}."): tensor.numpy() for name, tensor in state.items()}
    assert equal(tensors(directory), own)


def old_names(weights: Weights) -> Weights:
    """As TensorFlow's BERT was first converted, with the pre-training heads and a buffer of positions."""
    renamed = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in weights.items()
    }
    return renamed | {
        "cls.predictions.bias": torch.zeros(24),
        "bert.embeddings.position_ids": torch.arange(64)[None],
    }


@pytest.mark.parametrize(
    "rename",
    [
        old_names,
        lambda weights: {f"module.{name}": tensor for name, tensor in weights.items()},
        lambda weights: {name.removeprefix("bert."): tensor for name, tensor in weights.items()},
    ],
    ids=["gamma-beta-heads", "module", "bare"],
)
def test_names_of_other_times_are_understood(tmp_path: Path, rename: Callable[[Weights], Weights]) -> None:
    """Old LayerNorm names, heads beside the encoder and other prefixes give the same tensors."""
    directory = write_reader(tmp_path)
    expected = tensors(directory)
    assert equal(tensors(rewrite_weights(directory, rename)), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_precisions_are_read_as_fp32(tmp_path: Path, dtype: torch.dtype) -> None:
    """Weights in bf16, fp16 and fp64 have exactly the values that torch gives them in fp32."""
    directory = write_reader(tmp_path)
    rewrite_weights(directory, lambda weights: {name: tensor.to(dtype) for name, tensor in weights.items()})
    stored = load_file(directory / "model.safetensors")
    for name, tensor in tensors(directory).items():
        inside = name if name in stored else f"bert.{name}"
        assert tensor.dtype == np.float32
        assert np.array_equal(tensor, stored[inside].float().numpy())


def in_parts(directory: Path) -> list[str]:
    """Spread the weights over two files with an index; returns the files' names."""
    weights = load_file(directory / "model.safetensors")
    names = sorted(weights)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, part in parts.items():
        save_file({name: weights[name] for name in part}, directory / file)
    (directory / "model.safetensors").unlink()
    places = {name: file for file, part in parts.items() for name in part}
    (directory / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": places}), encoding="utf-8"
    )
    return list(parts)


def test_weights_in_parts_are_read(tmp_path: Path) -> None:
    """A checkpoint of several files gives the same tensors; a part that is missing is named."""
    directory = write_reader(tmp_path)
    expected = tensors(directory)
    _, second = in_parts(directory)
    assert equal(tensors(directory), expected)
    (directory / second).unlink()
    with pytest.raises(ModelError, match=r"00002.safetensors is missing: fetch"):
        tensors(directory)


@pytest.mark.parametrize(
    ("index", "said"),
    [
        ("{}", "has no weight_map"),
        ('{"weight_map": {"a": "../x.safetensors"}}', "not a safetensors file beside it"),
    ],
)
def test_a_wrong_index_is_refused(tmp_path: Path, index: str, said: str) -> None:
    """An index without names, or with files elsewhere, is an error."""
    directory = write_reader(tmp_path)
    in_parts(directory)
    (directory / "model.safetensors.index.json").write_text(index, encoding="utf-8")
    with pytest.raises(ModelError, match=said):
        tensors(directory)


def set_value(name: str, value: float) -> Callable[[Weights], Weights]:
    """Puts the value somewhere into a tensor."""

    def change(weights: Weights) -> Weights:
        weights[name].view(-1)[-1] = value
        return weights

    return change


def pickled(directory: Path) -> None:
    """Leave only a pickle."""
    torch.save(load_file(directory / "model.safetensors"), directory / "pytorch_model.bin")
    (directory / "model.safetensors").unlink()


def encoder_only(directory: Path) -> None:
    """Leave the encoder without the question-answering head."""
    AutoModel.from_pretrained(directory).save_pretrained(directory)


def cut(directory: Path) -> None:
    """Cut the weights in the middle."""
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda d: (d / "config.json").unlink(), "has no config.json"),
        (lambda d: (d / "config.json").write_text("{"), "config.json cannot be read"),
        (
            lambda d: rewrite_config(d, hidden_size="wide"),
            "hidden_size is 'wide'; it should be a whole number from 1 up",
        ),
        (lambda d: rewrite_config(d, num_hidden_layers=True), "num_hidden_layers is True"),
        (lambda d: rewrite_config(d, num_attention_heads=5), "32 cannot be divided among 5 attention heads"),
        (
            lambda d: rewrite_config(d, hidden_act="mish"),
            "activation 'mish' is not built for OpenVINO; gelu, ",
        ),
        (lambda d: rewrite_config(d, hidden_act=["gelu"]), "activation .'gelu'. is not built"),
        (lambda d: rewrite_config(d, layer_norm_eps=0), "layer_norm_eps is 0"),
        (lambda d: rewrite_config(d, is_decoder=True), "is_decoder is True"),
        (
            lambda d: rewrite_config(d, position_embedding_type="relative_key"),
            "position_embedding_type is 'relative_key'",
        ),
        (
            lambda d: rewrite_config(d, model_type="gpt2"),
            "'gpt2' models are not built.*bert, roberta.*mpnet.*torch engine",
        ),
        (lambda d: rewrite_config(d, model_type=["bert"]), "models are not built"),
        (
            lambda d: rewrite_config(d, num_hidden_layers=3),
            r"the weights lack bert.encoder.layer.2.* and 13 more",
        ),
        (
            lambda d: rewrite_config(d, num_hidden_layers=1),
            "the weights have bert.encoder.layer.1.*config.json only 1",
        ),
        (
            lambda d: rewrite_config(d, intermediate_size=64),
            r"has shape \(48, 32\), but config.json asks for \(64, 32\)",
        ),
        (
            lambda d: rewrite_config(d, vocab_size=25),
            r"word_embeddings.weight has shape \(24, 32\).* \(25, 32\)",
        ),
        (encoder_only, "no trained question-answering head.*tinyreader finetune"),
        (
            lambda d: rewrite_weights(d, set_value("qa_outputs.bias", torch.nan)),
            "qa_outputs.bias holds .*not finite",
        ),
        (
            lambda d: rewrite_weights(d, set_value("bert.encoder.layer.1.output.dense.weight", -torch.inf)),
            "not finite",
        ),
        (
            lambda d: rewrite_weights(d, lambda w: {n: t.to(torch.int32) for n, t in w.items()}),
            "is stored as I32; only F32",
        ),
        (
            lambda d: rewrite_weights(d, lambda w: {n: t.to(torch.int8) for n, t in w.items()}),
            "stored as int8 without",
        ),
        (cut, "model.safetensors is damaged or not a safetensors file.*Fetch the model again"),
        (
            lambda d: (d / "model.safetensors").write_text("version https://git-lfs.github.com"),
            "damaged or not a safetensors",
        ),
        (lambda d: (d / "model.safetensors").write_bytes(b""), "damaged or not a safetensors"),
        (
            lambda d: (d / "model.safetensors").write_bytes(struct.pack("<Q", 4) + b"[{}]"),
            "damaged or not a safetensors",
        ),
        (
            lambda d: (d / "model.safetensors").unlink(),
            "has neither model.safetensors nor pytorch_model.bin$",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(tmp_path: Path, damage: Any, said: str) -> None:
    """Each way in which a model directory can be wrong is one clear error."""
    directory = write_reader(tmp_path)
    damage(directory)
    with pytest.raises(ModelError, match=said):
        load_model(directory, "fp32")


def test_a_pickle_is_converted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With only a pytorch_model.bin the weights are converted into the user's cache, and are the same."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    directory = write_reader(tmp_path / "reader")
    before = dict(Checkpoint(directory, "bert"))
    pickled(directory)
    for _ in range(2):
        after = dict(Checkpoint(directory, "bert"))
        assert after.keys() == before.keys()
        assert all(np.array_equal(after[name], before[name]) for name in before)
    assert len(list((tmp_path / "cache").rglob("*.safetensors"))) == 1


@pytest.mark.parametrize("family", ["deberta-v2", "modernbert"])
def test_other_families_are_refused_by_name(tmp_path: Path, family: str) -> None:
    """A reader of a family that is not built is an error that says which ones are, and what to do."""
    directory = write_reader(tmp_path, family)
    with pytest.raises(
        ModelError, match=rf"'{family}' models are not built for OpenVINO. Supported are bert, "
    ):
        load_model(directory, "fp32")


@pytest.mark.parametrize(
    "about",
    [
        {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [-1], "data_offsets": [4, 0]},
        {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]},
        {"dtype": "F32", "shape": 2, "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [2]},
        [],
    ],
)
def test_a_header_that_cannot_be_is_refused(tmp_path: Path, about: Any) -> None:
    """Offsets outside the file, or that do not fit the shape, are found before anything is read."""
    header = json.dumps({"a": about}).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    with pytest.raises(ModelError, match="damaged or not a safetensors file"):
        Checkpoint(tmp_path, "bert")


def test_large_values_are_finite(tmp_path: Path) -> None:
    """Values whose sum overflows are still finite."""
    save_file({"a": torch.full((4,), 3e38)}, tmp_path / "model.safetensors")
    assert Checkpoint(tmp_path, "bert")["a"].max() == np.float32(3e38)
