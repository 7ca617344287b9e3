"""`tinyreader publish`: a reader's directory to the Hub, card and all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinyreader.cli.options import QuietOption, warn
from tinyreader.errors import SettingsError

if TYPE_CHECKING:
    from tinyreader.report.publish import Plan


def publish(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="Reader: a directory with its model card, README.md.")
    ],
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Repository on the Hub.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the files and upload nothing.")] = False,
    private: Annotated[
        bool, typer.Option("--private", help="Make the repository private if it is created.")
    ] = False,
    revision: Annotated[
        str | None, typer.Option(metavar="BRANCH", help="Branch, created if needed (default: main).")
    ] = None,
    message: Annotated[
        str, typer.Option("--message", "-m", metavar="TEXT", help="Commit message.")
    ] = "Publish the reader",
    leave_out_others: Annotated[
        bool,
        typer.Option(
            "--leave-out-others", help="Skip files that do not belong to a reader, instead of stopping."
        ),
    ] = False,
    quiet: QuietOption = False,
) -> None:
    """Publish a reader on the Hugging Face Hub.

    It becomes one commit. The token comes from HF_TOKEN or `hf auth login`; HF_ENDPOINT names another Hub.
    """
    from tinyreader.report.publish import check_name, plan, sizes
    from tinyreader.report.publish import publish as publish_plan

    if not model.is_dir():
        raise SettingsError(
            f"{model} is not a directory; publish what `tinyreader distil` left in RUN/student, for example"
        )
    check_name(repository)
    planned = plan(model, leave_out_others=leave_out_others)
    if not quiet:
        _print_plan(planned)
    result = {
        "repository": repository,
        "files": sizes(planned),
        "bytes": planned.size,
        "left_out": planned.left_out,
    }
    if dry_run:
        typer.echo(json.dumps({**result, "published": False}))
        return
    if quiet:
        from huggingface_hub.utils import disable_progress_bars

        disable_progress_bars()
    done = publish_plan(planned, repository, private=private, revision=revision, message=message)
    if done.others:
        warn(f"these files were in {repository} before and stay there: {', '.join(done.others)}")
    typer.echo(json.dumps({**result, "published": True, "url": done.url, "commit": done.commit}))


def _print_plan(planned: Plan) -> None:
    """List on stderr what is uploaded and what is left out."""
    for file in planned.files:
        note = "  absolute paths cut" if file.is_changed else ""
        typer.echo(f"{_amount(file.size):>10}  {file.name}{note}", err=True)
    typer.echo(f"{_amount(planned.size):>10}  in all", err=True)
    for name in planned.left_out:
        typer.echo(f"{'left out':>10}  {name}", err=True)


def _amount(size: int) -> str:
    if size < 1000:
        return f"{size} B"
    return f"{size / 1000:.1f} kB" if size < 1_000_000 else f"{size / 1_000_000:.1f} MB"
