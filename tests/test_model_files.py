"""A model's files: found, downloaded with what is installed, and one clear error for each way they can be
wrong.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel

from fake_hub import FakeHub, Repository
from tiny_models import write_byte_level_bpe, write_reader
from tinyreader.errors import MissingExtraError, ModelError
from tinyreader.export import ExportSettings, export, sample_examples
from tinyreader.model_files import model_fingerprint, read_section, weight_files, write_section
from tinyreader.reader import Reader, ReaderSettings
from tinyreader.reader.settings import write_settings

SHORT: dict[str, Any] = {"max_seq_len": 60, "doc_stride": 6, "threads": 1, "precision": "fp32"}
QUESTION, TEXT = "who built it ?", "the bridge was built in a b c x it"


def answers(directory: Path) -> list[tuple[str, int]]:
    """What the reader of that directory finds."""
    return [
        (a.text, a.start) for a in Reader.from_pretrained(directory, **SHORT).read(QUESTION, TEXT).answers
    ]


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
        (cut, "damaged or not a safetensors file"),
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
    with pytest.raises(
        MissingExtraError, match=r"converting the pickle .*pytorch_model.bin.*tinyreader\[train\]"
    ):
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


def test_an_unknown_part_of_reader_json_is_refused(tmp_path: Path) -> None:
    """A misspelt section is named with the known ones, by whatever reads or writes the file, and is not
    lost.
    """
    directory = write_reader(tmp_path)
    (directory / "reader.json").write_text('{"setings": {"top_k": 3}}', encoding="utf-8")
    said = r"reader.json: 'setings' is not a known section; there are: settings, calibration, int8, export.*newer Tinyreader"
    for use in (
        lambda: Reader.from_pretrained(directory, **SHORT),
        lambda: read_section(directory, "int8"),
        lambda: write_section(directory, "int8", {}),
        lambda: write_settings(ReaderSettings(), directory),
    ):
        with pytest.raises(ModelError, match=said):
            use()
    assert "setings" in (directory / "reader.json").read_text("utf-8")


@pytest.mark.parametrize("engine", ["openvino", "onnx"])
def test_the_networks_of_an_export_have_a_fingerprint(tmp_path: Path, engine: Any) -> None:
    """It changes with them; where weights are needed, an error says that there are only an engine's files."""
    directory = write_reader(tmp_path)
    export(directory, tmp_path / "out", ExportSettings(engine, threads=1), sample_examples(2))
    before = model_fingerprint(tmp_path / "out")
    assert before != model_fingerprint(directory)
    network = max((tmp_path / "out").iterdir(), key=lambda path: path.stat().st_size)
    network.write_bytes(network.read_bytes() + b" ")
    assert model_fingerprint(tmp_path / "out") != before
    with pytest.raises(ModelError, match=rf"no weights but an engine's files \(.*{network.name}.*\)"):
        weight_files(tmp_path / "out")


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    """A stand-in for the Hub."""
    with FakeHub().running() as running:
        yield running


def put(hub: FakeHub, name: str, directory: Path, *more: tuple[str, bytes]) -> None:
    """A repository with the directory's files."""
    files = {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}
    hub.repositories[name] = Repository(branches={"main": files | dict(more)})


ASK = """
import json, sys
from tinyreader import Reader
reader = Reader.from_pretrained(sys.argv[1], max_seq_len=60, doc_stride=6, threads=1)
answers = reader.read(sys.argv[2], sys.argv[3]).answers
print(json.dumps([reader.engine, [[a.text, a.start] for a in answers]]))
"""


def ask_by_id(hub: FakeHub, home: Path, name: str) -> tuple[str, list[Any]]:
    """What a process of its own finds, that knows the model by its id: engine and answers."""
    own = {
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": hub.token,
        "HF_HOME": str(home / "hub"),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home),
        "PATH": os.environ["PATH"],
    }
    done = subprocess.run(
        [sys.executable, "-c", ASK, name, QUESTION, TEXT],
        env=own,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    engine, found = json.loads(done.stdout)
    return engine, [tuple(answer) for answer in found]


@pytest.mark.parametrize("engine", ["openvino", "onnx"])
def test_an_export_is_read_by_its_hub_id(tmp_path: Path, hub: FakeHub, engine: Any) -> None:
    """A repository with what `export` wrote is downloaded and read by its engine; nothing else of it is
    fetched.
    """
    directory = write_reader(tmp_path)
    export(directory, tmp_path / "out", ExportSettings(engine, threads=1), sample_examples(2))
    put(hub, "ada/exported", tmp_path / "out", ("notes.pdf", b"large"))
    assert ask_by_id(hub, tmp_path / "home", "ada/exported") == (engine, answers(directory))
    fetched = {path.rsplit("/", 1)[1] for _, path, _ in hub.requests if "/resolve/" in path}
    assert fetched == {path.name for path in (tmp_path / "out").iterdir()}


def test_weights_are_downloaded_before_an_engines_files(tmp_path: Path, hub: FakeHub) -> None:
    """Where a repository has both, the weights are read, and the other files stay there."""
    directory = write_reader(tmp_path)
    put(hub, "ada/both", directory, ("model.onnx", b"no network"), ("pytorch_model.bin", b"no pickle"))
    assert ask_by_id(hub, tmp_path / "home", "ada/both") == ("openvino", answers(directory))
    fetched = {path.rsplit("/", 1)[1] for _, path, _ in hub.requests if "/resolve/" in path}
    assert fetched == {path.name for path in directory.iterdir()}


@pytest.mark.parametrize("name", ["a" * 5000, "a\0b", "a/" * 3000, "~nobody-of-that-name/m"])
def test_what_is_no_name_of_a_model_is_said(name: str) -> None:
    """A name that the system itself refuses is one error of a bearable length."""
    with pytest.raises(ModelError, match=r"the model '[a~].* cannot be opened") as failure:
        Reader.from_pretrained(name)
    assert len(str(failure.value)) < 300


def test_sections_of_reader_json_keep_to_themselves(tmp_path: Path) -> None:
    """Writing one leaves the others; a section that is no object is an error."""
    assert read_section(tmp_path, "int8") is None
    write_section(tmp_path, "settings", {"top_k": 3})
    write_section(tmp_path, "int8", {"kept": ["é"]})
    assert (read_section(tmp_path, "settings"), read_section(tmp_path, "int8")) == (
        {"top_k": 3},
        {"kept": ["é"]},
    )
    (tmp_path / "reader.json").write_text('{"int8": []}', encoding="utf-8")
    with pytest.raises(ModelError, match="int8 should be a JSON object, not list"):
        read_section(tmp_path, "int8")
