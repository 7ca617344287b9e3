"""`tinyreader score`: exact match and F1 of a prediction file, exactly as the official SQuAD scripts print them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from tinyreader.data.parse import read_json
from tinyreader.errors import DataError, SettingsError
from tinyreader.metrics import Gold, Version, gold_from_json, score_v1, score_v2, squad_version
from tinyreader.storage import atomic_text, require_output

_N_IDS_SHOWN = 3

DEFAULT_THRESHOLD = 1.0


def score(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Questions with gold answers: SQuAD JSON, also .gz.")
    ],
    predictions: Annotated[
        Path, typer.Argument(metavar="PREDICTIONS", help="Answers: a JSON object from question id to text.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out-file", "--out", "-o", metavar="FILE", help="Write the scores to a file instead."),
    ] = None,
    version: Annotated[
        Version | None, typer.Option(help="Official SQuAD script to follow (default: the one for DATA).")
    ] = None,
    na_prob_file: Annotated[
        Path | None,
        typer.Option(
            "--na-prob-file",
            "-n",
            metavar="FILE",
            help="No-answer scores: a JSON object from question id to a number, such as null odds. Adds the best "
            "thresholds. 2.0 only.",
        ),
    ] = None,
    na_prob_thresh: Annotated[
        float,
        typer.Option(
            "--na-prob-thresh",
            "-t",
            metavar="X",
            help="Predict no answer above this no-answer score. 2.0 only.",
        ),
    ] = DEFAULT_THRESHOLD,
) -> None:
    """Score predictions exactly as the official SQuAD script.

    Prints exact match and F1 of PREDICTIONS on DATA, equal to the script's to the last digit. DATA is read as
    leniently as the script reads it: only ids and answer texts matter. Without --version, its "version" decides;
    if that is neither 1.1 nor 2.0, it is 2.0 if any question has "is_impossible" or no answers, else 1.1.
    """
    if out is not None:
        require_output(
            out, "--out", {"the data": data, "the predictions": predictions, "--na-prob-file": na_prob_file}
        )
    document = read_json(data)
    answers = _read_object(predictions, "the predictions")
    na_probs = None if na_prob_file is None else _read_object(na_prob_file, "the no-answer probabilities")
    script: Version = squad_version(document) if version is None else version
    questions = gold_from_json(document)
    _warn_of_others(questions, answers)
    if script == "2.0":
        _write(
            json.dumps(score_v2(questions, answers, na_probs, na_prob_thresh), indent=None if out else 2), out
        )
        return
    if na_probs is not None or na_prob_thresh != DEFAULT_THRESHOLD:
        raise SettingsError(
            "SQuAD 1.1 scoring has no no-answer probabilities; leave out --na-prob-file and --na-prob-thresh, or "
            "score with --version 2.0"
        )
    _warn_of_missing(questions, answers)
    _write(json.dumps(score_v1(questions, answers)), out)


def _read_object(path: Path, what: str) -> dict[str, object]:
    value = read_json(path)
    if not isinstance(value, dict):
        raise DataError(
            f"{path}: {what} must be one JSON object by question id, not a {type(value).__name__}."
        )
    return value


def _write(text: str, out: Path | None) -> None:
    if out is None:
        typer.echo(text)
        return
    try:
        with atomic_text(out) as file:
            file.write(text)
    except OSError as error:
        raise SettingsError(f"cannot write {out}: {error.strerror or error}") from error


def _warn_of_others(questions: Sequence[Gold], predictions: dict[str, object]) -> None:
    asked = {question.id for question in questions}
    others = [qid for qid in predictions if qid not in asked]
    if others:
        typer.echo(
            f"ignored: {len(others)} predictions whose ids are not in the data: {_shown(others)}", err=True
        )


def _warn_of_missing(questions: Sequence[Gold], predictions: dict[str, object]) -> None:
    missing = [question.id for question in questions if question.id not in predictions]
    if missing:
        counts = f"{len(missing)} of {len(questions)}"
        typer.echo(f"{counts} questions have no prediction and score 0: {_shown(missing)}", err=True)


def _shown(qids: Sequence[str]) -> str:
    return ", ".join(map(repr, qids[:_N_IDS_SHOWN])) + (", ..." if len(qids) > _N_IDS_SHOWN else "")
