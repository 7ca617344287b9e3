"""`tinyreader.distil.distil`: students from loaded models and examples, without recipe or run directory."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

import tinyreader.distil
from test_run import examples
from tiny_models import write_reader
from tinyreader import Reader
from tinyreader.data import write_squad
from tinyreader.distil import (
    IntermediateStage,
    LabelsStage,
    PredictionStage,
    StudentFromTeacher,
    TrainingSettings,
    distil,
)
from tinyreader.errors import RunError, SettingsError
from tinyreader.windows import WindowSettings

WINDOWS = WindowSettings(max_seq_len=40, doc_stride=8)
TRAINING = TrainingSettings(seed=7, precision="fp32", log_every_steps=1, trackers=())
SHORTER = StudentFromTeacher(init="teacher", shape="2l-32d")
INSIDE = IntermediateStage(name="inside", kind="intermediate", batch_size=4, learning_rate=1e-3, max_steps=2)
ANSWERS = PredictionStage(name="answers", kind="prediction", batch_size=4, learning_rate=1e-3, max_steps=2)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a teacher of four layers."""
    return write_reader(tmp_path_factory.mktemp("teacher"), n_layers=4)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary directories are made, to see that none is left."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


def tensors(made: Any) -> dict[str, torch.Tensor]:
    """The student's weights."""
    return dict(made.student.model.state_dict())


def make(teacher: Any, student: Any = SHORTER, stages: Any = (INSIDE, ANSWERS), **options: Any) -> Any:
    """A student, from the settings of these tests."""
    given = {"windows": WINDOWS, "training": TRAINING, **options}
    return distil(teacher, student, examples(1, 12), stages, **given)


def test_loaded_models_give_the_same_student_as_their_directory(teacher: Path, temporary: Path) -> None:
    """Through both stages, bit for bit; the models given are not changed, and nothing is left on disk."""
    model, tokenizer = (of.from_pretrained(teacher) for of in (AutoModelForQuestionAnswering, AutoTokenizer))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    in_memory = make((model, tokenizer), dev=examples(2, 8))
    by_name = make(teacher, dev=examples(2, 8))
    assert all(torch.equal(tensor, tensors(by_name)[name]) for name, tensor in tensors(in_memory).items())
    assert in_memory.scores == by_name.scores
    assert in_memory.scores["f1"] >= 0
    assert [line["stage"] for line in in_memory.log if line["event"] == "step"] == ["inside"] * 2 + [
        "answers"
    ] * 2
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not list(temporary.iterdir())


def test_a_loaded_student_is_where_training_starts(teacher: Path) -> None:
    """A student in bf16 learns in fp32 masters and comes back as a reader that can be saved and asked."""
    student, tokenizer = (
        of.from_pretrained(teacher) for of in (AutoModelForQuestionAnswering, AutoTokenizer)
    )
    labels = LabelsStage(name="labels", kind="labels", batch_size=4, learning_rate=1e-3, max_steps=1)
    made = make(None, (student.bfloat16(), tokenizer), [labels])
    assert {tensor.dtype for tensor in made.student.model.parameters()} == {torch.float32}
    assert {tensor.dtype for tensor in student.parameters()} == {torch.bfloat16}
    assert made.scores == {}


def test_a_directory_that_is_kept_holds_one_run(teacher: Path, tmp_path: Path) -> None:
    """With `out` the same call finds its stages done; other weights under the same call are another run."""
    model, tokenizer = (of.from_pretrained(teacher) for of in (AutoModelForQuestionAnswering, AutoTokenizer))
    first = make((model, tokenizer), out=tmp_path / "out")
    again = make((model, tokenizer), out=tmp_path / "out")
    assert all(torch.equal(tensor, tensors(again)[name]) for name, tensor in tensors(first).items())
    assert len([line for line in again.log if line["event"] == "step"]) == 4
    with torch.no_grad():
        model.qa_outputs.bias += 1
    with pytest.raises(RunError, match="another teacher"):
        make((model, tokenizer), out=tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stages": []}, "stages = .*: should have at least 1 item"),
        ({"teacher": None}, r"stages\.inside\.kind = 'intermediate' needs a teacher"),
        (
            {"training": TrainingSettings(trackers=(), teacher_engine="openvino")},
            "'openvino' reads .* directory",
        ),
        (
            {"student": StudentFromTeacher(init="teacher", shape="2l-64d")},
            "width, 64, is more than its teacher's 32",
        ),
    ],
)
def test_what_is_wrong_is_refused_before_training(
    teacher: Path, temporary: Path, options: dict[str, Any], message: str
) -> None:
    """As in a recipe: with the place, the value and what to do."""
    model, tokenizer = (of.from_pretrained(teacher) for of in (AutoModelForQuestionAnswering, AutoTokenizer))
    with pytest.raises(SettingsError, match=message):
        make(**{"teacher": (model, tokenizer), **options})
    assert not list(temporary.iterdir())


def test_a_slow_tokenizer_is_refused(teacher: Path) -> None:
    """The message says which kinds are taken."""
    model = AutoModelForQuestionAnswering.from_pretrained(teacher)
    with pytest.raises(SettingsError, match=r"is a str; give a fast tokenizer"):
        make((model, "slow"))


def test_the_readme_shows_it(teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The block in the README runs, on a small teacher for a few steps, and leaves a reader."""
    readme = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    (block,) = re.findall(r"```python\n(from tinyreader\.data [^`]*distil\([^`]*)```", readme)
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    (tmp_path / "runs" / "teacher").symlink_to(teacher)
    write_squad(examples(1, 12), "train.json")
    write_squad(examples(2, 8), "dev.json")
    small = block.replace("6l-384d", "2l-32d").replace("max_steps=2000", "max_steps=1")
    small = small.replace("    dev=load", "    windows=WINDOWS,\n    dev=load")
    exec(small, {"WINDOWS": WINDOWS})
    assert Reader.from_pretrained("runs/mine/student").read("who built it ?", "x built it .") is not None


def test_the_names_load_on_first_use() -> None:
    """`__all__` resolves, and an unknown name is an AttributeError."""
    assert sorted(tinyreader.distil.__all__) == tinyreader.distil.__all__
    assert all(getattr(tinyreader.distil, name) is not None for name in tinyreader.distil.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        tinyreader.distil.no_such_name  # noqa: B018
