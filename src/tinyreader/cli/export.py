"""`tinyreader export`: a reader as files for OpenVINO or ONNX Runtime, or packed, checked against the original."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tinyreader.cli.options import ModelArgument, QuestionsOption, QuietOption, ThreadsOption, out_option
from tinyreader.errors import SettingsError

if TYPE_CHECKING:
    from tinyreader.export import Exported


def export(
    model: ModelArgument,
    out: Annotated[Path, out_option("Directory of the exported files.", "DIR")],
    engine: Annotated[
        Literal["openvino", "onnx", "packed"],
        typer.Option(help="Engine that will read the files; packed: any of ours, at a quarter of the size."),
    ] = "openvino",
    precision: Annotated[
        Literal["fp32", "bf16", "int8"], typer.Option(help="Number format of the arithmetic.")
    ] = "fp32",
    calibrate: Annotated[
        str | None, typer.Option(metavar="DATA", help="Questions to calibrate int8 on, and to compare on.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(metavar="DATA", help="Questions to compare on (default: generated ones).")
    ] = None,
    questions: QuestionsOption = 2000,
    tolerance: Annotated[
        float | None,
        typer.Option(
            min=0, help="Maximum loss in F1 points (mean of answerable and unanswerable questions)."
        ),
    ] = None,
    least_equal: Annotated[
        float | None, typer.Option(min=0, max=1, help="Minimum share of answers that equal the original's.")
    ] = None,
    threads: ThreadsOption = None,
    quiet: QuietOption = False,
) -> None:
    """Export a reader for another engine, and check its answers.

    The answers are compared with those of the fp32 original; exit code 1, and no files, if they differ too much.
    int8 needs --calibrate once; the result is kept in the model's reader.json. The last line is the report as
    JSON.
    """
    from tinyreader.export import ExportSettings, default_tolerance, require_out, trial_questions
    from tinyreader.export import export as exported
    from tinyreader.model_files import STARTER, model_directory, own_directory
    from tinyreader.progress import Progress

    if calibrate is not None and precision != "int8":
        raise SettingsError("--calibrate is for --precision int8; give questions to compare on with --data")
    if calibrate is not None and data is not None:
        raise SettingsError(
            "give either --calibrate or --data: half of the --calibrate questions are used to compare"
        )
    allowed = default_tolerance(engine, precision)
    allowed = allowed if tolerance is None else replace(allowed, f1=tolerance)
    allowed = allowed if least_equal is None else replace(allowed, equal_answers=least_equal)
    settings = ExportSettings(engine, precision, allowed, threads)
    require_out(out, model_directory(model) if model == STARTER else Path(model))
    progress = Progress(quiet=quiet)
    report = exported(
        model_directory(model),
        out,
        settings,
        trial_questions(calibrate or data, questions),
        calibrates=calibrate is not None,
        keep_plan_beside_model=own_directory(model) is not None,
        on_progress=lambda text: progress.show(text, force=True),
    )
    _print_report(report)
    typer.echo(json.dumps(report.as_dict()))
    if report.failures:
        raise typer.Exit(1)


def _print_report(report: Exported) -> None:
    """Print the report as text."""
    parity = report.parity
    before = report.sizes["original"] / 1e6
    typer.echo(f"compared with {report.reference} on {parity.questions} questions, {parity.windows} windows:")
    typer.echo(f"  equal answers            {parity.equal_answers:.1%}")
    typer.echo(
        f"  largest logit difference {parity.largest_logit_difference:.3g} (mean "
        f"{parity.mean_logit_difference:.2g})"
    )
    if parity.f1 is not None and parity.f1_change is not None:
        typer.echo(f"  F1, each kind half       {parity.f1:.2f} ({parity.f1_change:+.2f})")
    if report.kept:
        typer.echo(f"  kept out of int8         {', '.join(report.kept)}")
    for name, size in report.sizes.items():
        if name != "original":
            typer.echo(f"  {name:<24} {size / 1e6:.1f} MB (the original's weights: {before:.1f} MB)")
    for failure in report.failures:
        typer.echo(f"FAILED: {failure}")
    typer.echo(f"nothing was written to {report.out}" if report.failures else f"written to {report.out}")
