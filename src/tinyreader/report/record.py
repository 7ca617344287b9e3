"""A report and its directory: `report.json`, the predictions in the official format, `questions.jsonl`; and
the answers of a teacher, from such a directory or a prediction file.

A report's directory also holds `index.html` and `plots/`; they are made from these files and never read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from tinyreader.data import Example
from tinyreader.errors import DataError, SettingsError
from tinyreader.storage import atomic_path, open_text, require_writable

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
    """One question of a report: the reader's answer, its scores, and what slices are made by.

    `prediction` is the best span's text, code points [start, end) of the context, whether or not the reader
    gave it as its answer; `answered` says whether it did, at the threshold it ships with. `score` is the
    reader's own for the span, `confidence` that for its decision, "no answer" included; both 0 to 1. `exact`
    and `f1`, 0 to 1, are those of the decision; `text_exact` and `text_f1` those of the best span. `position`
    is where in the context the first gold answer starts, 0 to 1. `teacher` is the teacher's answer ("" for no
    answer), None without a teacher's predictions.
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
    """Writes the four files. An old `report.json` is removed first and the new one written last, so that a
    directory that has one is complete.
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
        raise DataError(f"{path} is of format {found!r}; this version reads format {FORMAT}. Evaluate again.")
    known = {f.name for f in fields(Report)}
    try:
        content["intervals"] = {
            name: (low, high) for name, (low, high) in content["intervals"].items()
        }  # JSON has lists
        return Report(**{name: value for name, value in content.items() if name in known})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path} is incomplete ({error}). Evaluate again.") from None


def load_questions(directory: str | Path) -> list[Question]:
    """The questions of the report in that directory, in the order of the data."""
    path = Path(directory) / QUESTIONS
    try:
        with open_text(path) as file:
            return [_question(json.loads(line)) for line in file if line.strip()]
    except OSError as error:
        raise _no_report(directory, error) from error
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} is damaged ({error}). Evaluate again.") from None


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


def teacher_answers(place: Path, examples: Sequence[Example]) -> dict[str, str]:
    """The teacher's answer to each example by id, "" for no answer, from a prediction file or from the directory
    of a report or run that has one.

    Where null odds lie beside the predictions (as `null_odds.json`, or as NAME.null_odds.json), an answer
    whose odds exceed the report's threshold (else 0) counts as no answer. Raises `DataError` for a file that
    does not hold predictions, or lacks a question.
    """
    path = place / PREDICTIONS if place.is_dir() else place
    texts = _json_object(path)
    wrong = next((qid for qid, text in texts.items() if not isinstance(text, str)), None)
    if wrong is not None:
        raise DataError(
            f"{path}: the prediction for {wrong!r} is not a text, so this is not a prediction file."
        )
    missing = [e.id for e in examples if e.id not in texts]
    if missing:
        raise DataError(
            f"{path} has no prediction for {len(missing)} of {len(examples)} questions, such as "
            f"{missing[0]!r}: it was made on other data. Have the teacher predict this data: "
            "tinyreader predict TEACHER DATA -o OUT"
        )
    odds, threshold = _null_odds(path), _threshold(place)
    answers: dict[str, str] = {}
    for example in examples:
        value = odds.get(example.id, -float("inf"))
        if not isinstance(value, int | float):
            raise DataError(
                f"the null odds beside {path} hold {value!r} for {example.id!r}, which is not a number."
            )
        answers[example.id] = "" if value > threshold else str(texts[example.id])
    return answers


def check_output(out: Path) -> None:
    """Raises `SettingsError` where a report cannot be written to `out`, or would replace other files.

    A report's directory is recognised by its page or its `report.json`; predictions without either are not
    ours to replace.
    """
    if out.exists() and not out.is_dir():
        raise SettingsError(f"--out {out} is a file; give a directory for the report")
    require_writable(out, f"--out {out}")
    if not out.is_dir():
        return
    names = {path.name for path in out.iterdir() if not path.name.startswith(".tmp-")}
    others = names - our_names()
    if not names & {REPORT, PAGE}:
        others |= names & {PREDICTIONS, NULL_ODDS, QUESTIONS}
    if others:
        raise SettingsError(
            f"--out {out} holds something else ({', '.join(sorted(others)[:3])}); give a new or empty "
            "directory"
        )


def remove_old_plots(out: Path, known: Collection[str], kept: Collection[str]) -> None:
    """Removes the plots of an earlier report in `out` that this one does not have; other files stay.

    `known` are the names of all plots that a report can have, `kept` those of this one's.
    """
    for name in set(known) - set(kept):
        for dark in ("", "-dark"):
            for kind in ("svg", "png"):
                (out / PLOTS / f"{name}{dark}.{kind}").unlink(missing_ok=True)


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
        raise DataError(f"{path} is damaged ({error}). Evaluate again.") from None


def _no_report(directory: str | Path, error: OSError) -> DataError:
    return DataError(
        f"{directory} does not hold a report: {Path(error.filename or REPORT).name} cannot be read "
        f"({error.strerror or error}). "
        f"Make one with: tinyreader evaluate MODEL DATA -o {directory}"
    )


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with atomic_path(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        json.dump(content, file, ensure_ascii=False)


def _null_odds(predictions: Path) -> dict[str, object]:
    """The odds beside a prediction file; empty where there are none."""
    own = predictions.with_name(f"{predictions.name.removesuffix('.json')}.null_odds.json")
    for path in (own, predictions.with_name(NULL_ODDS)):
        if path.is_file() and (path == own or predictions.name == PREDICTIONS):
            return _json_object(path)
    return {}


def _threshold(place: Path) -> float:
    """The threshold of the report in that directory, infinite where it always answers; 0 without a report."""
    if not (place / REPORT).is_file():
        return 0.0
    threshold = load_report(place).official.get("na_prob_thresh")
    return float("inf") if threshold is None else float(threshold)


def _json_object(path: Path) -> dict[str, object]:
    try:
        with open_text(path) as file:
            content = json.load(file)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise DataError(f"{path}: not JSON: {error}") from error
    if not isinstance(content, dict):
        raise DataError(
            f"{path} should be one JSON object from question ids, not a {type(content).__name__}."
        )
    return content
