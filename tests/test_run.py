"""`distil.run`: a recipe becomes a student on disk, and neither a kill nor a signal changes which one."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

from forked_runs import Blow, Runs
from tiny_models import FAMILIES, write_reader
from tinyreader.data import Answer, Example, fingerprint, load_examples, write_squad
from tinyreader.distil.features import FeatureStore
from tinyreader.distil.provenance import teacher_seconds
from tinyreader.distil.recipe import Recipe, make_recipe
from tinyreader.distil.run import run_recipe
from tinyreader.errors import DataError, ModelError, RunError, SettingsError, TinyreaderError
from tinyreader.models import load_reader
from tinyreader.progress import Progress
from tinyreader.storage import directory_lock

RECIPE = """
[teacher]
model = "teacher/reader"

[student]
init = "teacher"
shape = "2l-32d"

[data]
train = "train.json"
dev = "dev.json"
max_seq_len = 40
doc_stride = 8

[evaluation]
every_steps = 5
choose_best = "f1"

[training]
seed = 7
precision = "fp32"
checkpoint_every_steps = 2
log_every_steps = 1
trackers = []

[[stages]]
name = "inside"
kind = "intermediate"
epochs = 2
batch_size = 4
micro_batch_size = 2
learning_rate = 1e-3
dropout = 0.1
relation_weight = 0.5

