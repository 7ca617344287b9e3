"""`tinyreader score`: the official scripts' output on stdout, everything else on stderr, one line where it
fails.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tinyreader.cli import main

Case = dict[str, Any]
Run = Callable[..., tuple[int, str, str]]

GOLDEN = json.loads(
    Path(__file__).with_name("golden").joinpath("squad_scores.json").read_text(encoding="utf-8")
)
QUESTIONS = [{"id": "q1", "answers": [{"text": "the cat"}]}, {"id": "q2", "answers": [{"text": "dog"}]}]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `tinyreader score` in this process: exit code, stdout, stderr."""

    def score(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tinyreader", "score", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out, err

    return score


def document(version: str | None = "1.1", *, impossible: bool = False) -> Case:
    """A data file of two questions, the second without an answer if wanted."""
    second = {"id": "q2", "answers": []} if impossible else QUESTIONS[1]
    data = [{"paragraphs": [{"qas": [QUESTIONS[0], second]}]}]
    return {"data": data} | ({"version": version} if version else {})


def write(path: Path, content: object) -> Path:
    """The path, with the content in it as JSON."""
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["name"].replace(" ", "-"))
def test_stdout_is_the_official_scripts(tmp_path: Path, run: Run, case: Case) -> None:
    """For each golden case stdout is the official script's, byte by byte; where that stops, exit code 2 and
    one line.
    """
    arguments: list[object] = [
        write(tmp_path / "data", case["data"]),
        write(tmp_path / "preds", case["predictions"]),
    ]
    if case.get("na_probs") is not None:
        arguments += ["--na-prob-file", write(tmp_path / "odds", case["na_probs"])]
    if case.get("na_prob_thresh") is not None:
        arguments += [f"--na-prob-thresh={case['na_prob_thresh']!r}"]
    code, out, err = run(*arguments)
    expected = case.get("stdout_from_3_12", case["stdout"]) if sys.version_info >= (3, 12) else case["stdout"]
    if expected is None:
        assert (code, out) == (2, "")
        assert err.splitlines()[-1].startswith("tinyreader: ")
        assert "Traceback" not in err
    else:
        assert (code, out) == (0, expected)


def test_warnings_go_to_stderr(tmp_path: Path, run: Run) -> None:
    """Questions without prediction and predictions without question are counted on stderr, not on stdout."""
    data, preds = (
        write(tmp_path / "data", document()),
        write(tmp_path / "preds", {"q1": "cat", "x": "", "y": ""}),
    )
    code, out, err = run(data, preds)
    assert (code, json.loads(out)) == (0, {"exact_match": 50.0, "f1": 50.0})
    assert "2 predictions whose ids are not in the data: 'x', 'y'" in err
    assert "1 of 2 questions have no prediction and score 0: 'q2'" in err


def test_the_scores_can_go_to_a_file(tmp_path: Path, run: Run) -> None:
    """With -o the file holds the scores on one line, as the official script writes it, and stdout nothing."""
    data = write(tmp_path / "data", document("v2.0", impossible=True))
    preds, out_file = write(tmp_path / "preds", {"q1": "cat", "q2": ""}), tmp_path / "scores.json"
    assert run(data, preds, "-o", out_file)[:2] == (0, "")
    text = out_file.read_text(encoding="utf-8")
    assert text == json.dumps(json.loads(text))
    assert text == json.dumps(json.loads(run(data, preds)[1]))


@pytest.mark.parametrize("name", ["data", "preds", "odds", "link"])
def test_scores_replace_nothing_that_they_come_from(tmp_path: Path, run: Run, name: str) -> None:
    """-o on the data, the predictions or the odds, by whatever name, is refused and the file is whole."""
    data = write(tmp_path / "data", document("v2.0", impossible=True))
    preds, odds = (
        write(tmp_path / "preds", {"q1": "cat", "q2": ""}),
        write(tmp_path / "odds", {"q1": 0.1, "q2": 0.2}),
    )
    (tmp_path / "link").symlink_to(preds)
    before = {path: path.read_bytes() for path in (data, preds, odds)}
    code, out, err = run(data, preds, "-n", odds, "-o", tmp_path / name)
    assert (code, out) == (2, "")
    assert "and would replace it" in err
    assert {path: path.read_bytes() for path in before} == before


