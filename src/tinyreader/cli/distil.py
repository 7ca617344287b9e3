"""`tinyreader distil` and `tinyreader finetune`: make a reader, with a teacher or from labels alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinyreader.errors import MissingExtraError

if TYPE_CHECKING:
    from tinyreader.distil.recipe import Recipe

SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change one setting, as in data.train=my.json; may be repeated."
    ),
]


def distil(
    recipe: Annotated[
        str, typer.Argument(help="Name of a recipe in the package, or the path of a .toml file.")
    ],
    set_: SetOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The run's directory.", show_default="runs/RECIPE")
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Print the resolved recipe as JSON and stop.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
) -> None:
    """Distil a reader by a recipe; the same command goes on where a stopped run was."""
    from tinyreader.distil.recipe import load_recipe

    resolved = load_recipe(recipe, set_ or ())
    if show:
        typer.echo(json.dumps(resolved.resolved(), indent=2))
        return
    _run(resolved, out or Path("runs") / resolved.name, quiet=quiet)


def finetune(
    encoder: Annotated[str, typer.Argument(help="Encoder checkpoint: a directory or a Hub id.")],
    train: Annotated[str, typer.Argument(help="Training data: SQuAD JSON, JSONL or a Hub id.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The run's directory; the reader ends in OUT/student.")
    ],
    dev: Annotated[str | None, typer.Option(help="Data to measure the result on.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the data.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Windows an optimiser step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    max_windows: Annotated[
        int | None, typer.Option(help="Train on so many windows, a seeded choice.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the order, dropout and the new head.")] = None,
    set_: SetOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
) -> None:
    """Fine-tune an encoder on labels alone: makes a teacher from any encoder checkpoint."""
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
    # ensure_ascii=False: TOML does not know JSON's escapes of signs beyond U+FFFF
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


def register(app: typer.Typer) -> None:
    """Adds the commands to `app`."""
    app.command()(distil)
    app.command()(finetune)
