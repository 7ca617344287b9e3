"""`tinyreader calibrate`: what it stores, where, and what it refuses."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from test_report_calibrate import Marked, examples
from tiny_models import write_reader
from tinyreader.cli import main
from tinyreader.data import fingerprint, write_squad
from tinyreader.reader import Reader, ReaderSettings
from tinyreader.reader.settings import read_settings, write_settings
from tinyreader.tokenizer import load_tokenizer

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A reader's directory, with a setting of its own."""
    directory = write_reader(tmp_path)
    write_settings(ReaderSettings(max_seq_len=32, doc_stride=6), directory)
    return directory


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs `tinyreader calibrate` in this process and directory, with a reader that finds x: exit code,
    stdout, stderr.
    """
    monkeypatch.chdir(tmp_path)
    write_squad(examples(), Path("calib.json"))

    def from_pretrained(model: str | Path, **_: Any) -> Reader:
        tokenizer = load_tokenizer(model)
        return Reader(tokenizer, Marked(tokenizer.token_to_id("x")), read_settings(Path(model)))

    monkeypatch.setattr(Reader, "from_pretrained", from_pretrained)

    def calibrate(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tinyreader", "calibrate", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out, err

    return calibrate


def test_what_was_learned_is_stored_beside_the_model(run: Run, model: Path) -> None:
    """Settings go over those that were there and keep the others; where they come from stands beside them."""
    code, out, err = run(model, "calib.json", "-o", "elsewhere")
    assert code == 0, err
    result = json.loads(out)
    settings = read_settings(model)
    assert settings.no_answer_threshold == result["threshold"] != 0.0
    assert (settings.temperature, settings.score_offset) == (result["temperature"], result["score_offset"])
    assert settings.no_answer_temperature == result["no_answer_temperature"]
    assert settings.max_seq_len == 32
    note = json.loads((model / "reader.json").read_text())["calibration"]
    assert (note["data"], note["fingerprint"], note["questions"]) == (
        "calib.json",
        fingerprint(examples()),
        300,
    )
    assert note["share_unanswerable"] == 0.5
    assert json.loads((Path("elsewhere") / "reader.json").read_text())["calibration"] == note
    assert "300 questions, 150 answerable, weighted to 50% unanswerable" in err
    assert result["after"]["ece"] < result["before"]["ece"]


def test_the_share_moves_the_threshold(run: Run, model: Path) -> None:
    """A reader for many unanswerable questions answers less readily; --quiet leaves the JSON alone."""
    thresholds = []
    for share in ("0.2", "0.8"):
        code, out, err = run(model, "calib.json", "--share-unanswerable", share, "--quiet")
        assert (code, err) == (0, "")
        thresholds.append(json.loads(out)["threshold"])
    assert thresholds[0] > thresholds[1]


def test_data_that_the_reader_has_seen_is_refused(run: Run, model: Path) -> None:
    """Training data is an error that says why; --allow-seen says it and goes on. Nothing is changed by the
    error.
    """
    (model / "run.json").write_text(json.dumps({"identity": {"data": {"t.json": fingerprint(examples())}}}))
    before = (model / "reader.json").read_bytes()
    code, out, err = run(model, "calib.json")
    assert (code, out) == (2, "")
    assert "it is t.json, which the reader was trained on" in err
    assert (model / "reader.json").read_bytes() == before
    code, _, err = run(model, "calib.json", "--allow-seen")
    assert code == 0
    assert "tinyreader: about calib.json: it is t.json, which the reader was trained on" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["no/model", "calib.json"],
            "no/model is not a directory to store the settings in; give one with -o",
        ),
        (["reader", "calib.json", "-o", "calib.json"], "--out calib.json is a file"),
        (
            ["reader", "calib.json", "-o", "calib.json/x"],
            "--out calib.json/x cannot be written: no file can be created in",
        ),
        (["reader", "calib.json", "--share-unanswerable", "1"], "must lie between 0 and 1"),
        (["reader", "few.json"], "only 20 unanswerable questions"),
    ],
)
def test_what_cannot_be_is_refused(run: Run, model: Path, arguments: list[str], message: str) -> None:
    """Each is an error with its remedy, and the reader's settings stay as they were."""
    write_squad(examples(120, 20), Path("few.json"))
    before = (model / "reader.json").read_bytes()
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert (model / "reader.json").read_bytes() == before


def test_training_data_that_is_not_here_is_said(run: Run, model: Path) -> None:
    """A run that names a file by a path that leads nowhere from here: single questions were not looked up,
    and that is told.
    """
    (model / "run.json").write_text(
        json.dumps({"recipe": {"data": {"train": "gone.json", "dev": "ada/bridges"}}})
    )
    code, _, err = run(model, "calib.json")
    assert code == 0
    assert "whether questions of calib.json are in gone.json, ada/bridges was not looked up" in err
    write_squad(examples(), Path("gone.json"))
    code, _, err = run(model, "calib.json")
    assert code == 2
    assert "300 of its 300 questions are in gone.json" in err