def test_scores_appear_whole_or_not_at_all(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where writing fails, as on a full disk, the scores of before stay as they were."""
    data, preds = write(tmp_path / "data", document()), write(tmp_path / "preds", {"q1": "cat", "q2": "dog"})
    (tmp_path / "scores").write_text("of before", encoding="utf-8")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tinyreader.storage.sync", full)
    code, _, err = run(data, preds, "-o", tmp_path / "scores")
    assert (code, "No space left" in err) == (2, True)
    assert (tmp_path / "scores").read_text("utf-8") == "of before"
    assert not list(tmp_path.glob(".tmp-*"))


def test_data_may_be_compressed(tmp_path: Path, run: Run) -> None:
    """A .gz data file scores as the plain one."""
    plain, preds = (
        write(tmp_path / "data.json", document()),
        write(tmp_path / "preds", {"q1": "cat", "q2": ""}),
    )
    packed = tmp_path / "data.json.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert run(packed, preds) == run(plain, preds)


def test_the_version_can_be_chosen(tmp_path: Path, run: Run) -> None:
    """--version overrides what the file says; where it says nothing, a question without answers makes it
    2.0.
    """
    preds = write(tmp_path / "preds", {"q1": "cat", "q2": "dog"})
    data = write(tmp_path / "data", document(None))
    assert "exact_match" in run(data, preds)[1]
    assert "HasAns_exact" in run(data, preds, "--version", "2.0")[1]
    impossible = write(tmp_path / "impossible", document(None, impossible=True))
    assert "NoAns_exact" in run(impossible, preds)[1]
    code, _, err = run(impossible, preds, "--version", "1.1")
    assert (code, "use version 2.0" in err) == (2, True)


@pytest.mark.parametrize("option", ["--na-prob-file", "--na-prob-thresh"])
def test_no_answer_options_need_version_2(tmp_path: Path, run: Run, option: str) -> None:
    """No-answer options on 1.1 data are refused, since the 1.1 script would not heed them."""
    preds = write(tmp_path / "preds", {"q1": "cat", "q2": "dog"})
    value = write(tmp_path / "odds", {"q1": 0.1, "q2": 0.2}) if option == "--na-prob-file" else 0.5
    code, out, err = run(write(tmp_path / "data", document()), preds, option, value)
    assert (code, out) == (2, "")
    assert "--version 2.0" in err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"data": [', "cut off"),
        (b"\xff\xfe", "byte 0 (0xff) is not UTF-8"),
        (b"\x1f\x8b\x08\x00cut", "is cut off"),
        (b'{"data": [{"paragraphs": 3}]}', '"paragraphs" of data[0] should be a list'),
        (b"[" * 100_000, "nested too deeply"),
        (None, "cannot be read: No such file"),
    ],
)
def test_data_that_cannot_be_read(tmp_path: Path, run: Run, content: bytes | None, message: str) -> None:
    """A damaged, missing or wrongly shaped data file is one line on stderr and exit code 2."""
    data = tmp_path / "data.json"
    if content is not None:
        data.write_bytes(content)
    code, out, err = run(data, write(tmp_path / "preds", {"q1": ""}))
    assert (code, out) == (2, "")
    assert err.startswith("tinyreader: ")
    assert message in err
    assert len(err.splitlines()) == 1


def test_predictions_must_be_an_object(tmp_path: Path, run: Run) -> None:
    """A list of predictions is refused with the form that is wanted."""
    preds = write(tmp_path / "preds.json", [{"id": "q1", "text": "cat"}])
    code, _, err = run(write(tmp_path / "data", document()), preds)
    assert code == 2
    assert "must be one JSON object by question id, not a list" in err


def test_an_output_that_cannot_be_written(tmp_path: Path, run: Run) -> None:
    """An output path below a file is one line on stderr and exit code 2."""
    preds = write(tmp_path / "preds", {"q1": "cat", "q2": "dog"})
    code, _, err = run(write(tmp_path / "data", document()), preds, "-o", preds / "scores.json")
    assert code == 2
    assert "cannot be written" in err
