"""`tinyreader evaluate`: one command from a model and data to a report, and its mistakes in one line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from data_samples import document, write_json
from tiny_models import write_reader
from tinyreader.cli import main
from tinyreader.cli.evaluate import _script
from tinyreader.data import Answer, Example
from tinyreader.reader.settings import ReaderSettings, write_settings
from tinyreader.report import load_report

Run = Callable[..., tuple[int, str, str]]
QUICK = ("--no-plots", "--samples", 20, "--latency-questions", 1, "--quiet")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs the command line in this process and directory, with a reader and data there: exit code, stdout,
    stderr.
    """
    monkeypatch.chdir(tmp_path)
    write_json(tmp_path / "data.json", document())
    write_settings(ReaderSettings(max_seq_len=60, doc_stride=8), write_reader(tmp_path))

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tinyreader", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out, err

    return call


def test_score_gives_the_reports_numbers_on_its_files(run: Run) -> None:
    """`tinyreader score` on the written predictions prints what report.json holds, to the last digit."""
    code, out, err = run("evaluate", "reader", "data.json", "-o", "report", *QUICK)
    assert (code, err) == (0, "")
    report = load_report("report")
    said = json.loads(out)
    assert said["f1"] == report.scores["f1"]
    assert said["questions"] == 3
    code, out, _ = run(
        "score",
        "data.json",
        "report/predictions.json",
        "-n",
        "report/null_odds.json",
        "-t",
        report.official["na_prob_thresh"],
    )
    assert code == 0
    assert json.loads(out) == report.scores
    assert Path("report/index.html").is_file()
    assert report.data["name"] == "data.json"


def test_squad_1_1_files_are_known_by_their_version(run: Run, tmp_path: Path) -> None:
    """A file that calls itself 1.1 is scored by the 1.1 script; --squad-version overrules."""
    answered = document()
    answered["version"] = "1.1"
    answered["data"][0]["paragraphs"][0]["qas"].pop()
    write_json(tmp_path / "v1.json", answered)
    assert run("evaluate", "reader", "v1.json", "-o", "r1", *QUICK)[0] == 0
    assert load_report("r1").official["script"] == "1.1"
    assert run("evaluate", "reader", "v1.json", "-o", "r2", *QUICK, "--squad-version", "2.0")[0] == 0
    assert load_report("r2").official["script"] == "2.0"
    assert load_report("r2").scores.keys() >= {"best_f1", "HasAns_f1"}


def test_a_language_and_a_teachers_report_by_option(run: Run) -> None:
    """--normalise is stated in the report; --teacher takes another report's directory."""
    assert run("evaluate", "reader", "data.json", "-o", "teacher", *QUICK)[0] == 0
    code, _, _ = run(
        "evaluate", "reader", "data.json", "-o", "r", *QUICK, "--normalise", "de", "--teacher", "teacher"
    )
    assert code == 0
    report = load_report("r")
    assert report.normalisation == "de"
    assert report.teacher is not None


def test_bad_data_is_left_out_by_choice_and_counted(run: Run, tmp_path: Path) -> None:
    """--on-bad skip evaluates the rest; how many were left out stands in the report."""
    bad = document()
    bad["data"][0]["paragraphs"][0]["qas"][0]["answers"][0]["answer_start"] = 3
    write_json(tmp_path / "bad.json", bad)
    assert run("evaluate", "reader", "bad.json", "-o", "r", *QUICK)[0] == 2
    assert run("evaluate", "reader", "bad.json", "-o", "r", *QUICK, "--on-bad", "skip")[0] == 0
    assert load_report("r").data["left_out"] == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere/x", "data.json", "-o", "r"], "there is no directory nowhere/x"),
        (["reader", "nowhere.json", "-o", "r"], "no such file"),
        (["reader", "data.json", "-o", "data.json"], "is a file"),
        (["reader", "data.json", "-o", "."], "holds something else"),
        (["reader", "data.json", "-o", "r", "--layers"], "give it with --teacher-model"),
        (["reader", "data.json", "-o", "r", "--normalise", "x"], "normalisation 'x' is unknown"),
        (["reader", "data.json", "-o", "r", "--teacher", "none.json"], "none.json: cannot be read"),
        (["reader", "data.json", "-o", "r", "--run", "reader"], "holds no training step"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(run: Run, arguments: list[str], said: str) -> None:
    """Each mistake is one line, exit code 2, and no directory."""
    code, out, err = run("evaluate", *arguments, *QUICK)
    assert (code, out) == (2, "")
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert not Path("r").exists()


def test_data_of_another_shape_names_no_script(tmp_path: Path) -> None:
    """Rows in a .json file have no version: questions without an answer decide."""
    path = tmp_path / "rows.json"
    path.write_text('{"id": "a"}\n{"id": "b"}\n', "utf-8")
    assert _script("auto", str(path), [Example("a", "Who?", "Nobody.")]) == "2.0"
    path.write_text('[{"id": "a"}]', "utf-8")
    assert _script("auto", str(path), [Example("a", "Who?", "Ada.", (Answer("Ada", 0),))]) == "1.1"
