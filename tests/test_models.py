"""Models: loaded from every kind of directory without trusting it, refused with reasons, saved for
Transformers.
"""

from __future__ import annotations

import json
import logging
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForMaskedLM, AutoModelForQuestionAnswering, AutoTokenizer

from tiny_models import FAMILIES, configuration, inputs, write_reader, write_vocabulary
from tinyreader.errors import ModelError
from tinyreader.models import (
    LoadedReader,
    encoder_layers,
    load_encoder_as_reader,
    load_reader,
    max_tokens,
    model_directory,
    model_fingerprint,
    qa_head,
    save_reader,
    takes_segments,
)
from tinyreader.models.reader import new_model
from tinyreader.models.weights import cache_directory
from tinyreader.storage import atomic_directory

ALL_FAMILIES = sorted(FAMILIES)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache directory of each test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def logits(model: Any, seed: int = 0) -> Tensor:
    """Start and end logits on fixed inputs."""
    with torch.no_grad():
        out = model(**inputs(seed=seed))
    return torch.stack([out.start_logits, out.end_logits])


def rewrite_config(directory: Path, **changes: object) -> None:
    """Change values of a directory's config.json; None takes a key out."""
    path = directory / "config.json"
    content = {**json.loads(path.read_text(encoding="utf-8")), **changes}
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}), encoding="utf-8")


def rewrite_weights(directory: Path, change: Any, name: str = "model.safetensors") -> None:
    """Replace a directory's weights by what `change` makes of them: safetensors, or a pickle where the name
    says so.
    """
    weights = change(load_file(directory / "model.safetensors"))
    (directory / "model.safetensors").unlink()
    if name.endswith(".safetensors"):
        save_file(weights, directory / name)
    else:
        torch.save(weights, directory / name)


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_saved_readers_load_here_and_in_transformers(tmp_path: Path, family: str) -> None:
    """A saved reader gives the same logits here and through the Auto classes, and its tokenizer the same
    inputs.
    """
    directory = write_reader(tmp_path, family)
    reader = load_reader(directory)
    theirs = AutoModelForQuestionAnswering.from_pretrained(directory)
    assert torch.equal(logits(reader.model), logits(theirs))
    assert not reader.model.training
    tokenizer = AutoTokenizer.from_pretrained(directory)
    encoded = tokenizer("who built it?", "the bridge was built in a.", return_tensors="pt")
    assert (
        encoded["input_ids"][0].tolist()
        == reader.tokenizer.encode("who built it?", "the bridge was built in a.").ids
    )
    assert theirs(**encoded).start_logits.shape == encoded["input_ids"].shape


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_parts_are_found_in_every_family(tmp_path: Path, family: str) -> None:
    """Layers in order, the head, the longest input and the use of segments are found without naming the
    family.
    """
    model = new_model(configuration(family, n_layers=3), 0)
    assert len(encoder_layers(model)) == 3
    assert qa_head(model).out_features == 2
    # RoBERTa and MPNet count positions from the padding id up; DeBERTa and ModernBERT have no table of
    # positions.
    limits = {"roberta": 62, "mpnet": 62, "deberta-v2": None, "modernbert": None}
    assert max_tokens(model) == limits.get(family, 64)
    assert takes_segments(model) == (family in ("bert", "electra"))


def test_layers_that_are_not_in_a_list_are_refused() -> None:
    """A model without a list of its layers is an error that says which families work."""
    model = new_model(configuration(n_layers=3), 0)
    model.config.num_hidden_layers = 5
    with pytest.raises(ModelError, match=r"5 layers in one list.*DistilBERT"):
        encoder_layers(model)


