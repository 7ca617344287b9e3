"""`report.card`: metadata that the Hub's client accepts, a text without gaps or places, snippets that run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from test_report_compare import report as plain_report
from tiny_models import write_reader
from tinyreader.distil.recipe import load_recipe
from tinyreader.errors import DataError, ModelError, SettingsError
from tinyreader.reader.settings import ReaderSettings, write_settings
from tinyreader.report.card import CardOptions, card, gather
from tinyreader.report.machine import parameters, weights_fingerprint
from tinyreader.report.publish import check_card
from tinyreader.report.record import Report

ASKED = CardOptions(
    repository="ada/bridges",
    license="mit",
    languages=("en",),
    dataset_type="rajpurkar/squad_v2",
    dataset_split="validation",
    code="https://example.org/code",
)


def run_record(**recipe: str) -> dict[str, Any]:
    """What a run of the published recipe leaves, with the places of a machine in it."""
    overrides = [f"{key.replace('__', '.')}={value}" for key, value in recipe.items()]
    return {
        "recipe": load_recipe("tinybert-6l-768d-squad2", overrides).resolved(),
        "identity": {
            "recipe": "1" * 32,
            "data": {"/home/ada/secret/train.json": "2" * 32},
            "dev": None,
            "teacher": "3" * 32,
            "student": "4" * 32,
            "tokenizer": "5" * 32,
            "precision": "bf16",
            "processes": 1,
        },
        "environment": {
            "versions": {"python": "3.12.1", "torch": "2.7.0"},
            "platform": "Linux-6",
            "device": "NVIDIA H100",
            "cpu": {"threads": 16},
        },
        "student": {"parameters": 66_000_000},
        "stages": [
            {"name": "intermediate", "kind": "intermediate", "steps": 9000, "seconds": 5400.0},
            {"name": "prediction", "kind": "prediction", "steps": 800, "seconds": 1800.0},
        ],
        "teacher_pass_seconds": 1800.0,
        "scores": {},
        "finished": "2026-02-03T04:05:06Z",
    }


def measured(run: dict[str, Any] | None, **changes: Any) -> Report:
    """A report on that run's reader."""
    content: dict[str, Any] = {
        "model": {"name": "runs/x/student", "parameters": 66_960_000, "size_bytes": 268_000_000, "run": run},
        "scores": {
            "exact": 71.234567,
            "f1": 74.5,
            "total": 5404,
            "HasAns_exact": 70.0,
            "HasAns_f1": 76.25,
            "HasAns_total": 2800,
            "NoAns_exact": 72.5,
            "NoAns_f1": 72.5,
            "NoAns_total": 2604,
        },
        "intervals": {
            "exact": (70.0, 72.4),
            "f1": (73.3, 75.6),
            "HasAns_f1": (74.8, 77.7),
            "NoAns_f1": (70.9, 74.1),
            "answered_f1": (84.0, 86.5),
        },
        "answered": {"exact": 78.0, "f1": 85.25},
        "data": {
            "name": "/d/dev.json",
            "fingerprint": "9" * 32,
            "questions": 5404,
            "answerable": 2800,
            "left_out": 0,
        },
        "calibration": {"ece": 0.0312, "bins": []},
        "speed": {
            "questions_per_second": 41.26,
            "latency_ms": {"p50": 21.4, "p95": 33.0, "p99": 40.9},
            "peak_memory_bytes": 812_000_000,
        },
        "slices": {
            "windows": [
                {"slice": "1", "n": 5000, "f1": 75.0},
                {"slice": "over 4", "n": 60, "f1": 51.25},
                {"slice": "2", "n": 9, "f1": 1.0},
            ]
        },
    }
    return replace(plain_report(), **{**content, **changes})


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A reader made by the published recipe, so its run.json says."""
    directory = write_reader(tmp_path)
    (directory / "run.json").write_text(json.dumps(run_record()))
    return directory


def snippets(text: str) -> dict[str, str]:
    """The card's pieces of Python, by the library they use."""
    return dict(
        zip(("tinyreader", "transformers"), re.findall(r"```python\n(.*?)```", text, re.DOTALL), strict=True)
    )


def prose(text: str) -> str:
    """The card without its pieces of Python."""
    return "".join(text.split("```")[::2])


def text_of(model: Path, options: CardOptions = ASKED, **changes: Any) -> str:
    """The card of the model, measured."""
    return card(gather(model, measured(json.loads((model / "run.json").read_text()), **changes), options))


