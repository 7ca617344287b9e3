"""What a teacher said to the same questions: a prediction file, or the directory of a report or run that
holds one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tinyreader.data import Example
from tinyreader.errors import DataError
from tinyreader.report.record import NULL_ODDS, PREDICTIONS, REPORT, load_report
from tinyreader.storage import open_text


def teacher_answers(place: Path, examples: Sequence[Example]) -> dict[str, str]:
    """The teacher's answer to each example, "" for no answer.

    Where null odds lie beside the predictions (as `null_odds.json`, or as NAME.null_odds.json), an answer
    whose odds exceed the threshold counts as none: the report's own threshold, else 0. Raises `DataError` for
    what is no prediction file, or one that lacks a question.
    """
    path = place / PREDICTIONS if place.is_dir() else place
    texts = _object(path)
    wrong = next((qid for qid, text in texts.items() if not isinstance(text, str)), None)
    if wrong is not None:
        raise DataError(f"{path}: the prediction for {wrong!r} is no text, so this is no prediction file.")
    missing = [e.id for e in examples if e.id not in texts]
    if missing:
        raise DataError(
            f"{path} has no prediction for {len(missing)} of {len(examples)} questions, {missing[0]!r} among "
            "them: it was made "
            "on other data. Have the teacher predict the same file: tinyreader predict TEACHER DATA -o OUT"
        )
    odds, threshold = _null_odds(path), _threshold(place)
    answers: dict[str, str] = {}
    for example in examples:
        value = odds.get(example.id, -float("inf"))
        if not isinstance(value, int | float):
            raise DataError(
                f"the null odds beside {path} hold {value!r} for {example.id!r}, which is no number."
            )
        answers[example.id] = "" if value > threshold else str(texts[example.id])
    return answers


def _null_odds(predictions: Path) -> dict[str, object]:
    """The odds beside a prediction file; empty where there are none."""
    own = predictions.with_name(f"{predictions.name.removesuffix('.json')}.null_odds.json")
    for path in (own, predictions.with_name(NULL_ODDS)):
        if path.is_file() and (path == own or predictions.name == PREDICTIONS):
            return _object(path)
    return {}


def _threshold(place: Path) -> float:
    """The threshold of the report in that directory, infinite where it always answers; 0 where it is no
    report.
    """
    if not (place / REPORT).is_file():
        return 0.0
    threshold = load_report(place).official.get("na_prob_thresh")
    return float("inf") if threshold is None else float(threshold)


def _object(path: Path) -> dict[str, object]:
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