[[stages]]
name = "answers"
kind = "prediction"
epochs = 2
batch_size = 4
learning_rate = 1e-3
dropout = 0.1
embeds_dropout = 0.1
distillation_weight = 0.5
"""


def examples(seed: int, n: int) -> list[Example]:
    """Questions on contexts of known and unknown words, some too long for one window, a quarter without an
    answer.
    """
    rng = random.Random(seed)
    made = []
    for number in range(n):
        words = [
            rng.choice(["the", "bridge", "was", "built", "in", "it", "a", "b", "c", "1811", "."])
            for _ in range(45)
        ]
        place = rng.randrange(5, 40)
        words[place] = "x"
        context = " ".join(words)
        start = len(" ".join(words[:place])) + 1
        answers = (Answer("x", start),) if number % 4 else ()
        made.append(
            Example(f"q{seed}-{number}", "who built it ?", context, answers, title=f"article {number}")
        )
    return made


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a teacher of four layers, data and a recipe in two stages."""
    folder = tmp_path_factory.mktemp("place")
    write_reader(folder / "teacher", n_layers=4)
    write_squad(examples(1, 12), folder / "train.json")
    write_squad(examples(2, 8), folder / "dev.json")
    (folder / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    return folder


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory, as the working directory."""
    monkeypatch.chdir(place)
    return place


@pytest.fixture(scope="module")
def runs(place: Path) -> Iterator[Runs]:
    """Commands in children of one process."""
    with Runs(place) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def whole(place: Path, runs: Runs) -> Path:
    """The directory of the uninterrupted run."""
    ended = runs("distil", "recipe.toml", out=place / "whole")
    assert ended.code == 0, ended.stderr
    return place / "whole"


def recipe(*overrides: str) -> Recipe:
    """The recipe of the tests, changed."""
    import tomllib

    return make_recipe(tomllib.loads(RECIPE) | {"name": "tiny"}, overrides=overrides)


def run(out: Path, *overrides: str) -> Any:
    """The changed recipe, carried out in this process."""
    return run_recipe(recipe(*overrides), out, Progress(quiet=True))


def log(out: Path, event: str) -> list[dict[str, Any]]:
    """The lines of one kind in a run's log."""
    lines = (out / "log.jsonl").read_text("utf-8").splitlines()
    return [x for x in map(json.loads, lines) if x["event"] == event]


def assert_same_student(out: Path, expected: Path) -> None:
    """Equality of the final weights, and of those after each stage, bit for bit."""
    for name in (
        "student/model.safetensors",
        "stages/1-inside/weights.safetensors",
        "stages/2-answers/weights.safetensors",
    ):
        found, wanted = load_file(out / name), load_file(expected / name)
        assert found.keys() == wanted.keys()
        assert [n for n, t in wanted.items() if not torch.equal(found[n], t)] == [], name


def steps_of(out: Path) -> list[tuple[str, int]]:
    """Stage and step of every step in the log."""
    return [(x["stage"], x["step"]) for x in log(out, "step")]


def test_a_recipe_becomes_a_reader(whole: Path) -> None:
    """The student loads with Transformers' own classes, has the shape asked for and differs from where it
    started.
    """
    model = AutoModelForQuestionAnswering.from_pretrained(whole / "student")
    tokenizer = AutoTokenizer.from_pretrained(whole / "student")
    assert model.config.num_hidden_layers == 2
    assert model.config.hidden_size == 32
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    out = model(**tokenizer("who built it ?", "the bridge was built in x", return_tensors="pt"))
    assert out.start_logits.isfinite().all()
    trained = dict(model.named_parameters())
    last = load_file(whole / "stages" / "2-answers" / "weights.safetensors")
    assert all(torch.equal(p, last[f"student.{n}"]) for n, p in trained.items())
    first = load_file(whole / "stages" / "1-inside" / "weights.safetensors")
    teacher = load_reader(whole.parent / "teacher" / "reader").model
    assert not torch.equal(first["student.qa_outputs.weight"], trained["qa_outputs.weight"])
    assert torch.equal(first["student.qa_outputs.weight"], teacher.get_parameter("qa_outputs.weight"))
    assert not torch.equal(
        first["student.bert.embeddings.word_embeddings.weight"],
        teacher.get_parameter("bert.embeddings.word_embeddings.weight"),
    )
    assert not list((whole / "student").glob("*.bin"))


def test_the_record_says_what_was_done(whole: Path) -> None:
    """run.json holds the resolved recipe, fingerprints, versions, times and scores; the log has every step
    once.
    """
    record = json.loads((whole / "student" / "run.json").read_text("utf-8"))
    assert record["recipe"]["stages"][0]["weight_decay"] == 0.01  # a default, written out
    assert record["recipe"]["training"]["seed"] == 7
    assert make_recipe(record["recipe"]).fingerprint() == record["identity"]["recipe"]
    assert set(record["identity"]["data"]) == {"train.json"}
    assert record["identity"]["precision"] == "fp32"
    data = record["data"]
    assert data["training"]["train.json"]["fingerprint"] == record["identity"]["data"]["train.json"]
    assert (
        data["training"]["train.json"]["questions"]
        == data["training"]["train.json"]["windows"]["examples"]
        == 12
    )
    assert data["training"]["train.json"]["windows"]["answers_outside_every_window"] == 0
    assert data["rewritten"] == {}
    dev = load_examples(whole.parent / "dev.json")
    assert data["dev"] == {"name": "dev.json", "split": None, "questions": 8, "fingerprint": fingerprint(dev)}
    assert {"torch", "transformers", "python"} <= record["environment"]["versions"].keys()
    assert record["student"]["parameters"] > 1000
    n_steps = [stage["steps"] for stage in record["stages"]]
    assert [stage["name"] for stage in record["stages"]] == ["inside", "answers"]
    assert all(stage["seconds"] > 0 and stage["skipped_steps"] == 0 for stage in record["stages"])
    assert steps_of(whole) == [("inside", n + 1) for n in range(n_steps[0])] + [
        ("answers", n + 1) for n in range(n_steps[1])
    ]
    assert {"exact", "f1", "HasAns_f1", "NoAns_f1"} <= record["scores"].keys()
    assert log(whole, "evaluation")[0]["scores"].keys() == record["scores"].keys()
    best = [stage["best_step"] for stage in record["stages"]]
    assert best[0] is None  # no choice by scores where the answer head is not trained
    assert best[1] in (5, 10, n_steps[1])  # the last step is measured too
    assert set(log(whole, "step")[0]["terms"]) == {
        "hidden.1",
        "hidden.2",
        "embedding",
        "attention.1",
        "attention.2",
        "relation.query",
        "relation.key",
        "relation.value",
    }
    assert set(log(whole, "step")[-1]["terms"]) == {"prediction", "labels"}


def test_the_command_ends_with_one_json_document(runs: Runs, whole: Path) -> None:
    """A finished run, asked for again, does nothing new; stdout ends with the student's place and scores."""
    before = (whole / "student" / "model.safetensors").read_bytes()
    ended = runs("distil", "recipe.toml", out=whole)
    assert ended.code == 0
    answer = json.loads(ended.stdout.splitlines()[-1])
    assert answer["student"] == str(whole / "student")
    assert answer["scores"]["f1"] >= 0
    assert "is done already" in ended.stderr
    assert (whole / "student" / "model.safetensors").read_bytes() == before


def test_other_processes_and_this_one_agree(here: Path, whole: Path) -> None:
    """The same recipe carried out in another process and directory gives the same bits."""
    result = run(here / "again")
    assert_same_student(result.student.parent, whole)
    theirs = json.loads((whole / "student" / "run.json").read_text("utf-8"))
    assert result.record["identity"] == theirs["identity"]
    assert result.scores == theirs["scores"]


def test_bookkeeping_does_not_change_the_student(here: Path, whole: Path) -> None:
    """Checkpoints, logging and trackers may change, between two starts of one run too, without changing a
    weight.
    """
    out = here / "bookkeeping"
    stopper = [
        "training.checkpoint_every_steps=",
        "training.log_every_steps=3",
        'training.trackers=["tensorboard"]',
    ]
    run(out, *stopper)
    assert_same_student(out, whole)
    assert list((out / "tracking").glob("events*"))
    run(out)


def test_a_directory_of_an_earlier_version_is_told_apart_too(here: Path, tmp_path: Path) -> None:
    """Where a directory does not say which settings it was made with, another run is refused without naming
    them.
    """
    out = tmp_path / "out"
    run(out, *SHORT)
    note = json.loads((out / "identity.json").read_text("utf-8"))
    assert note.pop("settings")["training"]["seed"] == 7
    (out / "identity.json").write_text(json.dumps(note), encoding="utf-8")
    run(out, *SHORT)
    with pytest.raises(RunError, match=r"another run, with other settings\. Give"):
        run(out, *SHORT, "training.seed=8")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["training.seed=8"],
            r"holds another run, with other settings \(training.seed: 7 -> 8\)\. Give another --out",
        ),
        (
            ["data.train=dev.json"],
            r'with other settings \(data.train: "train.json" -> "dev.json"\) and other training data\. Give',
        ),
        (
            ["stages.inside.learning_rate=2e-3"],
            r"other settings \(stages.inside.learning_rate: 0.001 -> 0.002\)\.",
        ),
        (
            ["stages.inside.layer_map=[2, 4]", "stages.answers=", "evaluation.choose_best="],
            r"\(evaluation.every_steps: 5 -> null, .*, and \d+ more\) and other development data\.",
        ),
    ],
)
def test_a_directory_holds_one_run(here: Path, whole: Path, overrides: list[str], message: str) -> None:
    """Another recipe in the directory of a run is an error before anything there changes."""
    before = sorted((str(p), p.stat().st_mtime_ns) for p in whole.rglob("*") if p.name != ".lock")
    with pytest.raises(RunError, match=message):
        run(whole, *overrides)
    assert sorted((str(p), p.stat().st_mtime_ns) for p in whole.rglob("*") if p.name != ".lock") == before