def test_a_pickle_is_converted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pytorch_model.bin gives the same reader as its safetensors twin, and is unpickled only the first
    time.
    """
    directory = write_reader(tmp_path)
    expected = logits(load_reader(directory).model)
    rewrite_weights(directory, lambda weights: weights, "pytorch_model.bin")
    assert torch.equal(logits(load_reader(directory).model), expected)
    assert len(list(cache_directory().rglob("*.safetensors"))) == 1
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("unpickled again"))
    assert torch.equal(logits(load_reader(directory).model), expected)


def test_a_damaged_conversion_is_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A cut-off file in the cache is noticed, named, and replaced."""
    directory = write_reader(tmp_path)
    expected = logits(load_reader(directory).model)
    rewrite_weights(directory, lambda weights: weights, "pytorch_model.bin")
    load_reader(directory)
    cached = next(cache_directory().rglob("*.safetensors"))
    whole = cached.read_bytes()
    cached.write_bytes(whole[:100])
    assert torch.equal(logits(load_reader(directory).model), expected)
    assert cached.read_bytes() == whole
    assert "is damaged" in caplog.text


def test_many_may_convert_the_same_pickle(tmp_path: Path) -> None:
    """Loading the same pickle at the same time leaves one whole conversion and no rest of another."""
    directory = write_reader(tmp_path)
    expected = logits(load_reader(directory).model)
    rewrite_weights(directory, lambda weights: weights, "pytorch_model.bin")
    with ThreadPoolExecutor(4) as pool:
        weights = [reader.model for reader in pool.map(load_reader, [directory] * 4)]
    assert all(torch.equal(logits(model), expected) for model in weights)
    assert [
        path.name for path in (cache_directory() / "converted").iterdir() if path.name.startswith(".")
    ] == []


def test_a_cache_that_cannot_be_written_is_only_slower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a place to keep the conversion the reader still loads, with a warning."""
    directory = write_reader(tmp_path)
    rewrite_weights(directory, lambda weights: weights, "pytorch_model.bin")
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    load_reader(directory)
    assert "cannot be kept" in caplog.text


class Trap:
    """A pickled object that would write a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return (exec, (f"open({str(self.path)!r}, 'w')", ""))


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    """A pickle with anything but tensors is refused before it can do something."""
    directory = write_reader(tmp_path)
    sprung = tmp_path / "sprung"
    for save in (torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))):
        rewrite = load_file(write_reader(tmp_path / "other") / "model.safetensors")
        save(dict(rewrite, trap=Trap(sprung)), directory / "pytorch_model.bin")
        (directory / "model.safetensors").unlink(missing_ok=True)
        with pytest.raises(ModelError, match=r"is refused"):
            load_reader(directory)
    torch.save({"step": 3}, directory / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"dictionary of tensors"):
        load_reader(directory)
    assert not sprung.exists()


def test_other_pickles_are_not_read(tmp_path: Path) -> None:
    """Weights under other names are refused, and the files are named."""
    directory = write_reader(tmp_path)
    rewrite_weights(directory, lambda weights: weights, "model.pt")
    with pytest.raises(
        ModelError, match=r"neither model.safetensors nor pytorch_model.bin \(model.pt cannot be used\)"
    ):
        load_reader(directory)


def test_code_of_a_model_is_never_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """`auto_map` is ignored with a warning where Transformers knows the model, and an error where it does
    not.
    """
    directory = write_reader(tmp_path)
    (directory / "own.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')", encoding="utf-8")
    rewrite_config(
        directory, auto_map={"AutoModelForQuestionAnswering": "own.Model", "AutoConfig": "own.Config"}
    )
    reader = load_reader(directory)
    assert "auto_map" in caplog.text
    saved = save_reader(reader.model, reader.tokenizer, tmp_path / "saved")
    assert "auto_map" not in (saved / "config.json").read_text(encoding="utf-8")
    rewrite_config(directory, model_type="mine")
    with pytest.raises(ModelError, match=r"'mine' is not known.*code of its own, which is never run"):
        load_reader(directory)
    assert not (tmp_path / "sprung").exists()