def test_the_metadata_is_what_the_hub_wants(model: Path) -> None:
    """Read back by the client's classes: language, licence, base model, data sets, tags, and a whole
    model-index.
    """
    text = text_of(model)
    data = ModelCard(text, ignore_metadata_errors=False).data
    assert (data.language, data.license, data.pipeline_tag, data.library_name) == (
        "en",
        "mit",
        "question-answering",
        "transformers",
    )
    assert data.base_model == "huawei-noah/TinyBERT_General_6L_768D"
    assert data.datasets == ["rajpurkar/squad_v2"]
    assert {"exbert", "knowledge-distillation", "question-answering"} <= set(data.tags)
    assert data.model_name == "bridges"
    exact, f1 = data.eval_results
    assert (exact.metric_type, exact.metric_value, f1.metric_type, f1.metric_value) == (
        "exact_match",
        71.2346,
        "f1",
        74.5,
    )
    for result in (exact, f1):
        assert (
            result.task_type,
            result.dataset_name,
            result.dataset_type,
            result.dataset_config,
            result.dataset_split,
        ) == ("question-answering", "SQuAD 2.0", "rajpurkar/squad_v2", "squad_v2", "validation")
        assert not result.verified
    check_card(text, Path("README.md"))


def test_every_teacher_is_named(model: Path) -> None:
    """Those beside the first with their weights; seconds that another run spent on their outputs count as
    hours too.
    """
    more = "[{name = 'byte', model = 'deepset/roberta-base-squad2', weight = 2.0}]"
    record = run_record(more_teachers=more) | {
        "teacher_pass_seconds": 0.0,
        "teacher_pass_seconds_of_others": 1800.0,
    }
    (model / "run.json").write_text(json.dumps(record))
    text = text_of(model)
    assert "- teacher: `deepset/bert-base-uncased-squad2`" in text
    assert "with weight 2.0 (the first has 1.0): `deepset/roberta-base-squad2`" in text
    assert "| hours of training, teacher's pass included | 2.50 |" in text


def test_the_text_says_what_run_and_report_know(model: Path) -> None:
    """Results with intervals, the reference's figures, speed, both stages, distillation and provenance; no
    place, no None.
    """
    text = text_of(model)
    for part in (
        "**Language model:** bert, 2 layers, 32 wide, 66,960,000 parameters, from "
        "`huawei-noah/TinyBERT_General_6L_768D`",
        "**Training data:** [rajpurkar/squad_v2]",
        "5,404 questions, 2,800 of them answerable",
        "NVIDIA H100, bf16, Linux-6",
        "| **bridges** | 71.23 [70.00, 72.40] | 74.50 [73.30, 75.60] |",
        "as its authors give it | 71.88 | 76.36 |",
        "verified by the Hub | 73.82 | 77.17 |",
        "| answerable | 2,800 | 70.00 | 76.25 [74.80, 77.70] |",
        "no-answer switched off | 2,800 | 78.00 | 85.25 [84.00, 86.50] |",
        "| questions per second, many at once | 41.3 |",
        "| one question alone, p99 | 41 ms |",
        "| size on disk | 268.0 MB |",
        "|  | stage 1: intermediate | stage 2: prediction |",
        "| batch size | 26 | 26 |",
        "| learning rate | 5e-05 | 3e-05 |",
        "| temperature |  | 1 |",
        "| steps done | 9,000 | 800 |",
        "- teacher: `deepset/bert-base-uncased-squad2`",
        "rewritten 20 times",
        "`bert-base-uncased`",
        "| hours of training, teacher's pass included | 2.50 |",
        "python 3.12.1, torch 2.7.0",
        "`train.json`, fingerprint `22222222222222222222222222222222`",
        "2026-02-03T04:05:06Z",
        'windows "over 4" (F1 51.2, 60 questions)',
        "27.5 % of the questions that have no answer",
        "Calibration error",
        "0.031",
        "The reader is not calibrated",
    ):
        assert part in text, part
    for part in ("/home", "/d/", "secret", "None", " nan", "{", "'recipe'"):
        assert part not in prose(text), part


