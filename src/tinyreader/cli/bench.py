"""`tinyreader bench`: the engines side by side, for one model on this machine."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tinyreader.export.bench import BenchRow


def bench(
    model: Annotated[str, typer.Argument(help="Reader: a directory or a Hub id.")],
    data: Annotated[str | None, typer.Option(help="Questions to ask (default: on texts of our own).")] = None,
    questions: Annotated[int, typer.Option(min=1, help="So many of them at most.")] = 200,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads (default: all).")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Passes over the questions; the fastest counts.")] = 3,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
) -> None:
    """Compare speed and answers of the installed engines; exit code 1 where not one could be measured.

    int8 takes part once `tinyreader export` has measured its ranges. The last line is the table as JSON.
    """
    from tinyreader.cli.export import some_questions
    from tinyreader.export.bench import bench as rows_of
    from tinyreader.export.bench import is_busy
    from tinyreader.model_files import model_directory
    from tinyreader.progress import Progress

    busy = is_busy()
    if busy:
        typer.echo("tinyreader: other work keeps this machine busy; times will mean little", err=True)
    progress = Progress(quiet=quiet)
    rows = list(
        rows_of(
            model_directory(model),
            some_questions(data, questions),
            threads=threads,
            repeats=repeats,
            on_progress=lambda text: progress.show(text, force=True),
        )
    )
    _show(rows)
    typer.echo(json.dumps({"model": model, "machine_was_busy": busy, "rows": [asdict(row) for row in rows]}))
    if all(row.failure for row in rows):
        raise typer.Exit(1)


def _show(rows: list[BenchRow]) -> None:
    """Print the table for a person."""
    typer.echo(f"{'':<16}{'questions/s':>12}{'one, ms':>10}{'first, s':>10}{'equal':>8}{'logits off':>12}")
    for row in rows:
        name = f"{row.engine} {row.precision}"
        if row.failure is not None:
            typer.echo(f"{name:<16}  {row.failure}")
            continue
        typer.echo(
            f"{name:<16}{row.questions_per_s:>12.1f}{row.one_question_p50_ms:>10.1f}{row.first_answer_s:>10.2f}"
            f"{row.equal_answers:>8.1%}{row.largest_logit_difference:>12.2g}"
        )


def register(app: typer.Typer) -> None:
    """Adds the command to `app`."""
    app.command()(bench)