def test_two_runs_cannot_share_a_directory(here: Path, whole: Path) -> None:
    """While one process works in a directory a second one is refused at once, and neither is disturbed."""
    with directory_lock(whole), pytest.raises(RunError, match="another process is at work in"):
        run(whole)


def test_half_written_files_are_swept_away(here: Path, whole: Path) -> None:
    """What a kill left under a temporary name is gone after the next start; the rest stays."""
    (whole / "stages" / "1-inside" / ".tmp-0a0b0c0d-best.safetensors").write_bytes(b"half")
    (whole / ".tmp-0a0b0c0d-student").mkdir()
    (whole / ".tmp-0a0b0c0d-student" / "model.safetensors").write_bytes(b"half")
    run(whole)
    assert not list(whole.rglob(".tmp-*"))
    assert (whole / "student" / "model.safetensors").is_file()


def test_changed_data_and_teachers_are_noticed(here: Path) -> None:
    """What stands under the same names is compared by content: new data or a new teacher is another run."""
    out = here / "content"
    short = [
        "stages.inside.max_steps=1",
        "stages.answers.max_steps=1",
        "evaluation.every_steps=",
        "evaluation.choose_best=",
    ]
    shutil.copytree(here / "teacher", here / "other-teacher")
    write_squad(examples(1, 12), here / "other.json")
    named = [*short, "teacher.model=other-teacher/reader", "data.train=other.json"]
    run(out, *named)
    write_squad(examples(3, 12), here / "other.json")
    with pytest.raises(RunError, match="with other training data"):
        run(out, *named)
    write_squad(examples(1, 12), here / "other.json")
    shutil.rmtree(here / "other-teacher")
    write_reader(here / "other-teacher", n_layers=4, seed=5)
    with pytest.raises(RunError, match="with another teacher"):
        run(out, *named)


def test_measuring_is_no_part_of_a_run_that_does_not_choose(here: Path) -> None:
    """Without choose_best development data may be left out, changed or added between two starts."""
    out = here / "measured"
    short = [
        "stages.inside.max_steps=1",
        "stages.answers.max_steps=1",
        "evaluation.choose_best=",
        "evaluation.every_steps=",
    ]
    assert run(out, *short).scores["f1"] >= 0
    nothing = run(out, *short, "data.dev=")
    assert (nothing.scores, nothing.record["data"]["dev"]) == ({}, None)
    other = run(out, *short, "data.dev=train.json")
    assert other.scores["f1"] >= 0
    assert other.record["data"]["dev"]["fingerprint"] == fingerprint(load_examples("train.json"))


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (["data.train=nothing.json"], DataError, "nothing.json"),
        (["data.dev=nothing.json"], DataError, "nothing.json"),
        (["teacher.model=nowhere/reader"], ModelError, "nowhere/reader"),
        (["stages.inside.layer_map=[1, 9]"], SettingsError, "names layer 9"),
        (["student.shape=2l-32d-2h"], SettingsError, "teacher has 4 heads and the student 2"),
        (["data.max_seq_len=80"], SettingsError, "takes at most 64 tokens"),
        (["student.shape=5l-32d"], SettingsError, "5 layers"),
        (
            ["data.max_question_tokens=2"],
            DataError,
            "q2-0",
        ),  # the development data, read before the training data
        (
            ["data.max_question_tokens=2", "data.dev=", "evaluation.every_steps=", "evaluation.choose_best="],
            DataError,
            "q1-0",
        ),
        (["stages.inside.augment={synonyms = 'nothing.tsv'}"], DataError, "nothing.tsv"),
        (["stages.inside.augment={masked_lm = './nothing'}"], ModelError, "./nothing"),
    ],
)
def test_what_is_wrong_is_said_before_the_work(
    here: Path, tmp_path: Path, overrides: list[str], error: type[TinyreaderError], message: str
) -> None:
    """A wrong setting, file or model is an error that names it, and neither windows nor weights are made
    before.
    """
    with pytest.raises(error, match=message):
        run(tmp_path / "out", *overrides)
    assert not list(tmp_path.glob("out/stages/*"))
    assert not list(tmp_path.glob("out/features/*/counts.json"))


