"""`tinyreader export`: a reader as files for plain OpenVINO or ONNX Runtime, or packed, with proof that they
say the same.
"""

from __future__ import annotations

import enum
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinyreader.errors import SettingsError

if TYPE_CHECKING:
    from tinyreader.data import Example
    from tinyreader.export import Exported


SAMPLES = 96
"""Questions on texts of our own, where no data is given."""


class ExportEngine(enum.StrEnum):
    """What `--engine` can be."""

    openvino = "openvino"
    onnx = "onnx"
    packed = "packed"


class ExportPrecision(enum.StrEnum):
    """What `--precision` can be."""

    fp32 = "fp32"
    bf16 = "bf16"
    int8 = "int8"


def export(
    model: Annotated[str, typer.Argument(help="Reader: a directory or a Hub id.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the files go: a directory.")],
    engine: Annotated[
        ExportEngine,
        typer.Option(
            help="What is to read them; packed: any engine of Tinyreader, from a quarter of the bytes."
        ),
    ] = ExportEngine.openvino,
    precision: Annotated[
        ExportPrecision, typer.Option(help="Number format of the arithmetic.")
    ] = ExportPrecision.fp32,
    calibrate: Annotated[
        str | None,
        typer.Option(
            help="Questions to measure int8 ranges on, and to judge by: SQuAD JSON, JSONL or a Hub id."
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Questions to compare on (default: texts of our own).")
    ] = None,
    questions: Annotated[int, typer.Option(min=1, help="So many questions of them at most.")] = 2000,
    tolerance: Annotated[
        float | None, typer.Option(min=0, help="F1 points that may be lost (answerable and not, half each).")
    ] = None,
    least_equal: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of answers that must be equal to the original's."),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads (default: all).")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
) -> None:
    """Write MODEL for an engine and compare it with the fp32 original; exit code 1 where it says too
    different things.

    int8 takes --calibrate once; what it finds is kept in the model's reader.json. The last line is the
    report, as JSON.
    """
    from tinyreader.export import ExportSettings, default_tolerance, require_out
    from tinyreader.export import export as exported
    from tinyreader.model_files import STARTER, model_directory, own_directory
    from tinyreader.progress import Progress

    if calibrate is not None and precision is not ExportPrecision.int8:
        raise SettingsError("--calibrate is for --precision int8; say --data for questions to compare on")
    if calibrate is not None and data is not None:
        raise SettingsError(
            "give --calibrate or --data: half of the questions to calibrate with are compared on"
        )
    allowed = default_tolerance(engine.value, precision.value)
    allowed = allowed if tolerance is None else replace(allowed, f1=tolerance)
    allowed = allowed if least_equal is None else replace(allowed, equal_answers=least_equal)
    settings = ExportSettings(engine.value, precision.value, allowed, threads)
    require_out(out, model_directory(model) if model == STARTER else Path(model))
    progress = Progress(quiet=quiet)
    report = exported(
        model_directory(model),
        out,
        settings,
        some_questions(calibrate or data, questions),
        calibrates=calibrate is not None,
        keep_plan_beside_model=own_directory(model) is not None,
        on_progress=lambda text: progress.show(text, force=True),
    )
    _show(report)
    typer.echo(json.dumps(report.as_dict()))
    if report.failures:
        raise typer.Exit(1)


def some_questions(source: str | None, n: int) -> list[Example]:
    """At most `n` questions, evenly from all of the data; on texts of our own where there is none."""
    from tinyreader.data import load_examples
    from tinyreader.export import sample_examples

    if source is None:
        return list(sample_examples(min(n, SAMPLES)))
    examples = load_examples(source)
    return [examples[i * len(examples) // n] for i in range(n)] if len(examples) > n else list(examples)


def _show(report: Exported) -> None:
    """Print the report for a person."""
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


def register(app: typer.Typer) -> None:
    """Adds the command to `app`."""
    app.command()(export)
