"""`tinyreader calibrate`: a reader's no-answer threshold and score calibration, from held-out questions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinyreader.cli.options import (
    EngineOption,
    ModelArgument,
    PrecisionOption,
    QuietOption,
    SeedOption,
    SplitOption,
    ThreadsOption,
    data_argument,
    out_option,
)
from tinyreader.errors import DataError, SettingsError
from tinyreader.model_files import own_directory

if TYPE_CHECKING:
    from tinyreader.data import Example
    from tinyreader.report.calibrate import Calibrated


def calibrate(
    model: ModelArgument,
    data: Annotated[str, data_argument("Questions that the reader was neither trained nor evaluated on")],
    out: Annotated[
        Path | None,
        out_option(
            "Directory that gets reader.json too; for a Hub id it is the only one, and required.", "DIR"
        ),
    ] = None,
    split: SplitOption = None,
    share_unanswerable: Annotated[
        float, typer.Option(help="Share of unanswerable questions expected in use; DATA is weighted to it.")
    ] = 0.5,
    allow_seen: Annotated[
        bool, typer.Option("--allow-seen", help="Accept data that the reader was trained or evaluated on.")
    ] = False,
    seed: SeedOption = 0,
    engine: EngineOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = None,
    quiet: QuietOption = False,
) -> None:
    """Learn the no-answer threshold and calibrate the scores.

    The result is stored beside the model, in reader.json.
    """
    from tinyreader.data import load_examples
    from tinyreader.model_files import model_directory
    from tinyreader.progress import Progress, StopSwitch, stop_signals
    from tinyreader.reader import Reader
    from tinyreader.reader.settings import write_settings
    from tinyreader.report.calibrate import check_questions, learn, record, score

    targets = _targets(model, out)
    examples = load_examples(data, split=split)
    _refuse_seen(model_directory(model), examples, data, allow_seen=allow_seen, quiet=quiet)
    given: dict[str, Any] = {"engine": engine, "precision": precision, "threads": threads}
    reader = Reader.from_pretrained(model, **given)
    check_questions(reader, examples)
    progress, stop = Progress(quiet=quiet), StopSwitch()

    def tell(done: int) -> None:
        stop.check("Nothing was changed.")
        progress.show(f"{done:,}/{len(examples):,} questions", force=done == len(examples))

    with stop_signals(stop, lambda reason: progress.say(f"{reason}: stopping")):
        scored, left_out = score(reader, examples, tell)
    calibrated = learn(scored, share_unanswerable, left_out=left_out, seed=seed)
    changed = reader.settings.changed(dict(calibrated.calibration.changes()))
    notes = {"calibration": record(calibrated, reader, examples, data)}
    for directory in targets:
        directory.mkdir(parents=True, exist_ok=True)
        write_settings(changed, directory, notes)
    if not quiet:
        _print_summary(calibrated, targets)
    typer.echo(json.dumps(calibrated.as_dict() | {"written": [str(d / "reader.json") for d in targets]}))


def _targets(model: str, out: Path | None) -> list[Path]:
    """The directories that get a `reader.json`: the model's own, and `out`."""
    from tinyreader.storage import require_writable

    directory = own_directory(model)
    own = [] if directory is None else [directory]
    if not own and out is None:
        raise SettingsError(
            f"{model} is not a directory to store the settings in; give one with -o, beside a copy of the model"
        )
    if out is not None and out.exists() and not out.is_dir():
        raise SettingsError(f"--out {out} is a file; give a directory, where reader.json goes")
    if directory is not None:
        require_writable(directory, f"{directory / 'reader.json'}")
    if out is not None:
        require_writable(out, f"--out {out}")
    return own if out is None else [*own, out]


def _refuse_seen(
    directory: Path, examples: list[Example], data: str, *, allow_seen: bool, quiet: bool
) -> None:
    from tinyreader.report.leakage import find_leakage, traced_run, unchecked_data

    run = traced_run(directory)
    seen = find_leakage(run, examples)
    if seen and not allow_seen:
        raise DataError(
            f"{data} cannot tell what this reader's scores mean: {'; '.join(seen)}. A reader is surer of "
            "what it has seen than "
            "of what will come, and a score on data that a reader was fitted to is no measurement. Calibrate "
            "on articles kept "
            "aside (tinyreader data split), or say --allow-seen."
        )
    if not quiet and (names := unchecked_data(run)):
        typer.echo(
            f"tinyreader: whether questions of {data} are in {', '.join(names)} was not looked up: the "
            "reader's run "
            "names it, and there is no such file here",
            err=True,
        )
    for sentence in seen:
        typer.echo(f"tinyreader: about {data}: {sentence}", err=True)


def _print_summary(calibrated: Calibrated, targets: list[Path]) -> None:
    """Print on stderr what was learned."""
    c, before, after = calibrated.calibration, calibrated.before, calibrated.after
    share = f"weighted to {calibrated.share_unanswerable:.0%} unanswerable"
    aside = "articles" if calibrated.by_article else "questions"
    for line in (
        f"{calibrated.questions:,} questions, {calibrated.answerable:,} answerable, {share}",
        f"no answer where the null odds exceed {c.threshold:.2f} (95 %: {c.low:.2f} to {c.high:.2f})",
        f"calibration error {before.ece:.3f} -> {after.ece:.3f}, F1 {before.f1:.1f} -> {after.f1:.1f} on "
        f"{aside} it was not "
        f"fitted on (best threshold on these questions: {calibrated.best_f1:.1f})",
        *(f"written to {directory / 'reader.json'}" for directory in targets),
    ):
        typer.echo(line, err=True)
