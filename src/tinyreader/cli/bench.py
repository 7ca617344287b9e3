"""`tinyreader bench`: the engines side by side, for one model on this machine."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from tinyreader.cli.options import ModelArgument, QuestionsOption, QuietOption, ThreadsOption, warn

if TYPE_CHECKING:
    from tinyreader.export.bench import BenchRow


def bench(
    model: ModelArgument,
    data: Annotated[
        str | None, typer.Option(metavar="DATA", help="Questions to ask (default: generated ones).")
    ] = None,
    questions: QuestionsOption = 200,
    repeats: Annotated[int, typer.Option(min=1, help="Passes over the questions; the fastest counts.")] = 3,
    threads: ThreadsOption = None,
    quiet: QuietOption = False,
) -> None:
    """Compare the speed and the answers of the installed engines.

    int8 takes part once `tinyreader export` has calibrated it. The last line is the table as JSON. Exit code 1 if
    no engine could be measured.
    """
    from tinyreader.export import trial_questions
    from tinyreader.export.bench import bench as rows_of
    from tinyreader.export.bench import is_busy
    from tinyreader.model_files import model_directory
    from tinyreader.progress import Progress

    busy = is_busy()
    if busy:
        warn("this machine is busy with other work; the times are not reliable")
    progress = Progress(quiet=quiet)
    rows = list(
        rows_of(
            model_directory(model),
            trial_questions(data, questions),
            threads=threads,
            repeats=repeats,
            on_progress=lambda text: progress.show(text, force=True),
        )
    )
    _print_rows(rows)
    typer.echo(json.dumps({"model": model, "machine_was_busy": busy, "rows": [asdict(row) for row in rows]}))
    if all(row.failure for row in rows):
        raise typer.Exit(1)


def _print_rows(rows: list[BenchRow]) -> None:
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