def test_a_stage_rewrites_its_data_first_and_keeps_the_result(here: Path, tmp_path: Path) -> None:
    """An augmented stage learns from rewritten copies, the other stage from the plain data; both are used
    again.
    """
    (here / "synonyms.tsv").write_text("bridge\triver\nbuilt\tmade\nthe\ta\nin\tnear\n", encoding="utf-8")
    augment = "stages.inside.augment={times = 3, synonyms = 'synonyms.tsv', replace_question_words = true}"
    short = [augment, "stages.inside.max_steps=2", "stages.answers.max_steps=2", "evaluation.every_steps=2"]
    result = run(tmp_path / "out", *short)
    (made,) = (tmp_path / "out" / "augmented").glob("*.jsonl.gz")
    copies = load_examples(made)
    (counted,) = log(tmp_path / "out", "augment")
    kept = result.record["data"]["rewritten"]["inside"]
    assert kept.items() >= counted["counts"].items()
    assert kept["windows"]["examples"] == len(copies)
    assert {c.id.partition("#")[0] for c in copies} == {e.id for e in examples(1, 12)}
    assert counted["counts"]["copied_examples"] == len(copies) > 12
    assert all(c.context[a.start : a.end] == "x" for c in copies for a in c.answers)
    sizes = sorted(len(FeatureStore(p)) for p in (tmp_path / "out" / "features").iterdir())
    assert len(sizes) == 2
    assert sizes[1] > 2 * sizes[0]
    before = made.stat()
    run(tmp_path / "out", *short)
    assert (made.stat().st_ino, made.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    (here / "synonyms.tsv").write_text("bridge\tlake\n", encoding="utf-8")
    with pytest.raises(RunError, match="data"):
        run(tmp_path / "out", *short)


def test_no_copy_is_lost_where_a_text_has_several_titles(here: Path, tmp_path: Path) -> None:
    """A text that stands in many articles is rewritten in each: every question of the data is learned
    from.
    """
    (here / "synonyms.tsv").write_text("bridge\triver\nbuilt\tmade\nthe\ta\nin\tnear\n", encoding="utf-8")
    many = [replace(e, id=f"{e.id}-{n}", title=f"{n}") for e in examples(4, 4) for n in range(10)]
    write_squad(many, here / "many.json")
    augment = "stages.inside.augment={times = 1, synonyms = 'synonyms.tsv', replace_question_words = true}"
    result = run(tmp_path / "out", *SHORT, "data.train=many.json", augment)
    (made,) = (tmp_path / "out" / "augmented").glob("*.jsonl.gz")
    assert {c.id.partition("#")[0] for c in load_examples(made)} == {e.id for e in many}
    assert result.record["data"]["rewritten"]["inside"]["examples"] == 40


def test_copies_in_data_to_be_rewritten_are_found_before_the_work(here: Path, tmp_path: Path) -> None:
    """An id that a rewriting would refuse is said when the data is first read; without a rewriting it may be
    anything.
    """
    (here / "synonyms.tsv").write_text("bridge\triver\n", encoding="utf-8")
    write_squad([*examples(1, 3), replace(examples(5, 1)[0], id="q#aug1")], here / "late.json")
    augment = "stages.inside.augment={synonyms = 'synonyms.tsv'}"
    with pytest.raises(DataError, match="'q#aug1' is already a rewritten copy"):
        run(tmp_path / "out", *SHORT, "data.train=late.json", augment)
    assert not (tmp_path / "out").exists()
    run(tmp_path / "out", *SHORT, "data.train=late.json")


@pytest.mark.skipif(os.name == "nt", reason="named pipes")
def test_a_pipe_is_no_data_for_a_run(here: Path, tmp_path: Path) -> None:
    """Training data is read more than once: a pipe is refused at once, before a byte of it is taken."""
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(DataError, match="write it to a file first"):
        run(tmp_path / "out", *SHORT, f"data.train={tmp_path}/pipe.json")


def test_each_pass_of_the_teacher_has_its_own_place(here: Path, tmp_path: Path) -> None:
    """Stages that learn from as many windows, but others, do not overwrite each other's outputs; the times
    add up.

    A window that both have is read once.
    """
    stage = {"kind": "prediction", "batch_size": 4, "learning_rate": 1e-3, "max_steps": 1}
    content = recipe(*SHORT).resolved() | {
        "stages": [stage | {"name": "inside"}, stage | {"name": "answers"}]
    }
    changed = make_recipe(content)
    result = run_recipe(changed, tmp_path / "out", Progress(quiet=True))
    outputs = tmp_path / "out" / "labels" / "outputs.sqlite"
    told = log(tmp_path / "out", "teacher")
    assert len({x["outputs"] for x in [*told, *log(tmp_path / "out", "teacher_taken")]}) == 2
    assert sum(x["windows"] for x in [*told, *log(tmp_path / "out", "teacher_taken")]) == 8
    assert told[0]["windows"] == 4
    assert result.record["teacher_pass_seconds"] == pytest.approx(sum(x["seconds"] for x in told))
    before = outputs.stat().st_mtime_ns
    for number in (1, 2):
        shutil.rmtree(next((tmp_path / "out" / "stages").glob(f"{number}-*")))
    again = run_recipe(changed, tmp_path / "out", Progress(quiet=True))
    assert outputs.stat().st_mtime_ns == before
    assert again.record["teacher_pass_seconds"] == result.record["teacher_pass_seconds"]


def test_rejected_examples_are_written_out(here: Path, tmp_path: Path) -> None:
    """With on_bad = "skip" what is left out of the training and development data is counted and kept with its
    reason.
    """
    for name, seed in (("bad-train.json", 1), ("bad-dev.json", 2)):
        content = json.loads((here / name.removeprefix("bad-")).read_text("utf-8"))
        content["data"][1]["paragraphs"][0]["qas"][0]["answers"][0]["answer_start"] = 100000 + seed
        (here / name).write_text(json.dumps(content), encoding="utf-8")
    said: list[str] = []
    progress = Progress(quiet=True)
    progress.say = said.append  # type: ignore[method-assign]
    short = [
        "stages.inside.max_steps=1",
        "stages.answers.max_steps=1",
        "evaluation.every_steps=",
        "evaluation.choose_best=",
    ]
    changed = recipe(*short, "data.train=bad-train.json", "data.dev=bad-dev.json", "data.on_bad=skip")
    run_recipe(changed, tmp_path / "out", progress)
    for name, file in (("bad-train.json", "rejected-1.jsonl"), ("bad-dev.json", "rejected-dev.jsonl")):
        assert any(text.startswith(f"{name}: ") and "1 skipped" in text and file in text for text in said)
        (line,) = (tmp_path / "out" / file).read_text("utf-8").splitlines()
        assert json.loads(line)["action"] == "skipped"


def test_stages_may_have_their_own_data_and_kind(here: Path, tmp_path: Path) -> None:
    """A stage's own data, its limit of windows and a stage of labels alone work side by side with the
    rest.
    """
    result = run(
        tmp_path / "out",
        "stages.answers.data=dev.json",
        "stages.inside.max_windows=6",
        "stages.answers.kind=labels",
        "stages.answers.distillation_weight=",
        "evaluation.every_steps=",
        "evaluation.choose_best=",
    )
    assert result.record["stages"][0]["windows"] == 12
    assert set(result.record["identity"]["data"]) == {"train.json", "dev.json"}
    assert len(list((tmp_path / "out" / "features").iterdir())) == 2
    assert not (tmp_path / "out" / "labels").exists()


def test_narrow_students_of_other_families_go_through(here: Path, tmp_path: Path) -> None:
    """A narrower student with projections, bf16, and a family that hides its attention run through both
    stages.
    """
    short = [
        "stages.inside.max_steps=2",
        "stages.answers.max_steps=2",
        "evaluation.every_steps=",
        "evaluation.choose_best=",
    ]
    narrow = run(
        tmp_path / "narrow",
        *short,
        "student.shape=2l-16d-4h",
        "training.precision=bf16",
        "student.init=random",
    )
    weights = load_file(tmp_path / "narrow" / "stages" / "1-inside" / "weights.safetensors")
    assert [n for n in weights if not n.startswith("student.")] == [
        f"projection.{m}.weight" for m in (0, 1, 2)
    ]
    assert AutoModelForQuestionAnswering.from_pretrained(narrow.student).config.hidden_size == 16
    write_reader(tmp_path / "mpnet", "mpnet", n_layers=4)
    closed = run(
        tmp_path / "closed", *short, f"teacher.model={tmp_path}/mpnet/reader", "stages.inside.attention=none"
    )
    assert AutoModelForQuestionAnswering.from_pretrained(closed.student).config.model_type == "mpnet"


def test_relations_alone_ask_for_no_layer_map(here: Path, tmp_path: Path) -> None:
    """A student narrower and deeper than its teacher, with other heads, learns relations without
    projections.
    """
    alone = [
        "stages.inside.hidden_weight=0",
        "stages.inside.embedding_weight=0",
        "stages.inside.attention=none",
    ]
    deep = ["student.init=random", "student.shape=5l-16d-2h", "stages.inside.relation_heads=8"]
    result = run(tmp_path / "out", *SHORT, *alone, *deep)
    assert AutoModelForQuestionAnswering.from_pretrained(result.student).config.num_hidden_layers == 5
    assert set(log(tmp_path / "out", "step")[0]["terms"]) == {
        "relation.query",
        "relation.key",
        "relation.value",
    }
    inside = result.record["stages"][0]
    assert (inside["relation_layer"], inside["relation_heads"]) == (4, 8)
    weights = load_file(tmp_path / "out" / "stages" / "1-inside" / "weights.safetensors")
    assert all(name.startswith("student.") for name in weights)
    with pytest.raises(
        SettingsError, match="relation_heads = 3 cannot share the teacher's width of 32 evenly"
    ):
        run(tmp_path / "odd", *SHORT, *alone, "stages.inside.relation_heads=3")


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_teaches(here: Path, tmp_path: Path, family: str) -> None:
    """A teacher of each family gives a student of half its layers through both stages; what shows inside is
    compared.
    """
    teacher = write_reader(tmp_path / "teacher", family, n_layers=4)
    attention = ["stages.inside.attention=none"] if family in ("mpnet", "deberta-v2") else []
    relations = ["stages.inside.relation_weight=0"] if family == "modernbert" else []
    result = run(tmp_path / "out", *SHORT, f"teacher.model={teacher}", *attention, *relations)
    assert AutoModelForQuestionAnswering.from_pretrained(result.student).config.model_type == family
    terms = log(tmp_path / "out", "step")[0]["terms"]
    assert {"embedding", "hidden.1", "hidden.2"} <= terms.keys()
    assert ({"attention.1", "attention.2"} <= terms.keys()) == (not attention)
    assert ("relation.value" in terms) == (not relations)


def test_a_damaged_stage_is_not_built_upon(here: Path, tmp_path: Path) -> None:
    """Weights of a finished stage that changed on disk are noticed, and the remedy works."""
    short = [
        "stages.inside.max_steps=1",
        "stages.answers.max_steps=1",
        "evaluation.every_steps=",
        "evaluation.choose_best=",
    ]
    run(tmp_path / "out", *short)
    first = (tmp_path / "out" / "student" / "model.safetensors").read_bytes()
    weights = tmp_path / "out" / "stages" / "2-answers" / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-3] ^= 255
    weights.write_bytes(content)
    with pytest.raises(RunError, match=r"weights.safetensors is missing or damaged\. Delete .*2-answers"):
        run(tmp_path / "out", *short)
    shutil.rmtree(weights.parent)
    run(tmp_path / "out", *short)
    assert (tmp_path / "out" / "student" / "model.safetensors").read_bytes() == first


