"""`report.publish`: which files of a directory go to the Hub, and without which paths."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from tiny_models import write_reader
from tinyreader.errors import ModelError, SettingsError
from tinyreader.report.publish import check_card, check_name, plan, redacted

CARD = "---\nlicense: mit\n---\n# A reader\n"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A reader's directory with a card."""
    directory = write_reader(tmp_path)
    (directory / "README.md").write_text(CARD)
    return directory


def test_what_belongs_to_a_reader_goes_the_largest_last(model: Path) -> None:
    """Weights, configuration, tokenizer, settings, record, card and engine files are planned as they are."""
    (model / "reader.json").write_text('{"settings": {}}')
    (model / "onnx").mkdir()
    (model / "onnx" / "model.onnx").write_bytes(b"x" * 10)
    planned = plan(model)
    names = [file.name for file in planned.files]
    assert {
        "model.safetensors",
        "config.json",
        "tokenizer.json",
        "reader.json",
        "README.md",
        "onnx/model.onnx",
    } <= set(names)
    assert [file.size for file in planned.files] == sorted(file.size for file in planned.files)
    assert planned.size == sum((model / name).stat().st_size for name in names)
    assert not any(file.is_changed for file in planned.files)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("pytorch_model.bin", "pytorch_model.bin (may run code when it is loaded)"),
        ("training_args.bin", "training_args.bin (may run code when it is loaded)"),
        ("optimizer.pt", "optimizer.pt (of a training run)"),
        ("checkpoint-100/model.safetensors", "checkpoint-100/model.safetensors (of a training run)"),
        ("log.jsonl", "log.jsonl (of a training run)"),
        ("train.json", "train.json"),
        (".env", ".env"),
        (".git/config", ".git/config"),
        ("deep/er/config.json", "deep/er/config.json"),
    ],
)
def test_what_does_not_belong_is_refused_or_left_out(model: Path, name: str, reason: str) -> None:
    """Pickles, checkpoints and strays stop the plan, with their kind; left out by choice they are named."""
    (model / name).parent.mkdir(parents=True, exist_ok=True)
    (model / name).write_bytes(pickle.dumps({}))
    with pytest.raises(ModelError, match="do not belong to a reader") as error:
        plan(model)
    assert f"{reason}. Take them out" in str(error.value)
    planned = plan(model, leave_out_others=True)
    assert planned.left_out == (name,)
    assert name not in {file.name for file in planned.files}


def test_a_pickle_for_weights_is_never_published(model: Path) -> None:
    """A directory whose weights are a pickle, or no safetensors at all, is refused even with
    --leave-out-others.
    """
    weights = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(pickle.dumps({}))
    with pytest.raises(ModelError, match=r"model\.safetensors is damaged"):
        plan(model, leave_out_others=True)
    (model / "model.safetensors").write_bytes(weights[:-10])
    with pytest.raises(ModelError, match=r"model\.safetensors is damaged"):
        plan(model)
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pytorch_model\.bin is a pickle"):
        plan(model, leave_out_others=True)


def test_an_engines_files_are_weights_enough(model: Path) -> None:
    """What `export` leaves for one engine is published without safetensors; a pickle beside it is not."""
    (model / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"neither model\.safetensors nor"):
        plan(model)
    for name in ("openvino_model.xml", "openvino_model.bin"):
        (model / name).write_bytes(b"x")
    assert {"openvino_model.xml", "openvino_model.bin"} <= {file.name for file in plan(model).files}
    (model / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"pytorch_model\.bin is a pickle"):
        plan(model)


def test_a_missing_card_says_how_to_make_one(model: Path) -> None:
    """Without README.md nothing goes, and the message names the commands."""
    (model / "README.md").unlink()
    with pytest.raises(ModelError, match="has no model card") as error:
        plan(model)
    assert f"tinyreader card {model} --report report/ -o {model / 'README.md'}" in str(error.value)


def test_links_to_nothing_and_other_directories_are_refused(model: Path, tmp_path: Path) -> None:
    """A dangling link, and a directory that is no reader's, are errors with their place."""
    (model / "vocab.txt").unlink(missing_ok=True)
    (model / "vocab.txt").symlink_to(tmp_path / "gone")
    with pytest.raises(ModelError, match=r"vocab\.txt is a link to nothing"):
        plan(model)
    with pytest.raises(ModelError, match=r"has no config\.json"):
        plan(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# no metadata", "has no metadata"),
        ("---\na: [\n---\n", "is not valid"),
        ("---\nmodel-index: 5\n---\n", "is not valid"),
    ],
)
def test_cards_with_wrong_metadata_are_refused(tmp_path: Path, text: str, message: str) -> None:
    """What the client's own classes do not accept is found before anything is sent."""
    with pytest.raises(ModelError, match=message):
        check_card(text, tmp_path / "README.md")


def test_absolute_paths_do_not_leave(model: Path) -> None:
    """Records of older runs and of other programs are sent with the names of files, not with their places."""
    (model / "run.json").write_text(json.dumps({"data": {"/a/train.json": "1", "b/c": "2"}}))
    files = {file.name: file for file in plan(model).files}
    assert [name for name, file in files.items() if file.is_changed] == ["run.json"]
    content = files["run.json"].content
    assert isinstance(content, bytes)
    assert json.loads(content) == {"data": {"train.json": "1", "b/c": "2"}}
    (model / "run.json").write_text("{")
    with pytest.raises(ModelError, match=r"run\.json"):
        plan(model)


@pytest.mark.parametrize("name", ["bridges", "/bridges", "ada/", "a/b/c", ""])
def test_names_that_are_no_repository_are_refused(name: str) -> None:
    """A repository is owner/name."""
    with pytest.raises(SettingsError, match="it looks like owner/name"):
        check_name(name)


def test_errors_are_shown_without_the_token() -> None:
    """Whatever an error says, the token in it is replaced."""
    assert redacted(ValueError("401 for\nBearer hf_abc"), "hf_abc") == "ValueError: 401 for Bearer <token>"
