"""`tinyreader quickstart`: the whole job on the embedded sample, with a table and two questions at the end."""

from __future__ import annotations

import json
import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from tinyreader.errors import MissingExtraError

if TYPE_CHECKING:
    from tinyreader.quickstart import Outcome


def quickstart(
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Keep everything here.", show_default="a temporary directory")
    ] = None,
) -> None:
    """Train a small teacher on an invented encyclopaedia, distil it, compare, and ask two questions.

    Exit code 1 where the teacher or the student stays below what is expected of them.
    """
    try:
        from tinyreader.quickstart import quickstart as carry_out
    except ModuleNotFoundError as error:
        raise MissingExtraError("the quick start", "train") from error
    from tinyreader.progress import Progress

    if out is not None:
        outcome = carry_out(out, Progress())
        _tell(outcome)
        _tell_next(outcome)
    else:
        with tempfile.TemporaryDirectory(prefix="tinyreader-") as folder:
            outcome = carry_out(Path(folder), Progress())
            _tell(outcome)
    rows = {"teacher": outcome.teacher, "labels": outcome.labels, "distilled": outcome.distilled}
    summary = {name: {"f1": row.scores["f1"], "exact": row.scores["exact"]} for name, row in rows.items()}
    typer.echo(json.dumps({**summary, "share_kept": outcome.share_kept, "failures": outcome.failures}))
    if outcome.failures:
        for failure in outcome.failures:
            typer.echo(f"tinyreader: {failure}", err=True)
        raise typer.Exit(1)


def _tell(outcome: Outcome) -> None:
    """Prints the table and the two answers."""
    console = Console()
    table = Table(title="Held-out articles")
    table.add_column("reader", no_wrap=True)
    for column in ("layers", "params", "EM", "F1", "HasAns F1", "NoAns F1", "time"):
        table.add_column(column, justify="right")
    for row in (outcome.teacher, outcome.labels, outcome.distilled):
        s = row.scores
        table.add_row(
            row.name, str(row.layers), f"{row.parameters / 1e6:.2f} M", f"{s['exact']:.1f}", f"{s['f1']:.1f}",
            f"{s['HasAns_f1']:.1f}", f"{s['NoAns_f1']:.1f}", f"{row.seconds:.0f} s",
        )  # fmt: skip
    console.print(table)
    console.print(f"The distilled student keeps {outcome.share_kept:.1%} of its teacher's F1.\n")
    if outcome.asked:
        console.print(outcome.asked[0][0].context, highlight=False, markup=False)
    for example, prediction in outcome.asked:
        found = prediction.answer(0.0)
        place = f" [{prediction.start}:{prediction.end}]" if found else ""
        console.print(f"\nQ: {example.question}\nA: {(found + place) or 'no answer in this text'}", markup=False)
    console.print()


def _tell_next(outcome: Outcome) -> None:
    """Prints where the student is, and a command that asks it."""
    question = outcome.asked[0][0].question
    command = shlex.join(["tinyreader", "ask", question, str(outcome.shown), "--model", str(outcome.student)])
    typer.echo(f"The student is in {outcome.student}. Ask it something:\n  {command}\n")


def register(app: typer.Typer) -> None:
    """Adds the command to `app`."""
    app.command()(quickstart)