SHORT = [
    "stages.inside.max_steps=1",
    "stages.answers.max_steps=1",
    "evaluation.every_steps=",
    "evaluation.choose_best=",
]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("stages/2-answers/done.json", "[]", r"done.json is missing or damaged\. Delete .*2-answers"),
        ("stages/2-answers/done.json", '{"ste', r"done.json is missing or damaged\. Delete .*2-answers"),
        ("identity.json", "[1]", "identity.json is damaged"),
    ],
)
def test_damaged_notes_are_named(here: Path, tmp_path: Path, file: str, content: str, message: str) -> None:
    """A note of the run that is no longer what was written is an error with its name and the remedy."""
    run(tmp_path / "out", *SHORT)
    (tmp_path / "out" / file).write_text(content, encoding="utf-8")
    with pytest.raises(RunError, match=message):
        run(tmp_path / "out", *SHORT)


def test_damaged_counts_are_made_again(here: Path, tmp_path: Path) -> None:
    """A store of windows whose last file is not whole is made once more, and the run is the same."""
    first = run(tmp_path / "out", *SHORT)
    (counts,) = (tmp_path / "out" / "features").glob("*/counts.json")
    before = counts.read_text("utf-8")
    counts.write_text("{", encoding="utf-8")
    assert run(tmp_path / "out", *SHORT).scores == first.scores
    assert counts.read_text("utf-8") == before


