"""`report.evaluate`: a whole report of a reader, and what is refused before work is spent."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tiny_models import write_reader
from tinyreader.data import Answer, Example
from tinyreader.errors import DataError, Interrupted, MissingExtraError, SettingsError
from tinyreader.metrics import score_v1, score_v2
from tinyreader.progress import StopSwitch
from tinyreader.reader import Reader
from tinyreader.report import load_questions, load_report
from tinyreader.report.evaluate import EvaluateOptions, Subject, evaluate
from tinyreader.report.machine import weights_fingerprint
from tinyreader.report.record import check_output

EXAMPLES = [
    Example(
        f"q{n}",
        "who built the bridge ?",
        f"the bridge was built in it {'. a b c' * n}",
        (Answer("bridge", 4),) if n % 2 else (),
    )
    for n in range(12)
]
PLAIN = EvaluateOptions(samples=20, latency_questions=2, shown=5, token_views=2, plots=False)


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """A tiny random reader."""
    directory = write_reader(tmp_path_factory.mktemp("model"))
    return Subject(Reader.from_pretrained(directory, max_seq_len=60, doc_stride=8), directory, "tiny")


def test_the_report_lies_on_disk_and_its_scores_are_the_official_ones(
    subject: Subject, tmp_path: Path
) -> None:
    """Everything is written; what is returned is what is loaded; the written predictions score what the
    report says.
    """
    out = tmp_path / "new" / "report"
    report = evaluate(subject, "dev.json", EXAMPLES, out, replace(PLAIN, plots=True))
    assert load_report(out) == report
    predictions, odds = (
        json.loads((out / name).read_text("utf-8")) for name in ("predictions.json", "null_odds.json")
    )
    assert report.scores == score_v2(EXAMPLES, predictions, odds, 0.0)
    assert [q.id for q in load_questions(out)] == [e.id for e in EXAMPLES]
    assert report.model["parameters"] > 1000
    assert report.model["weights"] == weights_fingerprint(subject.directory)
    assert report.reader["engine"] == subject.reader.engine == "openvino"
    assert report.reader["precision"] in ("fp32", "bf16")
    assert report.data["questions"] == 12
    assert report.data["answerable"] == 6
    assert report.data["split"] is None
    assert set(report.speed["latency_ms"]) == {"p50", "p95", "p99"}
    assert (out / "plots" / "slices-dark.png").stat().st_size > 5000
    page = (out / "index.html").read_text("utf-8")
    assert f"{report.scores['f1']:.2f}" in page
    assert page.count('role="img"') == 5


def test_a_report_is_replaced_by_the_next_one(subject: Subject, tmp_path: Path) -> None:
    """The same directory takes a report again; plots that the new one has not are gone; nothing else may lie
    there.
    """
    evaluate(subject, "dev.json", EXAMPLES, tmp_path, replace(PLAIN, plots=True))
    evaluate(subject, "other.json", EXAMPLES[:3], tmp_path, PLAIN)
    assert load_report(tmp_path).data["name"] == "other.json"
    assert list((tmp_path / "plots").iterdir()) == []
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(SettingsError, match=r"holds something else \(thesis.tex\)"):
        evaluate(subject, "dev.json", EXAMPLES, tmp_path, PLAIN)
    with pytest.raises(SettingsError, match="is a file"):
        check_output(tmp_path / "thesis.tex")


def test_the_split_stands_in_the_report(subject: Subject, tmp_path: Path) -> None:
    """Which part of a Hub data set was read is said, so that a card need not ask for it."""
    evaluate(subject, "ada/bridges", EXAMPLES, tmp_path, PLAIN, split="validation")
    assert load_report(tmp_path).data["split"] == "validation"


def test_one_question_is_enough(subject: Subject, tmp_path: Path) -> None:
    """A report on a single question is drawn without a warning; there is nothing to compare slices by, so
    they are not.
    """
    evaluate(subject, "dev.json", EXAMPLES[1:2], tmp_path, replace(PLAIN, plots=True))
    assert not (tmp_path / "plots" / "slices.png").exists()
    assert (tmp_path / "plots" / "reliability.png").is_file()


def test_squad_1_1_is_scored_by_its_own_script(subject: Subject, tmp_path: Path) -> None:
    """By script 1.1 the best span always counts, and questions without answer are refused."""
    answerable = EXAMPLES[1::2]
    report = evaluate(subject, "dev.json", answerable, tmp_path, replace(PLAIN, script="1.1"))
    predictions = json.loads((tmp_path / "predictions.json").read_text("utf-8"))
    by_script = score_v1(answerable, predictions)
    assert report.scores["exact_match"] == by_script["exact_match"]
    assert report.scores["f1"] == by_script["f1"]
    assert report.official == {"script": "1.1", "na_prob_thresh": None}
    with pytest.raises(DataError, match="unanswerable"):
        evaluate(subject, "dev.json", EXAMPLES, tmp_path, replace(PLAIN, script="1.1"))


def test_the_shipped_threshold_decides(subject: Subject, tmp_path: Path) -> None:
    """A reader that never answers scores on unanswerable questions alone; its best spans are written all the
    same.
    """
    reader = subject.reader
    silent = Reader(reader.tokenizer, reader.runtime, reader.settings.changed({"no_answer_threshold": -1e9}))
    report = evaluate(replace(subject, reader=silent), "dev.json", EXAMPLES, tmp_path, PLAIN)
    assert report.scores["NoAns_f1"] == 100.0
    assert report.scores["HasAns_f1"] == 0.0
    assert all(json.loads((tmp_path / "predictions.json").read_text("utf-8")).values())


def test_teacher_and_layers_stand_beside_the_reader(subject: Subject, tmp_path: Path) -> None:
    """With a teacher: its answers and scores, its probabilities side by side, attention of both, distances
    per layer.
    """
    directory = write_reader(tmp_path / "t", n_layers=3, seed=3)
    teacher = Reader.from_pretrained(directory, max_seq_len=60, doc_stride=8)
    said = {e.id: e.answers[0].text if e.answers else "" for e in EXAMPLES}
    with_teacher = replace(subject, teacher=teacher, teacher_directory=directory, teacher_answers=said)
    report = evaluate(with_teacher, "dev.json", EXAMPLES, tmp_path / "out", replace(PLAIN, layers=True))
    assert report.teacher == {"exact": 100.0, "f1": 100.0}
    assert report.layers is not None
    assert len(report.layers["hidden"]) == 3
    assert len(report.layers["hidden"][0]) == 4
    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    item = json.loads(page.split('id="data">')[1].split("</script>")[0])["views"][0]
    assert [view["who"] for view in item["views"]] == ["this reader", "the teacher"]
    assert [(view["layers"], view["heads"]) for view in item["attention"]] == [(2, 4), (3, 4)]
    assert "Lost in distillation" in page


def test_a_stop_leaves_nothing(subject: Subject, tmp_path: Path) -> None:
    """Asked to stop, it says that nothing was written, and nothing was."""
    stop = StopSwitch()
    stop.reason = "Ctrl-C"
    with pytest.raises(Interrupted, match=r"stopped by Ctrl-C. Nothing was written"):
        evaluate(subject, "dev.json", EXAMPLES, tmp_path / "out", PLAIN, stop=stop)
    assert not (tmp_path / "out").exists()


def test_mistakes_are_said_before_work_is_spent(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No questions, too long a question, wrong options and missing packages are errors while nothing is read
    yet.
    """

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("the reader was asked")

    monkeypatch.setattr(Reader, "read_many", fail)
    with pytest.raises(DataError, match="no questions"):
        evaluate(subject, "dev.json", [], tmp_path, PLAIN)
    with pytest.raises(DataError, match="question 'long' has"):
        evaluate(subject, "dev.json", [Example("long", "who ? " * 99, "it")], tmp_path, PLAIN)
    with pytest.raises(DataError, match="holds no training step"):
        evaluate(replace(subject, run=tmp_path), "dev.json", EXAMPLES, tmp_path, PLAIN)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"tinyreader\[report\]"):
        evaluate(subject, "dev.json", EXAMPLES, tmp_path, replace(PLAIN, plots=True))
    monkeypatch.setitem(sys.modules, "tinyreader.distil.network", None)
    with pytest.raises(MissingExtraError, match=r"tinyreader\[train\]"):
        evaluate(subject, "dev.json", EXAMPLES, tmp_path, replace(PLAIN, layers=True))
    for changes, said in (
        ({"samples": 0}, "samples is 0"),
        ({"token_views": -1}, "token_views is -1"),
        ({"normalisation": "x"}, "'x'"),
    ):
        with pytest.raises(SettingsError, match=said):
            replace(PLAIN, **changes)
