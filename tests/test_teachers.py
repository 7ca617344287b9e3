"""`distil.teachers`: teachers of any family teach any student, several at once; what they say is computed
once and shared.
"""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import tomllib
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForQuestionAnswering

from forked_runs import Blow, Runs
from test_run import RECIPE, SHORT, examples, log
from tiny_models import configuration, write_byte_level_bpe, write_reader
from tinyreader.data import Example, write_squad
from tinyreader.distil import teachers
from tinyreader.distil.recipe import Recipe, make_recipe
from tinyreader.distil.run import run_recipe
from tinyreader.distil.teachers import Teacher, check_windows, outputs_folder
from tinyreader.errors import RunError, SettingsError
from tinyreader.models import save_reader
from tinyreader.models.reader import new_model
from tinyreader.progress import Progress
from tinyreader.runtimes.openvino import open_openvino
from tinyreader.tokenizer import load_tokenizer

STUDENT = ("student.init=random", "student.model=bert/reader", "student.shape=2l-32d")
MPNET = (*STUDENT, "teacher.model=mpnet/reader", "stages.inside.attention=none")
ROBERTA = (*STUDENT, "teacher.model=roberta")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with teachers of three families, each with its own tokenizer, and data."""
    folder = tmp_path_factory.mktemp("teachers")
    write_reader(folder / "bert", n_layers=4)
    write_reader(folder / "mpnet", "mpnet", n_layers=4)
    write_byte_level_bpe(folder / "bpe")
    config = configuration("roberta", n_layers=4, vocab_size=300, max_position_embeddings=202)
    model = new_model(config, 0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    save_reader(model, load_tokenizer(folder / "bpe"), folder / "roberta")
    write_squad(examples(1, 12), folder / "train.json")
    write_squad(examples(2, 8), folder / "dev.json")
    (folder / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    return folder


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory, as the working directory."""
    monkeypatch.chdir(place)
    return place


def recipe(*overrides: str) -> Recipe:
    """The recipe of the tests of runs, changed."""
    return make_recipe(tomllib.loads(RECIPE) | {"name": "tiny"}, overrides=overrides)


def run(out: Path, *overrides: str) -> Any:
    """The changed recipe, carried out in this process."""
    return run_recipe(recipe(*overrides), out, Progress(quiet=True))


def logits_of(out: Path) -> np.ndarray[Any, Any]:
    """What the one pass of a run's teacher left, in the order in which it was computed."""
    with closing(sqlite3.connect(out / "labels" / "outputs.sqlite")) as db:
        rows = db.execute("SELECT logits FROM outputs ORDER BY id").fetchall()
    return np.frombuffer(b"".join(logits for (logits,) in rows), dtype=np.float16)


@pytest.mark.parametrize("changes", [MPNET, ROBERTA, (*ROBERTA, "stages.inside.attention=probabilities")])
def test_any_family_teaches_bert(here: Path, tmp_path: Path, changes: tuple[str, ...]) -> None:
    """MPNet and byte-level RoBERTa teach a BERT student through both stages; the losses fall and are named as
    ever.
    """
    result = run(tmp_path / "out", *changes, "stages.answers.distillation_weight=1.0")
    assert AutoModelForQuestionAnswering.from_pretrained(result.student).config.model_type == "bert"
    steps = log(tmp_path / "out", "step")
    inside = [x for x in steps if x["stage"] == "inside"]
    assert {"embedding", "hidden.1", "hidden.2"} <= inside[0]["terms"].keys()
    assert ("attention.1" in inside[0]["terms"]) == ("mpnet" not in " ".join(changes))
    answers = [x["loss"] for x in steps if x["stage"] == "answers"]
    assert inside[-1]["loss"] < inside[0]["loss"]
    assert np.mean(answers[-4:]) < np.mean(answers[:4])
    assert len(list((tmp_path / "out" / "pairs").iterdir())) == 1