def test_a_finished_student_is_left_as_it_is(here: Path, tmp_path: Path) -> None:
    """What was laid beside a student stays when the command is repeated; a damaged student is written
    again.
    """
    student = run(tmp_path / "out", *SHORT).student
    before = (student / "run.json").read_bytes()
    weights = (student / "model.safetensors").read_bytes()
    (student / "README.md").write_text("a card", encoding="utf-8")
    (student / "engine").mkdir()
    run(tmp_path / "out", *SHORT)
    assert (student / "README.md").read_text("utf-8") == "a card"
    assert (student / "engine").is_dir()
    assert (student / "run.json").read_bytes() == before
    (student / "engine").rmdir()
    (student / "model.safetensors").write_bytes(weights[:-1])
    run(tmp_path / "out", *SHORT)
    assert (student / "model.safetensors").read_bytes() == weights


def test_a_run_that_cannot_start_leaves_nothing(here: Path, tmp_path: Path) -> None:
    """After a first error the directory is as it was: not there, or there with what was in it."""
    with pytest.raises(ModelError):
        run(tmp_path / "runs" / "deep" / "out", "teacher.model=nowhere/reader")
    assert not list(tmp_path.iterdir())
    (tmp_path / "mine").mkdir()
    with pytest.raises(ModelError):
        run(tmp_path / "mine", "teacher.model=nowhere/reader")
    assert (tmp_path / "mine").is_dir()


