"""`tinyreader adapt`: a reader that knows your own kind of documents, and whether that helped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinyreader.cli.options import ModelOption, QuietOption, SeedOption, out_option
from tinyreader.errors import MissingExtraError
from tinyreader.model_files import STARTER

if TYPE_CHECKING:
    from tinyreader.adapt import Change, Outcome


def adapt(
    questions: Annotated[
        Path,
        typer.Argument(
            metavar="QUESTIONS",
            help="CSV or JSON Lines with file (or document), question, answer; or SQuAD JSON.",
        ),
    ],
    out: Annotated[Path, out_option("Directory of the adapted reader.", "DIR")],
    documents: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the documents that QUESTIONS names.")
    ] = None,
    model: ModelOption = STARTER,
    held_out: Annotated[
        float, typer.Option(help="Share of the questions to score on, not trained on.")
    ] = 0.2,
    everyday: Annotated[
        int | None,
        typer.Option(help="Number of everyday questions mixed in (default: as many as yours, 600 or more)."),
    ] = None,
    epochs: Annotated[float, typer.Option(help="Passes over the questions.")] = 3.0,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 1e-4,
    seed: SeedOption = 0,
    quiet: QuietOption = False,
) -> None:
    """Adapt a reader to your own documents, and measure the gain.

    Trains on 20 to some thousand questions of your own. An answer is words of the document; an empty one says
    that the document does not answer. Exit code 1 if the adapted reader is not better on the questions held out.
    """
    try:
        from tinyreader.adapt import AdaptSettings
        from tinyreader.adapt import adapt as carry_out
    except ModuleNotFoundError as error:
        raise MissingExtraError("training", "train") from error
    from tinyreader.own_questions import read_own_questions
    from tinyreader.progress import Progress

    progress = Progress(quiet=quiet)
    own = read_own_questions(questions, documents)
    for finding in own.ambiguous:
        progress.say(str(finding))
    settings = AdaptSettings(model, held_out, everyday, epochs, learning_rate, seed)
    outcome = carry_out(own.examples, out, settings, progress)
    if not quiet:
        typer.echo(_table(outcome), err=True)
    typer.echo(json.dumps({"model": str(out), **outcome.as_dict()}))
    if not outcome.own.is_gain:
        raise typer.Exit(1)


def _table(outcome: Outcome) -> str:
    """Before and after for a person, and a sentence that says what it means."""
    rows = [
        f"{'F1 on questions held out':<26}{'before':>8}{'after':>8}   difference (95 %)",
        _row(f"{outcome.own.questions} of yours", outcome.own),
        _row(f"{outcome.everyday.questions} everyday", outcome.everyday),
    ]
    if outcome.own.is_gain:
        verdict = "The adapted reader is better on your questions."
    elif outcome.own.is_loss:
        verdict = "The adapted reader is worse on your questions: keep the one you had."
    else:
        verdict = "No gain is shown on your questions. More of them would help, of more documents."
    if outcome.everyday.is_loss:
        verdict += " It lost on everyday questions."
    if not outcome.is_calibrated:
        verdict += " No new no-answer threshold could be learned; that of the reader before is kept."
    if not outcome.by_document:
        verdict += (
            " Your questions are on fewer than 5 documents, so it was scored on documents that it trained on."
        )
    return "\n".join([*rows, verdict])


def _row(name: str, change: Change) -> str:
    d = change.difference
    return (
        f"{name:<26}{change.before:>8.1f}{change.after:>8.1f}   {d.mean:+.1f} [{d.low:+.1f}, {d.high:+.1f}]"
    )
