"""The `tinyreader` command: one sub-command per verb, each in a module of this package.

Exit codes: 0 done; 1 done, and the outcome is a failure (findings, a gate not met, an interrupted run); 2
could not be done (wrong usage, wrong input). Progress and errors go to stderr; stdout ends with one JSON
document where a program may read it.
"""

from __future__ import annotations

import sys
from importlib.metadata import version as installed
from typing import Annotated

import typer

from tinyreader.cli import adapt as adapt_commands
from tinyreader.cli import ask as ask_commands
from tinyreader.cli import augment as augment_commands
from tinyreader.cli import bench as bench_commands
from tinyreader.cli import calibrate as calibrate_commands
from tinyreader.cli import card as card_commands
from tinyreader.cli import compare as compare_commands
from tinyreader.cli import data as data_commands
from tinyreader.cli import distil as distil_commands
from tinyreader.cli import evaluate as evaluate_commands
from tinyreader.cli import export as export_commands
from tinyreader.cli import predict as predict_commands
from tinyreader.cli import publish as publish_commands
from tinyreader.cli import quickstart as quickstart_commands
from tinyreader.cli import read as read_commands
from tinyreader.cli import score as score_commands
from tinyreader.cli import serve as serve_commands
from tinyreader.errors import Interrupted, TinyreaderError

app = typer.Typer(
    name="tinyreader",
    help="Make small extractive question-answering readers, and use them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data_commands.app, name="data")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(installed("tinyreader"))
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop."),
    ] = False,
) -> None:
    pass  # typer takes the options of the command itself from here


ask_commands.register(app)
app.command("adapt")(adapt_commands.adapt)
augment_commands.register(app)
bench_commands.register(app)
distil_commands.register(app)
export_commands.register(app)
evaluate_commands.register(app)
predict_commands.register(app)
read_commands.register(app)
calibrate_commands.register(app)
card_commands.register(app)
compare_commands.register(app)
publish_commands.register(app)
score_commands.register(app)
serve_commands.register(app)
quickstart_commands.register(app)


def main() -> None:
    """Run the command line; errors raised on purpose become one line and an exit code."""
    try:
        app()
    except SystemExit as end:
        if (
            end.code == 1 and type(sys.stdout).__name__ == "PacifyFlushWrapper"
        ):  # click's, once nobody reads on: no outcome
            sys.exit(141)
        raise
    except Interrupted as stop:
        sys.stderr.write(f"tinyreader: {stop}\n")
        sys.exit(1)
    except TinyreaderError as error:
        sys.stderr.write(f"tinyreader: {error}\n")
        sys.exit(2)
    except OSError as error:  # a full disk, a missing permission: the system's own words name the place
        sys.stderr.write(f"tinyreader: {error}\n")
        sys.exit(2)
