"""`tinyreader compare`: is one reader better than another, by their reports on the same questions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tinyreader.cli.options import QuietOption, SeedOption, SplitOption, out_option, warn
from tinyreader.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyreader.report.compare import Comparison, Disagreement, Side

DIFFERENCES, RESULT = "differences.jsonl", "comparison.json"


def compare(
    reports: Annotated[
        list[Path],
        typer.Argument(metavar="REPORT_A REPORT_B", help="Reports; all are compared with the first."),
    ],
    out: Annotated[
        Path | None, out_option("Directory for comparison.json, differences.jsonl and plots/pareto.*.", "DIR")
    ] = None,
    shared_only: Annotated[
        bool, typer.Option("--shared-only", help="Compare on the questions that all reports have.")
    ] = False,
    fail_if_worse: Annotated[
        bool, typer.Option("--fail-if-worse", help="Exit code 1 if any reader is shown to be worse.")
    ] = False,
    fail_unless_better: Annotated[
        bool,
        typer.Option("--fail-unless-better", help="Exit code 1 unless every reader is shown to be better."),
    ] = False,
    max_loss: Annotated[
        float | None,
        typer.Option(
            min=0.0, help="Exit code 1 unless every reader is shown to lose fewer points than this."
        ),
    ] = None,
    gate: Annotated[
        Literal["f1", "exact"], typer.Option(help="The score that the exit code depends on.")
    ] = "f1",
    data: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="The data of the reports, to print questions and gold answers."),
    ] = None,
    split: SplitOption = None,
    show: Annotated[
        int, typer.Option(metavar="N", min=0, help="Number of questions won and lost to print.")
    ] = 3,
    samples: Annotated[int, typer.Option(min=100, help="Number of bootstrap samples.")] = 2000,
    seed: SeedOption = 0,
    quiet: QuietOption = False,
) -> None:
    """Compare readers by their reports on the same questions.

    Reports come from `tinyreader evaluate`. Prints differences with intervals and p-values, and questions won and
    lost. "Shown" means that the whole 95 % interval of the difference agrees.
    """
    from tinyreader.report.compare import compare as compare_sides
    from tinyreader.report.compare import load_sides, same_questions
    from tinyreader.storage import require_writable

    if len(reports) < 2:
        raise SettingsError("give at least two reports; the others are compared with the first")
    if out is not None and out.exists() and not out.is_dir():
        raise SettingsError(f"--out {out} is a file; give a directory")
    if out is not None:
        require_writable(out, f"--out {out}")
    sides = load_sides(reports)
    ids = same_questions(sides, shared_only=shared_only)
    texts = _texts(data, split, ids)
    comparisons = [compare_sides(sides[0], side, ids, samples=samples, seed=seed) for side in sides[1:]]
    failures = _failures(comparisons, gate, fail_if_worse, fail_unless_better, max_loss)
    result = {
        "questions": len(ids),
        "left_out": {side.name: len(side.questions) - len(ids) for side in sides},
        "comparisons": [c.as_dict() for c in comparisons],
        "failures": failures,
    }
    if not quiet:
        _print_comparisons(sides, len(ids), comparisons, show, texts)
    if out is not None:
        _write(out, sides, comparisons, result, texts)
    for failure in failures:
        warn(failure)
    typer.echo(json.dumps(result, ensure_ascii=False))
    if failures:
        raise typer.Exit(1)


def _texts(data: str | None, split: str | None, ids: Sequence[str]) -> dict[str, dict[str, object]]:
    """Question and gold answers by id, if the data is given."""
    if data is None:
        return {}
    from tinyreader.data import load_examples

    texts: dict[str, dict[str, object]] = {
        e.id: {"question": e.question, "gold": list(dict.fromkeys(a.text for a in e.answers))}
        for e in load_examples(data, split=split, on_bad="skip")
    }
    missing = [qid for qid in ids if qid not in texts]
    if missing:
        raise SettingsError(
            f"--data {data} lacks {len(missing):,} of the {len(ids):,} questions, such as {missing[0]!r}"
        )
    return texts


def _failures(
    comparisons: Sequence[Comparison], score: str, if_worse: bool, unless_better: bool, max_loss: float | None
) -> list[str]:
    """A sentence for each gate that is not met."""
    found = []
    for c in comparisons:
        m = c.measure(score)
        interval = f"{m.score} {m.difference:+.2f} [{m.low:+.2f}, {m.high:+.2f}]"
        if if_worse and m.verdict == "worse":
            found.append(f"{c.second} is worse than {c.first}: {interval}")
        if unless_better and m.verdict != "better":
            found.append(f"{c.second} is not shown to be better than {c.first}: {interval}")
        if max_loss is not None and m.low < -max_loss:
            found.append(f"{c.second} may lose more than {max_loss:g} points against {c.first}: {interval}")
    return found


def _print_comparisons(
    sides: Sequence[Side],
    n: int,
    comparisons: Sequence[Comparison],
    show: int,
    texts: dict[str, dict[str, object]],
) -> None:
    """Print the comparisons as tables."""
    for c in comparisons:
        typer.echo(f"{c.second} against {c.first}, {n:,} questions")
        typer.echo(f"  {'':14}{'first':>8}{'second':>8}{'difference':>12}  {'95 %':^18}{'p':>8}")
        for m in c.measures:
            interval = f"[{m.low:+.2f}, {m.high:+.2f}]"
            p = f"{m.p:.3f}" if m.p >= 0.001 else "< 0.001"
            typer.echo(
                f"  {m.score:14}{m.first:8.2f}{m.second:8.2f}{m.difference:+12.2f}  {interval:^18}{p:>8}  "
                f"{m.verdict}"
            )
        typer.echo(f"  won {len(c.won):,}, lost {len(c.lost):,} questions (by F1)")
        for title, chosen in (("won", c.won), ("lost", c.lost)):
            for d in chosen[:show]:
                typer.echo(f"    {title}  {d.id}  {_line(d, texts)}")
    speeds = [(s.name, s.report.speed.get("questions_per_second")) for s in sides]
    if all(isinstance(speed, int | float) for _, speed in speeds):
        typer.echo("questions per second: " + ", ".join(f"{name} {speed:.1f}" for name, speed in speeds))
    if len({(s.report.machine.get("processor"), s.report.machine.get("cores")) for s in sides}) > 1:
        typer.echo("timed on different machines: the speeds cannot be compared")


def _line(d: Disagreement, texts: dict[str, dict[str, object]]) -> str:
    asked = f"{texts[d.id]['question']}  " if d.id in texts else ""
    return f"{asked}first: {d.first or '(no answer)'!r}  second: {d.second or '(no answer)'!r}"


def _write(
    out: Path,
    sides: Sequence[Side],
    comparisons: Sequence[Comparison],
    result: dict[str, object],
    texts: dict[str, dict[str, object]],
) -> None:
    """Write the comparison, its questions and its plot to `out`."""
    from dataclasses import asdict

    from tinyreader.report.compare import pareto_plot, split_timed
    from tinyreader.report.plots import save
    from tinyreader.storage import atomic_text

    timed, without = split_timed(sides)
    if without:
        warn(f"not in the plot, because their reports have no speed: {', '.join(without)}")
    out.mkdir(parents=True, exist_ok=True)
    if timed:
        save([pareto_plot(timed)], out)
    with atomic_text(out / DIFFERENCES) as file:
        for c in comparisons:
            for d in (*c.won, *c.lost):
                row = {"readers": [c.first, c.second], "won": d.is_won, **asdict(d), **texts.get(d.id, {})}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    with atomic_text(out / RESULT) as file:
        file.write(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