def test_killed_and_begun_again_it_is_the_same_student(place: Path, tmp_path: Path) -> None:
    """Kill -9 while windows are paired, states compared and distributions carried: the same bits come out."""
    quick = (
        "stages.inside.max_steps=4",
        "stages.answers.max_steps=4",
        "evaluation.every_steps=",
        "evaluation.choose_best=",
    )
    options = [part for change in (*ROBERTA, *quick) for part in ("--set", change)]
    with Runs(place) as runs:
        assert runs("distil", "recipe.toml", *options, out=tmp_path / "whole").code == 0
        out, codes = tmp_path / "killed", []
        for file, text in (
            ("pairs", ""),
            ("log.jsonl", '"stage": "inside", "step": 3,'),
            ("labels", ""),
            ("log.jsonl", '"stage": "answers", "step": 2,'),
        ):
            codes.append(
                runs("distil", "recipe.toml", *options, out=out, blow=Blow(0.0, file=file, text=text)).code
            )
        ended = runs("distil", "recipe.toml", *options, out=out)
        assert ended.code == 0, ended.stderr
    assert codes.count(-signal.SIGKILL) >= 2
    found, wanted = (load_file(each / "student" / "model.safetensors") for each in (out, tmp_path / "whole"))
    assert [name for name, tensor in wanted.items() if not torch.equal(found[name], tensor)] == []


def test_another_tokenizer_of_the_teacher_is_another_run(here: Path, tmp_path: Path) -> None:
    """Where it decides what is carried where, it is part of the run."""
    shutil.copytree(here / "mpnet", tmp_path / "mpnet")
    named = [*SHORT, *MPNET, f"teacher.model={tmp_path}/mpnet/reader"]
    run(tmp_path / "out", *named)
    path = tmp_path / "mpnet" / "reader" / "tokenizer.json"
    content = json.loads(path.read_text("utf-8"))
    vocabulary = content["model"]["vocab"]
    vocabulary["bridge"], vocabulary["built"] = vocabulary["built"], vocabulary["bridge"]
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(RunError, match="with another teacher"):
        run(tmp_path / "out", *named)


def test_windows_that_do_not_line_up_are_refused_before_work(here: Path, tmp_path: Path) -> None:
    """Hidden states need a window in one piece; predictions do not, and read it in several."""
    longer = [*SHORT, *ROBERTA, "data.max_seq_len=62", "data.train=wide.json"]
    text = "x " * 40 + "abcdefghijklmnopqrstuvw " * 8
    write_squad([Example("w", "who built it ?", text)], here / "wide.json")
    with pytest.raises(
        SettingsError, match=r"stage 'inside' compares .* but 1 of its 1 windows have more tokens"
    ):
        run(tmp_path / "out", *longer)
    assert not (tmp_path / "out" / "identity.json").exists()
    content = recipe(*longer).resolved()
    content["stages"] = content["stages"][1:]
    run_recipe(make_recipe(content), tmp_path / "answers", Progress(quiet=True))
    assert np.isfinite(logits_of(tmp_path / "answers")).all()


def test_several_teachers_are_one_opinion(here: Path, tmp_path: Path) -> None:
    """Three families at once: each is asked once, the record names all, and the weights change what is
    learned.
    """
    more = 'more_teachers=[{name = "own", model = "bert/reader"}, {name = "byte", model = "roberta", weight = 2.0}]'
    result = run(tmp_path / "out", *SHORT, *MPNET, more)
    assert len(result.record["identity"]["teacher"].split()) == 3
    told = log(tmp_path / "out", "teacher")
    assert len({line["outputs"] for line in told}) == 3
    other = run(tmp_path / "other", *SHORT, *MPNET, more, "more_teachers.byte.weight=9.0")
    first = log(tmp_path / "out", "step")[-1]["terms"]["prediction"]
    assert log(tmp_path / "other", "step")[-1]["terms"]["prediction"] != first
    assert other.record["identity"]["teacher"] == result.record["identity"]["teacher"]
    with pytest.raises(RunError, match=r"more_teachers.byte.weight: 2.0 -> 9.0"):
        run(tmp_path / "out", *SHORT, *MPNET, more, "more_teachers.byte.weight=9.0")


@pytest.mark.parametrize("teacher", [MPNET, (*STUDENT, "teacher.model=bert/reader")])
def test_openvino_says_what_torch_says(here: Path, tmp_path: Path, teacher: tuple[str, ...]) -> None:
    """The engine for passes may be chosen: the outputs are those of torch to what half precision keeps."""
    for engine in ("torch", "openvino"):
        run(tmp_path / engine, *SHORT, *teacher, f"training.teacher_engine={engine}")
    one, other = logits_of(tmp_path / "torch").astype(float), logits_of(tmp_path / "openvino").astype(float)
    assert one.any()
    assert other == pytest.approx(one, abs=2e-2)


