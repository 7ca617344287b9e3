"""`tinyreader compare`: what it prints and leaves, and the exit code of its gates."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from data_samples import write_json
from test_report_compare import question, report
from tinyreader.cli import main
from tinyreader.report.record import save_report

Run = Callable[..., tuple[int, str, str]]

GOOD, BAD = [1.0] * 90 + [0.5] * 10, [1.0] * 60 + [0.5] * 20 + [0.0] * 20


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs `tinyreader compare` beside the reports good, bad and same: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    for name, f1s, speed in (("good", GOOD, 10.0), ("bad", BAD, 30.0), ("same", GOOD, 20.0)):
        Path(name).mkdir()
        rows = [question(n, f1, answerable=n % 2 == 0) for n, f1 in enumerate(f1s)]
        save_report(report(f"reader-{name}", speed), rows, Path(name))

    def compare(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tinyreader", "compare", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out, err

    return compare


def test_a_comparison_is_shown_and_ends_in_json(run: Run) -> None:
    """A table for people, then one JSON document as the last line; without a gate the exit code is 0."""
    code, out, err = run("good", "bad", "same")
    assert (code, err) == (0, "")
    assert "reader-bad against reader-good, 100 questions" in out
    assert "won 0, lost 40 questions" in out
    assert "questions per second: reader-good 10.0, reader-bad 30.0, reader-same 20.0" in out
    result = json.loads(out.splitlines()[-1])
    worse, same = result["comparisons"]
    assert worse["scores"]["f1"]["verdict"] == "worse"
    assert worse["scores"]["f1"]["difference"] == pytest.approx(70.0 - 95.0)
    assert same["scores"]["f1"]["verdict"] == "no difference shown"
    assert (worse["won"], worse["lost"]) == (0, 40)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["good", "bad", "--fail-if-worse"], 1, "reader-bad is worse than reader-good: f1 -25.00 ["),
        (
            ["good", "bad", "--fail-if-worse", "--gate", "exact"],
            1,
            "reader-bad is worse than reader-good: exact -30.00 [",
        ),
        (["bad", "good", "--fail-if-worse", "--fail-unless-better", "--max-loss", "1"], 0, ""),
        (["good", "same", "--fail-if-worse"], 0, ""),
        (
            ["good", "same", "--fail-unless-better"],
            1,
            "reader-same is not shown to be better than reader-good: f1 +0.00",
        ),
        (["good", "same", "--max-loss", "0.5"], 0, ""),
        (
            ["good", "same", "bad", "--max-loss", "5"],
            1,
            "reader-bad may lose more than 5 points against reader-good",
        ),
    ],
)
def test_gates_decide_the_exit_code(run: Run, arguments: list[str], code: int, message: str) -> None:
    """1 where a gate is not met, with the sentence that says so, also in the JSON; 0 otherwise."""
    found, out, err = run(*arguments, "--quiet")
    assert found == code
    assert message in err
    result = json.loads(out)
    assert bool(result["failures"]) == bool(code)


def test_questions_and_plot_are_written(run: Run) -> None:
    """differences.jsonl has every question won and lost, with its texts where the data are given; the plot is
    there.
    """
    paragraphs = [
        {
            "context": "some text",
            "qas": [
                {"id": f"q{n}", "question": f"why {n}?", "answers": [{"text": "text", "answer_start": 5}]}
                for n in range(100)
            ],
        }
    ]
    write_json(Path("dev.json"), {"version": "v2.0", "data": [{"title": "t", "paragraphs": paragraphs}]})
    code, out, _ = run("good", "bad", "-o", "out", "--data", "dev.json")
    assert code == 0
    assert "why " in out
    rows = [json.loads(line) for line in (Path("out") / "differences.jsonl").read_text().splitlines()]
    assert len(rows) == 40
    assert {row["won"] for row in rows} == {False}
    assert rows[0]["question"].startswith("why ")
    assert rows[0]["gold"] == ["text"]
    assert abs(rows[0]["first_f1"] - rows[0]["second_f1"]) >= abs(
        rows[-1]["first_f1"] - rows[-1]["second_f1"]
    )
    assert json.loads((Path("out") / "comparison.json").read_text())["questions"] == 100
    assert (Path("out") / "plots" / "pareto.svg").is_file()


def test_data_that_are_not_the_reports_are_refused(run: Run) -> None:
    """--data must hold the questions; one report is none to compare; a file is no directory to write to."""
    write_json(
        Path("other.json"),
        {
            "data": [
                {
                    "title": "t",
                    "paragraphs": [
                        {
                            "context": "c d",
                            "qas": [
                                {"id": "z", "question": "q?", "answers": [{"text": "d", "answer_start": 2}]}
                            ],
                        }
                    ],
                }
            ]
        },
    )
    for arguments, message in (
        (
            ["good", "bad", "--data", "other.json"],
            "--data other.json lacks 100 of the 100 questions, such as 'q0'",
        ),
        (["good"], "give at least two reports"),
        (["good", "bad", "-o", "other.json"], "--out other.json is a file"),
        (["good", "nowhere"], "nowhere does not hold a report"),
    ):
        code, out, err = run(*arguments)
        assert (code, out) == (2, "")
        assert message in err