def test_the_markdown_renders_as_meant(model: Path) -> None:
    """Every table is a table with cells in all its columns, every code block is closed, headings are in
    order.
    """
    body = text_of(model).split("---\n", 2)[2]
    tokens = MarkdownIt("commonmark").enable("table").parse(body)
    kinds = [token.type for token in tokens]
    assert kinds.count("table_open") == 5
    assert "|" not in "".join(token.content for token in tokens if token.type == "inline")
    rows = [kinds[i:].index("tr_close") for i, kind in enumerate(kinds) if kind == "tr_open"]
    assert len(set(rows)) > 1
    assert [token.info for token in tokens if token.type == "fence"] == ["python", "python"]
    headings = [tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "heading_open"]
    assert headings == [
        "bridges",
        "Overview",
        "Use",
        "Results",
        "Speed",
        "Hyper-parameters",
        "Distillation",
        "Limits",
        "Provenance",
    ]


@pytest.mark.parametrize("library", ["tinyreader", "transformers"])
def test_the_snippets_run(model: Path, tmp_path: Path, library: str) -> None:
    """Each piece of Python in the card, as it stands there, answers a question with a model of that name."""
    home = tmp_path / "home" / "ada"
    home.mkdir(parents=True)
    (home / "bridges").symlink_to(model)
    facts = gather(model, measured(run_record()), ASKED)
    code = snippets(card(facts))[library]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=home.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_both_snippets_find_the_same_answer(model: Path, tmp_path: Path) -> None:
    """The span that the Transformers snippet prints is the reader's own best one."""
    from tinyreader import Reader

    context, question = "The bridge, drawn up by Ada Rost, was opened in 1911.", "Who drew up the bridge?"
    reader = Reader.from_pretrained(model, precision="fp32")
    best = reader.read(question, context, max_answer_tokens=60).answers[0]
    facts = gather(model, measured(run_record()), replace(ASKED, repository="m"))
    (tmp_path / "m").symlink_to(model)
    done = subprocess.run(
        [sys.executable, "-c", snippets(card(facts))["transformers"]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert done.stdout.startswith(f"{best.text} |")


def test_what_nobody_knows_is_not_stated(model: Path) -> None:
    """Without options, licence and language are left out of the metadata, said in the text and named with
    their options.
    """
    (model / "run.json").write_text(
        json.dumps(run_record(student__model="./my-encoder", data__train="my.json"))
    )
    options = CardOptions(dataset_type="rajpurkar/squad_v2", dataset_split="validation")
    facts = gather(model, measured(json.loads((model / "run.json").read_text())), options)
    text = card(facts)
    data = ModelCard(text).data
    assert (data.license, data.language, data.base_model, data.datasets) == (None, None, None, None)
    assert "**Licence:** not stated" in text
    assert [part.split("(")[1] for part in facts.missing] == [
        "--repository)",
        "--license)",
        "--language)",
        "--base-model)",
        "--train-dataset)",
        "--code)",
    ]
    assert facts.name == "tinybert-6l-768d-squad2"


def test_a_reader_of_unknown_origin_gets_a_card_too(tmp_path: Path) -> None:
    """Without run.json the results stand, and how it was trained is not stated."""
    directory = write_reader(tmp_path)
    facts = {"name": "x", "parameters": parameters(directory), "size_bytes": 10, "run": None}
    text = card(gather(directory, measured(None, model=facts), replace(ASKED, base_model="a/b")))
    assert "how it was trained is not stated" in text
    assert "knowledge-distillation" not in text
    assert "None" not in prose(text)
    check_card(text, Path("README.md"))
    with pytest.raises(DataError, match=r"not of .*: it has 66960000 parameters, this one"):
        gather(directory, measured(None), ASKED)


def test_a_report_from_before_calibrating_is_refused(model: Path) -> None:
    """Scores and threshold of a card are those of the reader as it is now."""
    settings = asdict(ReaderSettings())
    reader = {"engine": "openvino", "precision": "bf16", "settings": settings}
    assert "windows of 384 tokens" in text_of(model, reader=reader)
    write_settings(ReaderSettings(no_answer_threshold=-1.5), model)
    with pytest.raises(DataError, match=r"made with no_answer_threshold 0\.0, but the reader's is now -1\.5"):
        text_of(model, reader=reader)


def test_calibration_is_told_and_so_is_fitting_on_the_evaluation_data(model: Path) -> None:
    """What the scores were fitted on stands there; where that is the very data of the report, the card
    warns.
    """
    note = {"questions": 2000, "data": "aside.json", "share_unanswerable": 0.5, "fingerprint": "8" * 32}
    (model / "reader.json").write_text(json.dumps({"calibration": note}))
    text = text_of(model)
    assert "fitted on 2,000 questions (`aside.json`), weighted to 50% unanswerable." in text
    assert "very questions" not in text
    (model / "reader.json").write_text(json.dumps({"calibration": note | {"fingerprint": "9" * 32}}))
    assert "**These are the very questions it was evaluated on" in text_of(model)


def test_wrong_cards_are_refused(model: Path, tmp_path: Path) -> None:
    """The report of another reader, data without a name on the Hub, a licence or language that is none."""
    with pytest.raises(DataError, match=r"the report is not of .*run\.json"):
        gather(model, measured(run_record(training__seed="7")), ASKED)
    with pytest.raises(DataError, match=r"the report is not of .*run\.json"):
        gather(model, measured(None), ASKED)
    run = run_record()
    for options, message in (
        (replace(ASKED, dataset_type=None), "report's data is /d/dev.json.* --dataset-type"),
        (replace(ASKED, dataset_split=None), "Give --dataset-split"),
        (replace(ASKED, license="other"), "--license-name and --license-link"),
        (replace(ASKED, license="my own licence"), "'my own licence' is not the identifier of a licence"),
        (replace(ASKED, languages=("English",)), "'English' is not an ISO 639 code"),
    ):
        with pytest.raises(SettingsError, match=message):
            gather(model, measured(run), options)
    with pytest.raises(ModelError, match=r"has no config\.json"):
        gather(tmp_path, measured(run), ASKED)


def test_data_of_the_hub_need_no_name(model: Path) -> None:
    """A report on a data set of the Hub says itself which that is; another data set has no reference figures
    beside it.
    """
    data = {"name": "ada/questions", "fingerprint": "9", "questions": 10, "answerable": 10, "split": "test"}
    text = text_of(model, replace(ASKED, dataset_type=None, dataset_split=None), data=data)
    (exact, _) = ModelCard(text).data.eval_results
    assert (exact.dataset_type, exact.dataset_name, exact.dataset_split) == (
        "ada/questions",
        "ada/questions",
        "test",
    )
    assert "71.88" not in text


def test_a_part_of_a_split_is_not_the_split(model: Path) -> None:
    """Where a known data set has more questions than were read, the card says how many; where all were read,
    nothing.
    """
    assert "F1 74.50 on SQuAD 2.0, validation, 5,404 of its 11,873 questions." in text_of(model)
    data = measured(None).data | {"questions": 11_873}
    assert "F1 74.50 on SQuAD 2.0, validation.\n" in text_of(model, data=data)


def test_both_calibration_errors_are_told(model: Path) -> None:
    """Against exact match and against F1, which is what a calibrated score promises; reports of before have
    one.
    """
    text = text_of(model, calibration={"ece": 0.0312, "ece_f1": 0.0177, "bins": []})
    assert "0.031 against exact match, 0.018 against F1 (15 bins of equal mass)" in text
    assert "0.031 against exact match (15 bins of equal mass)" in text_of(model)


def test_weights_tell_readers_of_one_shape_apart(tmp_path: Path) -> None:
    """A report on another reader with as many parameters is an error also where no run made either."""
    one, other = (write_reader(tmp_path / name, seed=seed) for name, seed in (("a", 1), ("b", 2)))
    facts = {
        "name": "x",
        "parameters": parameters(one),
        "size_bytes": 10,
        "run": None,
        "weights": weights_fingerprint(one),
    }
    gather(one, measured(None, model=facts), ASKED)
    with pytest.raises(DataError, match="their weights differ"):
        gather(other, measured(None, model=facts), ASKED)


def test_packed_weights_are_not_sent_to_transformers(tmp_path: Path) -> None:
    """Transformers does not know the form: no snippet of it, another library in the metadata, and the text
    says so.
    """
    directory = write_reader(tmp_path)
    (directory / "model.safetensors").rename(directory / "packed.safetensors")
    facts = {"name": "x", "parameters": parameters(directory), "size_bytes": 10, "run": None}
    text = card(gather(directory, measured(None, model=facts), ASKED))
    assert "AutoModelForQuestionAnswering" not in text
    assert "a form that Transformers does not know" in text
    assert ModelCard(text).data.library_name == "tinyreader"
