"""`tinyreader predict`: a reader's answers to a data set, in the official prediction format."""

from __future__ import annotations

import enum
import json
import math
from pathlib import Path
from typing import Annotated

import typer

from tinyreader.cli.ask import advising
from tinyreader.cli.data import BadExamples, OnBadOption
from tinyreader.errors import MissingExtraError, SettingsError
from tinyreader.storage import atomic_text, require_output


class PrecisionChoice(enum.StrEnum):
    """What `--precision` can be."""

    auto = "auto"
    bf16 = "bf16"
    fp32 = "fp32"


def predict(
    model: Annotated[str, typer.Argument(help="Reader: a directory or a Hub id.")],
    data: Annotated[str, typer.Argument(help="Questions: SQuAD JSON, JSONL or a Hub id.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Where the predictions go; id to answer, as JSON.")
    ],
    split: Annotated[str | None, typer.Option(help="Split of a Hub data set.")] = None,
    null_threshold: Annotated[
        str, typer.Option(help='Answer "" where the null odds exceed this; "off": always the best span.')
    ] = "0",
    null_odds: Annotated[
        Path | None,
        typer.Option(help="Where the null odds go.", show_default="beside OUT, as NAME.null_odds.json"),
    ] = None,
    max_seq_len: Annotated[int, typer.Option(help="Tokens a window.")] = 384,
    doc_stride: Annotated[int, typer.Option(help="Tokens neighbouring windows share.")] = 128,
    max_answer_tokens: Annotated[int, typer.Option(help="Longest answer, in tokens.")] = 30,
    precision: Annotated[
        PrecisionChoice, typer.Option(help="Number format of the arithmetic.")
    ] = PrecisionChoice.auto,
    truncate_questions: Annotated[
        bool, typer.Option(help="Cut questions that do not fit, and count them.")
    ] = False,
    on_bad: OnBadOption = BadExamples.error,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
) -> None:
    """Answer every question of a data set; writes predictions and null odds for `tinyreader score`."""
    threshold = _threshold(null_threshold)
    odds_path = null_odds or out.parent / f"{out.name.removesuffix('.json')}.null_odds.json"
    _check_outputs(out, odds_path, data)
    try:
        from tinyreader.distil.evaluate import open_runtime
    except ModuleNotFoundError as error:
        raise MissingExtraError("predicting", "train") from error
    from tinyreader.data import ReadReport, load_examples
    from tinyreader.progress import Progress
    from tinyreader.runtimes.reading import predict as predictions_of
    from tinyreader.windows import Windower, WindowSettings

    settings = WindowSettings(max_seq_len, doc_stride, None, "truncate" if truncate_questions else "error")
    report = ReadReport()
    examples = load_examples(data, split=split, on_bad=on_bad.value, rejected=report)
    if report.counts:
        typer.echo(f"{data}: {report}", err=True)
    tokenizer, runtime = open_runtime(model, precision.value, max_seq_len)
    windower, progress = Windower(tokenizer, settings), Progress(quiet=quiet)
    with advising("Shorten it, or cut such questions with --truncate-questions."):
        for example in examples:  # before work is spent: too long a question is an error now, not in an hour
            windower.check_question(example)

    found = []
    for prediction in predictions_of(examples, windower, runtime, max_answer_tokens=max_answer_tokens):
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
            f'--null-threshold {text!r} is no number; give one, or "off" for always an answer.'
        )
    return value


def _check_outputs(out: Path, odds: Path, data: str) -> None:
    """Raises `SettingsError`, before work is spent, where the files cannot be written or would replace
    another.
    """
    for path, option in ((out, "--out"), (odds, "--null-odds")):
        require_output(path, option, {"the data": data})
    if out.resolve() == odds.resolve():
        raise SettingsError(f"--out and --null-odds are both {out}; give two names")


def _write(path: Path, content: dict[str, str] | dict[str, float]) -> None:
    with atomic_text(path) as file:
        json.dump(content, file, ensure_ascii=False)


def register(app: typer.Typer) -> None:
    """Adds the command to `app`."""
    app.command()(predict)
