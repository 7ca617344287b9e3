"""`tinyreader publish`: a reader's directory to the Hub, card and all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinyreader.errors import SettingsError

if TYPE_CHECKING:
    from tinyreader.report.publish import Plan


def publish(
    model: Annotated[Path, typer.Argument(help="Reader: a directory with its card, README.md.")],
    repository: Annotated[str, typer.Argument(help="Where it goes on the Hub: owner/name.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would go, and send nothing.")] = False,
    private: Annotated[
        bool, typer.Option("--private", help="Make a repository that is not there yet a private one.")
    ] = False,
    revision: Annotated[
        str | None, typer.Option(help="Branch to commit to, made if need be (default: main).")
    ] = None,
    message: Annotated[
        str, typer.Option("--message", "-m", help="Message of the commit.")
    ] = "Publish the reader",
    leave_out_others: Annotated[
        bool,
        typer.Option(
            "--leave-out-others", help="Leave out files that do not belong to a reader (else: an error)."
        ),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
) -> None:
    """Publish a reader on the Hub (or on the one that HF_ENDPOINT names), as one commit.

    The token is the one of HF_TOKEN or of `hf auth login`; it is never shown.
    """
    from tinyreader.report.publish import check_name, plan, sizes
    from tinyreader.report.publish import publish as publish_plan

    if not model.is_dir():
        raise SettingsError(
            f"{model} is no directory; publish what `tinyreader distil` left in RUN/student, for example"
        )
    check_name(repository)
    planned = plan(model, leave_out_others=leave_out_others)
    if not quiet:
        _show(planned)
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
        typer.echo(
            f"tinyreader: these were in {repository} before and stay there: {', '.join(done.others)}",
            err=True,
        )
    typer.echo(json.dumps({**result, "published": True, "url": done.url, "commit": done.commit}))


def _show(planned: Plan) -> None:
    """Lists on stderr what goes and what stays."""
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


def register(app: typer.Typer) -> None:
    """Adds the command to `app`."""
    app.command()(publish)