def test_a_mistake_can_be_mended_in_the_same_directory(here: Path, tmp_path: Path) -> None:
    """A directory belongs to a run only when the run has passed all checks, those of the texts' lengths
    included.
    """
    out = tmp_path / "out"
    for mistake in ("stages.inside.layer_map=[1, 9]", "data.max_question_tokens=2"):
        with pytest.raises(TinyreaderError):
            run(out, *SHORT, mistake, "data.dev=")
    run(out, *SHORT, "data.dev=")


def test_a_changed_tokenizer_is_noticed(here: Path, tmp_path: Path) -> None:
    """The same teacher with a tokenizer that gives other ids is another run."""
    shutil.copytree(here / "teacher", tmp_path / "teacher")
    named = [*SHORT, f"teacher.model={tmp_path}/teacher/reader"]
    run(tmp_path / "out", *named)
    path = tmp_path / "teacher" / "reader" / "tokenizer.json"
    content = json.loads(path.read_text("utf-8"))
    vocabulary = content["model"]["vocab"]
    vocabulary["bridge"], vocabulary["built"] = vocabulary["built"], vocabulary["bridge"]
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(RunError, match="with another tokenizer"):
        run(tmp_path / "out", *named)


def test_a_changed_pattern_of_a_random_student_is_noticed(here: Path, tmp_path: Path) -> None:
    """The configuration that a random student is made after is part of the run."""
    shutil.copytree(here / "teacher", tmp_path / "pattern")
    path = tmp_path / "pattern" / "reader" / "config.json"
    named = [*SHORT, "student.init=random", f"student.model={path.parent}", "student.shape=2l-32d"]
    run(tmp_path / "out", *named)
    path.write_text(
        json.dumps(json.loads(path.read_text("utf-8")) | {"hidden_act": "relu"}), encoding="utf-8"
    )
    with pytest.raises(RunError, match="with other first weights of the student"):
        run(tmp_path / "out", *named)