def old_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights as TensorFlow's BERT was first converted: gamma and beta, with the pre-training heads."""
    renamed = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in weights.items()
    }
    return renamed | {
        "cls.predictions.bias": torch.zeros(24),
        "cls.seq_relationship.weight": torch.zeros(2, 32),
        "bert.pooler.dense.weight": torch.zeros(32, 32),
        "fit_dense.weight": torch.zeros(32, 32),
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
def test_names_of_other_times_are_understood(tmp_path: Path, rename: Any) -> None:
    """Old LayerNorm names, pre-training heads beside the encoder, and other prefixes give the same reader."""
    directory = write_reader(tmp_path)
    expected = logits(load_reader(directory).model)
    rewrite_weights(directory, rename)
    assert torch.equal(logits(load_reader(directory).model), expected)


def test_a_checkpoint_like_tinyberts_becomes_a_student(tmp_path: Path) -> None:
    """A pickle with extra heads, an old configuration without a model type, and a bare vocab.txt are
    enough.
    """
    directory = write_reader(tmp_path)
    trunk = load_file(directory / "model.safetensors")
    rewrite_weights(
        directory,
        lambda w: old_names({n: t for n, t in w.items() if "qa_outputs" not in n}),
        "pytorch_model.bin",
    )
    rewrite_config(
        directory, model_type=None, architectures=None, cell={}, structure=[], pre_trained="", training=""
    )
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (directory / name).unlink()
    student = load_encoder_as_reader(directory, seed=3)
    assert student.head_is_new
    assert {"cls.predictions.bias", "fit_dense.weight"} <= set(student.ignored)
    assert student.config.model_type == "bert"
    assert torch.equal(
        encoder_layers(student.model)[1].output.dense.weight,
        trunk["bert.encoder.layer.1.output.dense.weight"],
    )


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_an_encoder_gets_a_head_and_is_no_teacher(
    tmp_path: Path, family: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An encoder without a question-answering head gets one drawn by the seed; as a teacher it is refused."""
    caplog.set_level(logging.INFO)
    directory = write_reader(tmp_path, family)
    trained = load_reader(directory).model
    mask_filler = AutoModelForMaskedLM.from_config(trained.config)
    getattr(mask_filler, mask_filler.base_model_prefix).load_state_dict(trained.base_model.state_dict())
    rewrite_weights(directory, lambda _: {n: t.clone() for n, t in mask_filler.state_dict().items()})
    rewrite_config(directory, architectures=[type(mask_filler).__name__])
    first, again, other = (load_encoder_as_reader(directory, seed=seed) for seed in (0, 0, 1))
    assert first.head_is_new
    assert "no trained question-answering head" in caplog.text
    assert torch.equal(logits(first.model), logits(again.model))
    assert not torch.equal(qa_head(first.model).weight, qa_head(other.model).weight)
    given = mask_filler.state_dict()
    for name, parameter in first.model.named_parameters():
        if name.startswith(("qa_outputs", "classifier")):
            assert parameter.abs().max() < 0.5, name
        else:  # ModernBERT's mask filler also has what comes before the last layer
            assert torch.equal(parameter, given[name]), name
    with pytest.raises(ModelError, match=r"no trained question-answering head.*tinyreader finetune"):
        load_reader(directory)


def test_a_classifier_of_texts_is_no_reader(tmp_path: Path) -> None:
    """A classifier's head of the same name and shape is not taken for a reader's."""
    directory = write_reader(tmp_path, "modernbert")
    rewrite_config(
        directory,
        architectures=["ModernBertForSequenceClassification"],
        num_labels=3,
        id2label={"0": "a", "1": "b", "2": "c"},
    )
    rewrite_weights(directory, lambda weights: weights | {"classifier.weight": torch.zeros(3, 32)})
    assert load_encoder_as_reader(directory).head_is_new
    assert load_encoder_as_reader(directory).config.num_labels == 2


def test_loading_leaves_random_numbers_alone(tmp_path: Path) -> None:
    """Loading or making a model does not move the caller's random state."""
    directory = write_reader(tmp_path)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    load_encoder_as_reader(directory)
    new_model(configuration(), 3)
    assert torch.equal(torch.rand(3), expected)


def test_half_precision_and_parts_load_as_fp32(tmp_path: Path) -> None:
    """Weights in bf16, and weights in several files with an index, give an fp32 reader."""
    directory = write_reader(tmp_path)
    weights = {name: tensor.bfloat16() for name, tensor in load_file(directory / "model.safetensors").items()}
    names = sorted(weights)
    halves = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, part in halves.items():
        save_file({name: weights[name] for name in part}, directory / file)
    (directory / "model.safetensors").unlink()
    index = directory / "model.safetensors.index.json"
    index.write_text(
        json.dumps({"weight_map": {n: f for f, part in halves.items() for n in part}}), encoding="utf-8"
    )
    rewrite_config(directory, dtype="bfloat16")
    model = load_reader(directory).model
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert torch.equal(model.qa_outputs.weight, weights["qa_outputs.weight"].float())
    (directory / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ModelError, match=r"00002.safetensors is missing"):
        load_reader(directory)
    index.write_text(json.dumps({"weight_map": {"a": "../model.safetensors"}}), encoding="utf-8")
    with pytest.raises(ModelError, match=r"not a safetensors file beside it"):
        load_reader(directory)


def cut(directory: Path) -> None:
    """Cut the weights in the middle."""
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def grow_vocabulary(directory: Path) -> None:
    """Give the tokenizer more tokens than the model has embeddings."""
    tokenizer = write_vocabulary(directory)
    tokenizer.add_tokens([f"new{n}" for n in range(30)])
    tokenizer.save(str(directory / "tokenizer.json"))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (shutil.rmtree, "no directory .*, and it is not a Hub id"),
        (lambda d: (d / "config.json").unlink(), "has no config.json"),
        (lambda d: (d / "config.json").write_text("{"), "config.json cannot be read"),
        (lambda d: rewrite_config(d, hidden_size="wide"), "not a valid bert configuration"),
        (lambda d: rewrite_config(d, model_type="gpt2"), "'gpt2' is not an encoder"),
        (lambda d: rewrite_config(d, model_type="bart"), "'bart' is not an encoder"),
        (lambda d: rewrite_config(d, model_type="vit"), "'vit' is not an encoder"),
        (lambda d: rewrite_config(d, is_decoder=True), "'bert' is not an encoder"),
        (cut, "model.safetensors is damaged or not a safetensors file"),
        (
            lambda d: (d / "model.safetensors").write_text("version https://git-lfs"),
            "model.safetensors is damaged",
        ),
        (lambda d: (d / "model.safetensors").unlink(), "neither model.safetensors nor pytorch_model.bin"),
        (
            lambda d: rewrite_config(d, num_hidden_layers=3),
            "the weights lack bert.encoder.layer.2.* and 13 more",
        ),
        (
            lambda d: rewrite_config(d, num_hidden_layers=1),
            "the weights have bert.encoder.layer.1.*but config.json only 1",
        ),
        (
            lambda d: rewrite_config(d, intermediate_size=64),
            r"has shape \(48, 32\), but config.json asks for \(64, 32\)",
        ),
        (
            lambda d: rewrite_weights(d, lambda w: w | {"qa_outputs.bias": torch.full((2,), torch.nan)}),
            "not finite",
        ),
        (
            lambda d: (d / "vocab.txt").unlink() or (d / "tokenizer.json").unlink(),
            "no tokenizer that can be used",
        ),
        (grow_vocabulary, "ids up to 50, but the model embeds 24 tokens"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(tmp_path: Path, damage: Any, said: str) -> None:
    """Each way in which a model directory can be wrong is one clear error."""
    directory = write_reader(tmp_path)
    damage(directory)
    with pytest.raises(ModelError, match=said):
        load_reader(directory)


def test_a_file_or_a_revision_of_a_directory_is_refused(tmp_path: Path) -> None:
    """A file in place of a directory, and a revision of a directory, are errors that say what is meant."""
    directory = write_reader(tmp_path)
    with pytest.raises(ModelError, match=r"is a file; give the directory"):
        load_reader(directory / "model.safetensors")
    with pytest.raises(ModelError, match=r"revision .* can only be chosen for a Hub id"):
        load_reader(directory, revision="main")


@pytest.mark.parametrize("pickled", [False, True])
def test_hub_ids_are_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pickled: bool) -> None:
    """A Hub id is fetched at its revision, only the files that are needed, the pickle only where there is no
    other.
    """
    directory = write_reader(tmp_path)
    if pickled:
        rewrite_weights(directory, lambda weights: weights, "pytorch_model.bin")
    asked: list[list[str]] = []

    def download(name: str, revision: str | None, allow_patterns: list[str]) -> str:
        assert (name, revision) == ("owner/name", "v1")
        asked.append(allow_patterns)
        return str(directory)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert isinstance(load_reader("owner/name", revision="v1"), LoadedReader)
    assert ["pytorch_model.bin" in patterns for patterns in asked] == ([False, True] if pickled else [False])


def test_a_failed_download_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the Hub's client raises becomes a ModelError with the name and the reason."""

    def fail(*_: object, **__: object) -> str:
        raise ConnectionError("no network\ndetails")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(ModelError, match=r"owner/name.*ConnectionError no network$"):
        model_directory("owner/name")


def test_masters_replace_the_models_own_weights(tmp_path: Path) -> None:
    """Weights given to `save_reader` are written in place of the model's, in fp32; unknown names are
    refused.
    """
    reader = load_reader(write_reader(tmp_path))
    masters = {name: parameter.detach().clone() + 1 for name, parameter in reader.model.named_parameters()}
    reader.model.bfloat16()
    saved = save_reader(
        reader.model, reader.tokenizer, tmp_path / "saved", weights=masters, extra={"run.json": "{}"}
    )
    written = load_file(saved / "model.safetensors")
    assert all(torch.equal(written[name], master) for name, master in masters.items())
    assert (saved / "run.json").read_text(encoding="utf-8") == "{}"
    with pytest.raises(ModelError, match="no weights called other"):
        save_reader(reader.model, reader.tokenizer, tmp_path / "saved", weights={"other": torch.zeros(1)})


def test_saving_again_replaces_the_whole_directory(tmp_path: Path) -> None:
    """A model directory is replaced with nothing of the old one left; one with other things in it is not
    touched.
    """
    reader = load_reader(write_reader(tmp_path))
    saved = save_reader(reader.model, reader.tokenizer, tmp_path / "saved", extra={"old.txt": "x"})
    save_reader(reader.model, reader.tokenizer, saved)
    assert not (saved / "old.txt").exists()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []
    (saved / "photos").mkdir()
    with pytest.raises(ModelError, match=r"other things than a model"):
        save_reader(reader.model, reader.tokenizer, saved)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(ModelError, match=r"other things than a model"):
        save_reader(reader.model, reader.tokenizer, tmp_path / "home")
    with pytest.raises(ModelError, match=r"is a file"):
        save_reader(reader.model, reader.tokenizer, tmp_path / "home" / "letter.txt")


def test_a_failed_save_leaves_the_old_directory(tmp_path: Path) -> None:
    """When writing fails the old directory is as it was and nothing is left beside it."""
    reader = load_reader(write_reader(tmp_path))
    saved = save_reader(reader.model, reader.tokenizer, tmp_path / "saved")
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    with pytest.raises(FileNotFoundError), atomic_directory(saved) as temporary:
        (temporary / "no" / "such" / "directory").write_text("", encoding="utf-8")
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_fingerprint_follows_weights_and_configuration(tmp_path: Path) -> None:
    """The fingerprint is that of configuration and weights, wherever the directory stands."""
    one = write_reader(tmp_path / "one")
    assert model_fingerprint(one) == model_fingerprint(write_reader(tmp_path / "two"))
    assert model_fingerprint(one) != model_fingerprint(write_reader(tmp_path / "three", seed=1))
    before = model_fingerprint(one)
    rewrite_config(one, hidden_dropout_prob=0.3)
    assert model_fingerprint(one) != before


def test_saved_configuration_has_no_traces(tmp_path: Path) -> None:
    """config.json names the architecture and fp32, not where the model came from or how it ran."""
    reader = load_reader(write_reader(tmp_path))
    reader.model.config._attn_implementation = "eager"
    saved = save_reader(reader.model, reader.tokenizer, tmp_path / "saved")
    content = json.loads((saved / "config.json").read_text(encoding="utf-8"))
    assert content["architectures"] == ["BertForQuestionAnswering"]
    assert content["dtype"] == "float32"
    assert str(tmp_path) not in json.dumps(content)
    assert not [key for key in content if "attn_implementation" in key]
