"""A model's files: found, downloaded with what is installed, and one clear error for each way they can be wrong."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel

from tiny_models import write_byte_level_bpe, write_reader
from tinyreader.errors import MissingExtraError, ModelError
from tinyreader.model_files import read_section, write_section
from tinyreader.reader import Reader

SHORT: dict[str, Any] = {"max_seq_len": 60, "doc_stride": 6, "threads": 1, "precision": "fp32"}
QUESTION, TEXT = "who built it ?", "the bridge was built in a b c x it"


def answers(directory: Path) -> list[tuple[str, int]]:
    """What the reader of that directory finds."""
    return [(a.text, a.start) for a in Reader.from_pretrained(directory, **SHORT).read(QUESTION, TEXT).answers]


def pickled(directory: Path) -> None:
    """Leave only a pickle of the weights."""
    torch.save(load_file(directory / "model.safetensors"), directory / "pytorch_model.bin")
    (directory / "model.safetensors").unlink()


def encoder_only(directory: Path) -> None:
    """Leave the encoder without the question-answering head."""
    AutoModel.from_pretrained(directory).save_pretrained(directory)


def cut(directory: Path) -> None:
    """Cut the weights in the middle."""
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def in_parts(directory: Path) -> None:
    """Name a part of the weights in an index that is not there."""
    (directory / "model.safetensors").unlink()
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


def without_tokenizer(directory: Path) -> None:
    """Take the tokenizer away."""
    for path in (*directory.glob("tokenizer*"), *directory.glob("vocab*"), *directory.glob("special*")):
        path.unlink()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (encoder_only, "no trained question-answering head"),
        (cut, "damaged or no safetensors file"),
        (in_parts, r"00002.safetensors is missing: fetch"),
        (without_tokenizer, "has no tokenizer that can be used"),
        (lambda d: (d / "model.safetensors").unlink(), "has neither model.safetensors nor pytorch_model.bin"),
        (lambda d: (d / "config.json").unlink(), "has no config.json"),
        (lambda d: (d / "config.json").write_text("{"), "config.json cannot be read"),
    ],
)
@pytest.mark.parametrize("engine", ["auto", "onnx"])
def test_a_reader_that_cannot_be_used_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Any, damage: Any, said: str
) -> None:
    """From the Reader, whatever engine reads: what is wrong, and where."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    directory = write_reader(tmp_path)
    damage(directory)
    with pytest.raises(ModelError, match=said):
        Reader.from_pretrained(directory, engine=engine, **SHORT)


def test_a_pickle_is_read_and_needs_torch_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a pytorch_model.bin: the Reader finds the same; without torch an error says what to install."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    directory = write_reader(tmp_path)
    expected = answers(directory)
    pickled(directory)
    assert answers(directory) == expected
    monkeypatch.setitem(sys.modules, "tinyreader.models.weights", None)
    with pytest.raises(MissingExtraError, match=r"converting the pickle .*pytorch_model.bin.*tinyreader\[train\]"):
        answers(directory)


def test_a_pickle_that_is_more_than_tensors_is_refused(tmp_path: Path) -> None:
    """What could run code is not loaded."""
    directory = write_reader(tmp_path)
    (directory / "model.safetensors").unlink()
    torch.save({"a": Path("x")}, directory / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pytorch_model\.bin is refused"):
        Reader.from_pretrained(directory, **SHORT)


def test_a_vocabulary_alone_makes_the_tokenizer(tmp_path: Path) -> None:
    """`vocab.txt`, as old models have it, or `vocab.json` with `merges.txt`, is enough for the Reader."""
    directory = write_reader(tmp_path / "a")
    expected = answers(directory)
    vocabulary = Reader.from_pretrained(directory, **SHORT).tokenizer.get_vocab(with_added_tokens=False)
    without_tokenizer(directory)
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    (directory / "vocab.txt").write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    assert answers(directory) == expected
    other = write_reader(tmp_path / "b", "roberta", vocab_size=400)
    without_tokenizer(other)
    write_byte_level_bpe(other)
    assert answers(other)


def test_sections_of_reader_json_keep_to_themselves(tmp_path: Path) -> None:
    """Writing one leaves the others; a section that is no object is an error."""
    assert read_section(tmp_path, "int8") is None
    write_section(tmp_path, "settings", {"top_k": 3})
    write_section(tmp_path, "int8", {"kept": ["é"]})
    assert (read_section(tmp_path, "settings"), read_section(tmp_path, "int8")) == ({"top_k": 3}, {"kept": ["é"]})
    (tmp_path / "reader.json").write_text('{"int8": []}', encoding="utf-8")
    with pytest.raises(ModelError, match="int8 should be a JSON object, not list"):
        read_section(tmp_path, "int8")
