"""`tinyreader card`: a model card for the Hub, from a reader's report and its run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tinyreader.cli.options import out_option, warn
from tinyreader.errors import SettingsError


def card(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Reader: a directory.")],
    report: Annotated[Path, typer.Option(metavar="DIR", help="Its report, from `tinyreader evaluate`.")],
    out: Annotated[Path, out_option("The card; to publish it, README.md beside the weights.")],
    repository: Annotated[str | None, typer.Option(metavar="OWNER/NAME", help="Its id on the Hub.")] = None,
    license_: Annotated[
        str | None, typer.Option("--license", help="Licence identifier, such as apache-2.0.")
    ] = None,
    license_name: Annotated[
        str | None, typer.Option(help="Name of the licence, for --license other.")
    ] = None,
    license_link: Annotated[str | None, typer.Option(help="URL of the licence, for --license other.")] = None,
    language: Annotated[
        list[str] | None, typer.Option(help="ISO 639 code, such as en; may be repeated.")
    ] = None,
    base_model: Annotated[
        str | None, typer.Option(help="Hub id of the base model, if the run used a directory.")
    ] = None,
    train_dataset: Annotated[
        list[str] | None,
        typer.Option(help="Hub id of the training data, if the run used a file; may be repeated."),
    ] = None,
    dataset_type: Annotated[
        str | None, typer.Option(help="Hub id of the evaluation data, if the report used a file.")
    ] = None,
    dataset_name: Annotated[str | None, typer.Option(help="Display name of the evaluation data.")] = None,
    dataset_config: Annotated[str | None, typer.Option(help="Configuration of the evaluation data.")] = None,
    dataset_split: Annotated[
        str | None, typer.Option(help="Split of the evaluation data, such as validation.")
    ] = None,
    code: Annotated[str | None, typer.Option(help="URL of the code that made the reader.")] = None,
) -> None:
    """Write a model card with valid Hub metadata.

    Facts come from the run and the report. What neither knows and no option gives is "not stated".
    """
    from tinyreader.report.card import CardOptions, gather
    from tinyreader.report.card import card as text_of
    from tinyreader.report.publish import check_card, check_name
    from tinyreader.report.record import load_report
    from tinyreader.storage import atomic_text, require_writable

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
        warn(f"not stated in the card, because neither run nor report says: {', '.join(facts.missing)}")
    typer.echo(json.dumps({"card": str(out), "not_stated": list(facts.missing)}))


def _require_ours(out: Path) -> None:
    """Raise `SettingsError` for a file that is not a card of ours, such as a README written by hand."""
    from tinyreader.report.card import WRITTEN_BY

    if out.is_file() and WRITTEN_BY not in out.read_text(encoding="utf-8", errors="replace"):
        raise SettingsError(
            f"--out {out} exists and was not written by `tinyreader card`, so it is not replaced; remove it first "
            "or give another name"
        )
