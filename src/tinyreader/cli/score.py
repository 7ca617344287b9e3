"""`tinyreader score`: exact match and F1 of a prediction file, word for word what the official SQuAD scripts
print.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tinyreader.errors import DataError, SettingsError
from tinyreader.metrics import Gold, Version, gold_from_json, score_v1, score_v2, squad_version
from tinyreader.storage import atomic_text, require_output

_NAMED = 3  # ids named in a warning

DEFAULT_THRESHOLD = 1.0


class ScriptVersion(StrEnum):
    """The official script to follow."""

    v1 = "1.1"
    v2 = "2.0"


DataArgument = Annotated[
    Path,
    typer.Argument(
        metavar="DATA", help="Questions with gold answers: SQuAD JSON, or .gz.", show_default=False
    ),
]
PredictionsArgument = Annotated[
    Path,
    typer.Argument(
        metavar="PREDICTIONS", help="A JSON object: question id to answer text.", show_default=False
    ),
]
NaProbFileOption = Annotated[
    Path | None,
    typer.Option(
        "--na-prob-file",
        "-n",
        metavar="FILE",
        help='A JSON object: question id to probability, or odds, of "no answer". Adds the best thresholds. 2.0 only.',
        show_default=False,
    ),
]
NaProbThreshOption = Annotated[
    float,
    typer.Option(
        "--na-prob-thresh", "-t", metavar="X", help="Above it, a prediction counts as empty. 2.0 only."
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out-file",
        "--out",
        "-o",
        metavar="OUT",
        help="Write the scores there, not to stdout.",
        show_default=False,
    ),
]
VersionOption = Annotated[
    ScriptVersion | None,
    typer.Option(
        help='The official script to follow. If not given, the one that "version" in DATA names; where it names '
        'neither: 2.0 if any question has "is_impossible" or no answers, else 1.1.',
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add `score` to the command line."""
    app.command("score")(score_command)


def score_command(
    data: DataArgument,
    predictions: PredictionsArgument,
    na_prob_file: NaProbFileOption = None,
    na_prob_thresh: NaProbThreshOption = DEFAULT_THRESHOLD,
    out: OutOption = None,
    version: VersionOption = None,
) -> None:
    """Print exact match and F1 of PREDICTIONS on DATA, as the official SQuAD script prints them.

    Scores are equal to the script's to the last digit. DATA is read as leniently as the script reads it: only
    ids and answer texts matter.
    """
    if out is not None:
        require_output(
            out, "--out", {"the data": data, "the predictions": predictions, "--na-prob-file": na_prob_file}
        )
    document = read_json(data)
    answers = _read_object(predictions, "the predictions")
    na_probs = None if na_prob_file is None else _read_object(na_prob_file, "the no-answer probabilities")
    script: Version = squad_version(document) if version is None else version.value
    questions = gold_from_json(document)
    _warn_of_others(questions, answers)
    if script == "2.0":
        _write(
            json.dumps(score_v2(questions, answers, na_probs, na_prob_thresh), indent=None if out else 2), out
        )
        return
    if na_probs is not None or na_prob_thresh != DEFAULT_THRESHOLD:
        raise SettingsError(
            "SQuAD 1.1 scoring knows no no-answer probabilities; leave out --na-prob-file and "
            "--na-prob-thresh, or "
            "score with --version 2.0."
        )
    _warn_of_missing(questions, answers)
    _write(json.dumps(score_v1(questions, answers)), out)


def read_json(path: Path) -> object:
    """The parsed JSON of a UTF-8 file, gzip-compressed or not. Raises `DataError` where there is none."""
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if raw.startswith(b"\x1f\x8b") else raw).decode("utf-8-sig")
        return json.loads(text)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: not a whole gzip file: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 at byte {error.start}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON: {error}") from error


def _read_object(path: Path, what: str) -> dict[str, object]:
    value = read_json(path)
    if not isinstance(value, dict):
        raise DataError(
            f"{path}: {what} should be one JSON object from question ids, not a {type(value).__name__}."
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
            f"ignored: {len(others)} predictions for no question of the data: {_named(others)}", err=True
        )


def _warn_of_missing(questions: Sequence[Gold], predictions: dict[str, object]) -> None:
    missing = [question.id for question in questions if question.id not in predictions]
    if missing:
        counts = f"{len(missing)} of {len(questions)}"
        typer.echo(f"{counts} questions have no prediction and count 0: {_named(missing)}", err=True)


def _named(qids: Sequence[str]) -> str:
    return ", ".join(map(repr, qids[:_NAMED])) + (", ..." if len(qids) > _NAMED else "")