def test_outputs_are_shared_by_runs(here: Path, tmp_path: Path) -> None:
    """A second run that learns from the same windows computes nothing, says so, and becomes the same
    student.
    """
    shared = f"training.teacher_outputs={tmp_path}/shared"
    first = run(tmp_path / "a", *SHORT, *MPNET, shared)
    path = tmp_path / "shared" / "outputs.sqlite"
    before = path.stat().st_mtime_ns
    second = run(tmp_path / "b", *SHORT, *MPNET, shared)
    assert path.stat().st_mtime_ns == before
    assert not (tmp_path / "b" / "labels").exists()
    assert not log(tmp_path / "b", "teacher")
    (found,) = log(tmp_path / "b", "teacher_found")
    assert second.record["teacher_pass_seconds"] == 0
    assert second.record["teacher_pass_seconds_of_others"] == found["seconds"]
    assert found["seconds"] == pytest.approx(first.record["teacher_pass_seconds"], abs=0.01)
    assert "teacher_pass_seconds_of_others" not in first.record
    alone = run(tmp_path / "c", *SHORT, *MPNET)
    for other in (second, alone):
        assert (other.student / "model.safetensors").read_bytes() == (
            first.student / "model.safetensors"
        ).read_bytes()
    run(tmp_path / "d", *SHORT, *ROBERTA, shared)
    assert not log(tmp_path / "d", "teacher_taken")
    assert log(tmp_path / "d", "teacher")[0]["outputs"] != found["outputs"]


def test_where_outputs_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the run's directory, in the user's cache, or where the recipe says."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    out = tmp_path / "out"
    assert outputs_folder(recipe(), out) == out / "labels"
    assert (
        outputs_folder(recipe("training.teacher_outputs=cache"), out)
        == tmp_path / "tinyreader" / "teacher-outputs"
    )
    assert outputs_folder(recipe("training.teacher_outputs=some/where"), out) == Path("some/where")


def test_only_a_teacher_that_reads_the_students_windows_must_take_them(tmp_path: Path) -> None:
    """A teacher with another tokenizer cuts its own; the message names which teacher is too short."""
    tokenizer = load_tokenizer(write_reader(tmp_path, n_layers=1))
    short = Teacher("small", tmp_path, tokenizer, 1.0, 64, 0, other_tokenizer=False, fingerprint="f")
    with pytest.raises(
        SettingsError, match=r"data\.max_seq_len is 100, but the teacher 'small' takes at most 64 tokens"
    ):
        check_windows([short], 100)
    check_windows([short], 64)
    check_windows(
        [Teacher("small", tmp_path, tokenizer, 1.0, 64, 0, other_tokenizer=True, fingerprint="f")], 100
    )


def test_a_teacher_that_changes_under_a_run_is_found(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an engine reads from the directory later must be what the run began with: outputs carry that name
    for others.
    """
    shutil.copytree(here / "mpnet", tmp_path / "mpnet")
    weights = tmp_path / "mpnet" / "reader" / "model.safetensors"

    def opened(*arguments: Any) -> Any:
        save_file({n: t * 1.5 for n, t in load_file(weights).items()}, weights, metadata={"format": "pt"})
        return open_openvino(*arguments)

    monkeypatch.setattr(teachers, "open_openvino", opened)
    changes = (*SHORT, *MPNET, f"teacher.model={tmp_path}/mpnet/reader", "training.teacher_engine=openvino")
    with pytest.raises(
        RunError, match=r"weights of the teacher in .*mpnet/reader have changed since the run began"
    ):
        run(tmp_path / "out", *changes, f"training.teacher_outputs={tmp_path}/shared")
    with closing(sqlite3.connect(tmp_path / "shared" / "outputs.sqlite")) as db:
        assert db.execute("SELECT COUNT(*) FROM outputs").fetchone() == (0,)


def test_a_place_for_outputs_that_cannot_be_is_refused_before_training(here: Path, tmp_path: Path) -> None:
    """Not after the stages before the one that needs it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"training\.teacher_outputs = .*file/outputs cannot be made"):
        run(tmp_path / "out", *SHORT, *MPNET, f"training.teacher_outputs={tmp_path}/file/outputs")
    assert not (tmp_path / "out" / "stages").exists()
