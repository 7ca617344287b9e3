"""`tinyreader quickstart`: asks the starter reader, distils a smaller one from it, and compares the two."""

from __future__ import annotations

import json
import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinyreader.cli.options import warn
from tinyreader.errors import MissingExtraError

if TYPE_CHECKING:
    from tinyreader.quickstart import Asked, Outcome


def quickstart(
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="DIR", help="Directory to keep.", show_default="a temporary directory"
        ),
    ] = None,
) -> None:
    """Ask the starter reader, and distil a smaller one from it.

    Exit code 1 if the answers or the student are worse than expected.
    """
    try:
        from tinyreader.quickstart import ask_starter
        from tinyreader.quickstart import quickstart as carry_out
    except ModuleNotFoundError as error:
        raise MissingExtraError("the quick start", "train") from error
    from tinyreader.progress import Progress
    from tinyreader.storage import make_directory

    if out is not None:
        make_directory(out)
    asked = ask_starter()
    _print_answers(asked)
    typer.echo(
        "\nA student of half its layers is distilled from it, on an invented encyclopaedia (a minute or two)."
    )
    if out is not None:
        outcome = carry_out(out, asked, Progress())
        _print_comparison(outcome)
        _print_next(outcome)
    else:
        with tempfile.TemporaryDirectory(prefix="tinyreader-") as folder:
            outcome = carry_out(Path(folder), asked, Progress())
            _print_comparison(outcome)
    rows = {
        row.name: {"f1": row.scores["f1"], "exact": row.scores["exact"]}
        for row in (outcome.teacher, outcome.student)
    }
    facts = {"right": asked.n_right, "asked": len(asked.examples), "share_kept": outcome.share_kept}
    typer.echo(json.dumps({**rows, **facts, "failures": outcome.failures}))
    if outcome.failures:
        for failure in outcome.failures:
            warn(failure)
        raise typer.Exit(1)


def _print_answers(asked: Asked) -> None:
    """Print the page and the answer to each question."""
    from rich.console import Console

    console = Console()
    console.print(f"{asked.examples[0].context.strip()}\n", highlight=False, markup=False, soft_wrap=True)
    for example, reading in zip(asked.examples, asked.readings, strict=True):
        found = reading.answer
        answer = f"no answer in this text  ({reading.no_answer_score:.0%} sure)"
        if found is not None:
            answer = f"{found.text}  (line {found.line}, {found.score:.0%} sure)"
        console.print(f"Q: {example.question}\nA: {answer}", markup=False, highlight=False)


def _print_comparison(outcome: Outcome) -> None:
    """Print the scores of both readers and the student's answers."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title="Articles that the student has not seen")
    table.add_column("reader", no_wrap=True)
    for column in ("layers", "params", "EM", "F1", "HasAns F1", "NoAns F1", "a question"):
        table.add_column(column, justify="right")
    for row in (outcome.teacher, outcome.student):
        s = row.scores
        table.add_row(
            row.name,
            str(row.layers),
            f"{row.parameters / 1e6:.1f} M",
            f"{s['exact']:.1f}",
            f"{s['f1']:.1f}",
            f"{s['HasAns_f1']:.1f}",
            f"{s['NoAns_f1']:.1f}",
            f"{row.milliseconds:.1f} ms",
        )
    console.print(table)
    kept = f"{outcome.share_kept:.1%} of its teacher's F1"
    console.print(
        f"The student was distilled in {outcome.seconds:.0f} s and keeps {kept}. It is asked about one of "
        "them:\n"
    )
    _print_answers(outcome.answered)
    typer.echo()


def _print_next(outcome: Outcome) -> None:
    """Print where the student is, and a command that asks it."""
    question = outcome.answered.examples[0].question
    command = shlex.join(
        ["tinyreader", "ask", question, str(outcome.shown), "--model", str(outcome.directory)]
    )
    typer.echo(f"The student is in {outcome.directory}. Ask it something:\n  {command}\n")
