"""`tinyreader predict`: a reader's answers to a data set, in the official prediction format."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer

from tinyreader.cli.options import (
    EngineOption,
    ModelArgument,
    OnBadOption,
    PrecisionOption,
    QuietOption,
    SplitOption,
    ThreadsOption,
    TruncateQuestionsOption,
    data_argument,
    out_option,
    question_length_advice,
)
from tinyreader.errors import SettingsError
from tinyreader.storage import atomic_text, require_output


def predict(
    model: ModelArgument,
    data: Annotated[str, data_argument("Questions")],
    out: Annotated[Path, out_option("Predictions: a JSON object from question id to answer.")],
    split: SplitOption = None,
    on_bad: OnBadOption = "error",
    null_threshold: Annotated[
        str,
        typer.Option(
            metavar="X|off",
            help='Predict "" if the question\'s null odds exceed this; off: always predict the best span.',
        ),
    ] = "0",
    null_odds: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Null odds by question id, as JSON: the score of no answer minus the best answer's, in logits.",
            show_default="beside OUT, as NAME.null_odds.json",
        ),
    ] = None,
    max_seq_len: Annotated[int, typer.Option(help="Maximum window length, in tokens.")] = 384,
    doc_stride: Annotated[int, typer.Option(help="Overlap of neighbouring windows, in tokens.")] = 128,
    max_answer_tokens: Annotated[int, typer.Option(help="Maximum answer length, in tokens.")] = 30,
    truncate_questions: TruncateQuestionsOption = False,
    engine: EngineOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = None,
    quiet: QuietOption = False,
) -> None:
    """Predict the answers of a data set.

    Writes the answers and the null odds in the format that `tinyreader score` and the official SQuAD script read.
    """
    threshold = _threshold(null_threshold)
    odds_path = null_odds or out.parent / f"{out.name.removesuffix('.json')}.null_odds.json"
    _check_outputs(out, odds_path, data)
    from tinyreader.data import ReadReport, load_examples
    from tinyreader.progress import Progress
    from tinyreader.reader import Reader
    from tinyreader.runtimes.reading import predict as predictions_of
    from tinyreader.windows import Windower, WindowSettings

    settings = WindowSettings(max_seq_len, doc_stride, None, "truncate" if truncate_questions else "error")
    report = ReadReport()
    examples = load_examples(data, split=split, on_bad=on_bad, rejected=report)
    if report.counts:
        typer.echo(f"{data}: {report}", err=True)
    given: dict[str, Any] = {"engine": engine, "precision": precision, "threads": threads}
    reader = Reader.from_pretrained(model, max_seq_len=max_seq_len, doc_stride=doc_stride, **given)
    windower, progress = Windower(reader.tokenizer, settings), Progress(quiet=quiet)
    with question_length_advice("Shorten it, or give --truncate-questions."):
        for example in examples:  # a question that is too long should stop this now, not in an hour
            windower.check_question(example)

    found = []
    for prediction in predictions_of(examples, windower, reader.runtime, max_answer_tokens=max_answer_tokens):
        found.append(prediction)
        progress.show(f"{len(found):,}/{len(examples):,} questions", force=len(found) == len(examples))
    answers = {p.id: p.answer(threshold) for p in found}
    _write(out, answers)
    _write(odds_path, {p.id: p.null_odds for p in found})
    summary = {
        "predictions": str(out),
        "null_odds": str(odds_path),
        "questions": len(found),
        "unanswered": sum(not answer for answer in answers.values()),
        "truncated_questions": windower.counts.truncated_questions,
        "repaired": report.n_repaired,
        "skipped": report.n_skipped,
        "unread": report.n_unread,
    }
    typer.echo(json.dumps(summary))


def _threshold(text: str) -> float:
    if text == "off":
        return math.inf
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise SettingsError(
            f'--null-threshold {text!r} is not a number; give one, or "off" to always predict the best span'
        )
    return value


def _check_outputs(out: Path, odds: Path, data: str) -> None:
    """Raise `SettingsError`, before any work, if a file cannot be written or would replace another."""
    for path, option in ((out, "--out"), (odds, "--null-odds")):
        require_output(path, option, {"the data": data})
    if out.resolve() == odds.resolve():
        raise SettingsError(f"--out and --null-odds are both {out}; give two names")


def _write(path: Path, content: dict[str, str] | dict[str, float]) -> None:
    with atomic_text(path) as file:
        json.dump(content, file, ensure_ascii=False)
