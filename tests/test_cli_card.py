"""`tinyreader card`: from a report on disk to a card that can be published."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from test_report_card import measured, run_record
from test_report_compare import question
from tiny_models import write_reader
from tinyreader.cli import main
from tinyreader.report.publish import plan
from tinyreader.report.record import save_report

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs `tinyreader card` beside a reader and its report: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    directory = write_reader(tmp_path)
    (directory / "run.json").write_text(json.dumps(run_record()))
    Path("report").mkdir()
    save_report(measured(run_record()), [question(0, 1.0)], Path("report"))

    def card(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tinyreader", "card", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out, err

    return card


def test_a_card_is_written_beside_the_weights_and_can_be_published(run: Run) -> None:
    """The card is the one thing that was lacking; what it does not state is named with the option that gives
    it.
    """
    data = ["--dataset-type", "rajpurkar/squad_v2", "--dataset-split", "validation"]
    code, out, err = run("reader", "--report", "report", "-o", "reader/README.md", "--language", "en", *data)
    assert code == 0, err
    assert json.loads(out)["card"] == "reader/README.md"
    assert "the licence (--license)" in err
    assert "the language" not in err
    assert ModelCard.load("reader/README.md").data.eval_results[1].metric_value == 74.5
    assert "README.md" in {file.name for file in plan(Path("reader")).files}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reader", "--report", "report", "-o", "x.md"], "Give --dataset-type and --dataset-split"),
        (["reader", "--report", "nowhere", "-o", "x.md"], "nowhere does not hold a report"),
        (["reader", "--report", "report", "-o", "reader"], "--out reader is a directory"),
        (
            ["reader", "--report", "report", "-o", "x.md", "--repository", "bridges"],
            "it looks like owner/name",
        ),
        (["report", "--report", "report", "-o", "x.md"], "report has no config.json"),
    ],
)
def test_what_cannot_be_is_refused(run: Run, arguments: list[str], message: str) -> None:
    """Each is an error that says what to do, and no card is written."""
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert not Path("x.md").exists()


def test_another_readme_is_not_replaced(run: Run) -> None:
    """A card takes the place of a card, and of nothing else."""
    data = ["--report", "report", "--dataset-type", "rajpurkar/squad_v2", "--dataset-split", "validation"]
    Path("README.md").write_text("# Our project")
    code, out, err = run("reader", "-o", "README.md", *data)
    assert (code, out) == (2, "")
    assert "README.md exists and was not written by" in err
    assert Path("README.md").read_text() == "# Our project"
    for _ in range(2):
        assert run("reader", "-o", "card.md", *data)[0] == 0
