"""What a report says and how it lies on disk: `report.json`, the predictions in the official format,
`questions.jsonl`.

A report's directory also holds `index.html` and `plots/`; those are made from what is here, and nothing reads
them again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from tinyreader.errors import DataError
from tinyreader.storage import atomic_path, open_text

FORMAT = 1

REPORT, PREDICTIONS, NULL_ODDS, QUESTIONS, PAGE, PLOTS = (
    "report.json",
    "predictions.json",
    "null_odds.json",
    "questions.jsonl",
    "index.html",
    "plots",
)
"""The names in a report's directory."""

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Question:
    """One question of a report: what was said, what it scores, and what slices are made by.

    `prediction` is the best span's text, code points [start, end) of the context, whether or not the reader
    gave it; `answered` says whether it did, at the threshold it ships with (`null_odds` at most that).
    `score` is the reader's own for the span, `confidence` that for what it said, "no answer" included; all
    three 0 to 1. `exact` and `f1`, 0 to 1, are of what it said; `text_exact` and `text_f1` of the best span.
    `position` is where in the context the first gold answer starts, 0 to
    1. `teacher` is what the teacher said ("" for no answer), None where no teacher's predictions were given.
    """

    id: str
    prediction: str
    start: int
    end: int
    answered: bool
    null_odds: float
    score: float
    confidence: float
    exact: float
    f1: float
    text_exact: float
    text_f1: float
    answerable: bool
    question_word: str
    context_tokens: int
    windows: int
    answer_words: int | None = None
    position: float | None = None
    teacher: str | None = None
    teacher_exact: float | None = None
    teacher_f1: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What `report.json` holds, by its top-level names; all of it is plain data.

    model: name, parameters and weights, their fingerprint (None: unknown), size_bytes, run (what `distil`
    left beside the model, or None). reader: engine, precision, settings. data: name, split (of a Hub data
    set; None: none was named), fingerprint, questions, answerable, left_out. normalisation: "squad-en" is the
    official scripts'. official: script ("1.1" or "2.0") and na_prob_thresh, the threshold the scores are at
    (None: always an answer). scores: percentages by the official script's names. answered: exact and f1 of
    answerable questions with no-answer off. intervals: of those scores' means, 95 %, in percent. calibration:
    ece and bins, against exact match, and ece_f1, against F1. curves, slices: see the modules of these names.
    speed: questions_per_second and reading_seconds of all questions in one stream; latency_ms,
    latency_questions and latency_seconds of some asked alone; peak_memory_bytes; report_seconds, of checking
    and of all that follows reading. teacher: scores of the teacher's predictions on the same questions, or
    None. training: what the run's log says, or None. layers: agreement with the teacher per layer, or None.
    """

    model: dict[str, Any]
    reader: dict[str, Any]
    data: dict[str, Any]
    normalisation: str
    official: dict[str, Any]
    scores: dict[str, float]
    answered: dict[str, float]
    intervals: dict[str, Interval]
    calibration: dict[str, Any]
    curves: dict[str, Any]
    slices: dict[str, Any]
    speed: dict[str, Any]
    machine: dict[str, Any]
    versions: dict[str, str]
    date: str
    teacher: dict[str, Any] | None = None
    training: dict[str, Any] | None = None
    layers: dict[str, Any] | None = None
    format: int = field(default=FORMAT)


def save_report(report: Report, questions: Sequence[Question], directory: Path) -> None:
    """Writes the four files; `report.json` goes first and comes last, so that a directory with one is
    whole.
    """
    (directory / REPORT).unlink(missing_ok=True)
    _write_json(directory / PREDICTIONS, {q.id: q.prediction for q in questions})
    _write_json(directory / NULL_ODDS, {q.id: q.null_odds for q in questions})
    with atomic_path(directory / QUESTIONS) as path, path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(strict(asdict(q)), ensure_ascii=False) + "\n" for q in questions)
    with atomic_path(directory / REPORT) as path:
        content = {"format": report.format} | strict(asdict(report))
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load_report(directory: str | Path) -> Report:
    """The report in that directory. Raises `DataError` where there is none, or one of another format."""
    path = Path(directory) / REPORT
    content = _read(path, directory)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else None
        raise DataError(
            f"{path} is of format {found!r}; this version reads format {FORMAT}. Evaluate once more."
        )
    known = {f.name for f in fields(Report)}
    try:
        content["intervals"] = {
            name: (low, high) for name, (low, high) in content["intervals"].items()
        }  # JSON has lists
        return Report(**{name: value for name, value in content.items() if name in known})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path} is no whole report ({error}). Evaluate once more.") from None


def load_questions(directory: str | Path) -> list[Question]:
    """The questions of the report in that directory, in the order of the data."""
    path = Path(directory) / QUESTIONS
    try:
        with open_text(path) as file:
            return [_question(json.loads(line)) for line in file if line.strip()]
    except OSError as error:
        raise _no_report(directory, error) from error
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} is damaged ({error}). Evaluate once more.") from None


def strict(value: Any) -> Any:
    """The value with None in place of NaN and infinities, which JSON does not have."""
    if isinstance(value, dict):
        return {name: strict(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def our_names(plots: Iterable[str] = ()) -> set[str]:
    """The names of everything a report's directory may hold."""
    return {REPORT, PREDICTIONS, NULL_ODDS, QUESTIONS, PAGE, PLOTS, *plots}


def _question(row: dict[str, Any]) -> Question:
    if row.get("null_odds") is None:
        row["null_odds"] = math.inf  # a context without a token has no span; JSON has no infinity
    return Question(**row)


def _read(path: Path, directory: str | Path) -> object:
    try:
        with open_text(path) as file:
            return json.load(file)
    except OSError as error:
        raise _no_report(directory, error) from error
    except ValueError as error:
        raise DataError(f"{path} is damaged ({error}). Evaluate once more.") from None


def _no_report(directory: str | Path, error: OSError) -> DataError:
    return DataError(
        f"{directory} holds no report: {Path(error.filename or REPORT).name} cannot be read "
        f"({error.strerror or error}). "
        f"Make one with: tinyreader evaluate MODEL DATA -o {directory}"
    )


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with atomic_path(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        json.dump(content, file, ensure_ascii=False)