def test_a_tracker_that_is_not_installed_is_an_error(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accelerate leaves such a tracker out without a word; a run that was to be tracked says so before it
    starts.
    """
    monkeypatch.setattr("tinyreader.distil.provenance.get_available_trackers", lambda: ["tensorboard"])
    with pytest.raises(SettingsError, match="names wandb, which is not installed"):
        run(tmp_path / "out", 'training.trackers=["tensorboard", "wandb"]')
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("stage", "step", "number"), [("inside", 3, signal.SIGTERM), ("answers", 4, signal.SIGINT)]
)
def test_signals_save_before_leaving(
    runs: Runs, place: Path, whole: Path, stage: str, step: int, number: int
) -> None:
    """On SIGTERM and Ctrl-C the command saves, says at which step, exits with 1, and goes on from there when
    repeated.
    """
    out = place / f"signal-{number}"
    moment = Blow(0.0, number, "log.jsonl", f'"stage": "{stage}", "step": {step},')
    ended = runs("distil", "recipe.toml", out=out, blow=moment)
    reason = "SIGTERM" if number == signal.SIGTERM else "Ctrl-C"
    assert ended.code == 1, ended.stderr
    last = ended.stderr.splitlines()[-1]
    reached = steps_of(out)[-1][1]
    assert reached >= step
    assert last == (
        f"tinyreader: stopped by {reason}. Stage '{stage}' is saved at step {reached} of "
        f"{log(out, 'step')[-1]['of']}; the same command resumes there."
    )
    assert ended.stdout == ""
    ended = runs("distil", "recipe.toml", out=out)
    assert ended.code == 0, ended.stderr
    assert f"{stage}: resuming from step {reached}" in ended.stderr
    assert_same_student(out, whole)
    assert steps_of(out) == steps_of(whole)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.skipif(
    not torch.distributed.is_available(), reason="this torch is built without torch.distributed"
)
def test_two_processes_do_what_one_does(runs: Runs, place: Path) -> None:
    """Started as torchrun does on two processes, a run learns what one process does, also through a stop of
    one of them.
    """
    options = [
        "--set",
        "data.max_windows=21",
        "--set",
        "stages.inside.micro_batch_size=none",
    ]  # a last batch of 1 window
    for stage in ("inside", "answers"):
        for setting in ("batch_size=5", "dropout=0.0", "adam_epsilon=1e-4"):
            options += ["--set", f"stages.{stage}.{setting}"]
    options += ["--set", "stages.answers.embeds_dropout=0.0"]
    one, two = place / "one-process", place / "two-processes"
    assert runs("distil", "recipe.toml", *options, out=one).code == 0
    world = {
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "GLOO_SOCKET_IFNAME": "lo",
    }
    moments = Blow(0.0, signal.SIGTERM, "log.jsonl", '"stage": "inside", "step": 4,')
    with (
        Runs(place, RANK="0", LOCAL_RANK="0", **world) as first,
        Runs(place, RANK="1", LOCAL_RANK="1", **world) as second,
        ThreadPoolExecutor() as pool,
    ):
        for blow, code in ((moments, 1), (None, 0)):
            ends = [
                pool.submit(each, "distil", "recipe.toml", *options, out=two, blow=strike)
                for each, strike in ((first, None), (second, blow))
            ]
            found = [end.result() for end in ends]
            assert [end.code for end in found] == [code, code], [end.stderr for end in found]
            if blow:
                assert (
                    "stopped by a signal to another process of the run. Stage 'inside' is saved"
                    in found[0].stderr
                )
                assert "stopped by SIGTERM. Stage 'inside' is saved at step" in found[1].stderr
    for mine, theirs in zip(log(two, "step"), log(one, "step"), strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], rel=1e-3)
        assert mine["terms"] == pytest.approx(theirs["terms"], rel=1e-3)
    expected = load_file(one / "student" / "model.safetensors")
    for name, weight in load_file(two / "student" / "model.safetensors").items():
        torch.testing.assert_close(weight, expected[name], atol=1e-4, rtol=1e-3)


def blows(seconds: float) -> Iterator[Blow]:
    """Kills at seeded moments all over a run of so many seconds, some at moments when files are half
    written.
    """
    rng = random.Random(20)
    aimed: Sequence[tuple[str, str]] = (
        ("features", ""),
        ("stages/1-inside/checkpoints/.tmp-*", ""),
        ("log.jsonl", '"stage": "inside", "step": 5,'),
        ("labels", ""),
        ("stages/2-answers", ""),
        ("stages/2-answers/checkpoints/.tmp-*", ""),
    )
    for file, text in aimed:
        yield Blow(0.0, file=file, text=text)
        yield Blow(rng.uniform(0.0, 0.6) * seconds)
    while True:
        yield Blow(rng.uniform(0.0, 1.0) * seconds)


def test_killed_ten_times_a_run_ends_with_the_same_student(runs: Runs, place: Path, whole: Path) -> None:
    """Kill -9 at ten and more random moments, and the final weights are those of the uninterrupted run, bit
    for bit.
    """
    seconds = runs("distil", "recipe.toml", out=place / "timed").seconds
    out, kills, finished = place / "killed-0", 0, 0
    for blow in blows(seconds):
        ended = runs("distil", "recipe.toml", out=out, blow=blow)
        assert ended.code in (0, -signal.SIGKILL), ended.stderr
        kills += ended.code != 0
        if ended.code == 0:
            finished += 1
            assert_same_student(out, whole)
            out = place / f"killed-{finished}"
        if kills == 12:
            break
    ended = runs("distil", "recipe.toml", out=out)
    assert ended.code == 0, ended.stderr
    assert kills >= 10
    assert_same_student(out, whole)
    assert steps_of(out) == steps_of(whole)


def test_seconds_of_teachers_are_told_apart() -> None:
    """What a run took from its own earlier pass is its own, and counts once; what others computed is
    theirs.
    """
    lines = [
        {"event": "teacher", "outputs": "a", "seconds": 5.0},
        {"event": "teacher_taken", "outputs": "b", "source": "a", "seconds": 3.0},
        {"event": "teacher_taken", "outputs": "b", "source": "other", "seconds": 2.0},
        {"event": "teacher", "outputs": "b", "seconds": 1.0},
        {"event": "teacher_found", "outputs": "c", "seconds": 4.0},
        {"event": "step"},
    ]
    assert teacher_seconds(lines) == (6.0, 6.0)
