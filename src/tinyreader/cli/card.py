"""`tinyreader card`: a model card for the Hub, from a reader's report and what its run left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tinyreader.errors import SettingsError


def card(
    model: Annotated[Path, typer.Argument(help="Reader: a directory.")],
    report: Annotated[Path, typer.Option(help="Its report, from `tinyreader evaluate`.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Where it goes; README.md beside the weights, to publish it.")
    ],
    repository: Annotated[str | None, typer.Option(help="Its name on the Hub, owner/name.")] = None,
    license_: Annotated[
        str | None, typer.Option("--license", help="Identifier of the licence, such as apache-2.0.")
    ] = None,
    license_name: Annotated[str | None, typer.Option(help="For --license other: its name.")] = None,
    license_link: Annotated[str | None, typer.Option(help="For --license other: its address.")] = None,
    language: Annotated[
        list[str] | None, typer.Option(help="ISO 639 code, such as en; may be repeated.")
    ] = None,
    base_model: Annotated[
        str | None, typer.Option(help="Hub id it started from, where the run used a directory.")
    ] = None,
    train_dataset: Annotated[
        list[str] | None,
        typer.Option(help="Hub id of the training data, where the run used a file; may be repeated."),
    ] = None,
    dataset_type: Annotated[
        str | None, typer.Option(help="Hub id of the evaluation data, where a file was used.")
    ] = None,
    dataset_name: Annotated[str | None, typer.Option(help="Its name for people.")] = None,
    dataset_config: Annotated[str | None, typer.Option(help="Its configuration.")] = None,
    dataset_split: Annotated[
        str | None, typer.Option(help="Its split, such as validation, or the part of it.")
    ] = None,
    code: Annotated[str | None, typer.Option(help="Address of the code that made it.")] = None,
) -> None:
    """Write a model card with valid Hub metadata.

    What run and report know is taken from them; what neither knows and no option says is "not stated".
    """
    from tinyreader.report.card import card as text_of
    from tinyreader.report.card_facts import CardOptions, gather
    from tinyreader.report.output import require_writable
    from tinyreader.report.publish import check_card, check_name
    from tinyreader.report.record import load_report
    from tinyreader.storage import atomic_text

    if out.is_dir():
        raise SettingsError(
            f"--out {out} is a directory; give the name of a file, such as {out / 'README.md'}"
        )
    _require_ours(out)
    require_writable(out.parent, f"--out {out}")
    if repository is not None:
        check_name(repository)
    options = CardOptions(
        repository,
        license_,
        license_name,
        license_link,
        tuple(language or ()),
        base_model,
        tuple(train_dataset or ()),
        dataset_type,
        dataset_name,
        dataset_config,
        dataset_split,
        code,
    )
    facts = gather(model, load_report(report), options)
    text = text_of(facts)
    check_card(text, out)
    with atomic_text(out) as file:
        file.write(text)
    if facts.missing:
        typer.echo(
            f"tinyreader: not stated in the card, for the run does not know it: {', '.join(facts.missing)}",
            err=True,
        )
    typer.echo(json.dumps({"card": str(out), "not_stated": list(facts.missing)}))


def _require_ours(out: Path) -> None:
    """Raises `SettingsError` for a file that is no card of ours: another README is easily named, and not to
    be replaced.
    """
    from tinyreader.report.markdown import WRITTEN_BY

    if out.is_file() and WRITTEN_BY not in out.read_text(encoding="utf-8", errors="replace"):
        raise SettingsError(
            f"--out {out} is there already and was not written by tinyreader card; it is not replaced. Take "
            "it away first, or "
            "give another name"
        )


def register(app: typer.Typer) -> None:
    """Adds the command to `app`."""
    app.command()(card)
