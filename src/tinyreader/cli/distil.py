"""`tinyreader distil` and `tinyreader finetune`: make a reader, with a teacher or from labels alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinyreader.cli.options import QuietOption, SetOption, data_argument, out_option
from tinyreader.errors import MissingExtraError

if TYPE_CHECKING:
    from tinyreader.distil.recipe import Recipe


def distil(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="Name of a recipe in the package, or a .toml file.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="Directory of the run.", show_default="runs/RECIPE"),
    ] = None,
    set_: SetOption = None,
    show: Annotated[bool, typer.Option("--show", help="Print the resolved recipe as JSON and stop.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Distil a reader from a teacher, by a recipe.

    An interrupted run resumes with the same command.
    """
    from tinyreader.distil.recipe import load_recipe

    resolved = load_recipe(recipe, set_ or ())
    if show:
        typer.echo(json.dumps(resolved.resolved(), indent=2))
        return
    _run(resolved, out or Path("runs") / resolved.name, quiet=quiet)


def finetune(
    encoder: Annotated[str, typer.Argument(metavar="ENCODER", help="Encoder: a directory or a Hub id.")],
    train: Annotated[str, data_argument("Training data")],
    out: Annotated[Path, out_option("Directory of the run; the reader is DIR/student.", "DIR")],
    dev: Annotated[
        str | None, typer.Option(metavar="DATA", help="Data to evaluate the trained reader on.")
    ] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the training data.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Windows per optimiser step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    max_windows: Annotated[
        int | None, typer.Option(help="Maximum number of training windows, drawn at random.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Random seed (default: the recipe's).")] = None,
    set_: SetOption = None,
    quiet: QuietOption = False,
) -> None:
    """Fine-tune an encoder on labels, without a teacher.

    Makes a reader, or a teacher for `tinyreader distil`. An interrupted run resumes with the same command.
    """
    from tinyreader.distil.recipe import load_recipe

    flags = {
        "student.model": encoder,
        "data.train": train,
        "data.dev": dev,
        "stages.labels.epochs": epochs,
        "stages.labels.batch_size": batch_size,
        "stages.labels.learning_rate": learning_rate,
        "data.max_windows": max_windows,
        "training.seed": seed,
    }
    # ensure_ascii=False: TOML lacks JSON's surrogate escapes for characters beyond U+FFFF
    overrides = [
        f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in flags.items() if value is not None
    ]
    _run(load_recipe("finetune", [*overrides, *(set_ or ())]), out, quiet=quiet)


def _run(recipe: Recipe, out: Path, *, quiet: bool) -> None:
    try:
        from tinyreader.distil.run import run_recipe
    except ModuleNotFoundError as error:
        raise MissingExtraError("training", "train") from error
    from tinyreader.progress import Progress

    result = run_recipe(recipe, out, Progress(quiet=quiet))
    typer.echo(json.dumps({"student": str(result.student), "scores": result.scores}))
