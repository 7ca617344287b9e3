"""The `tinyreader` command: one sub-command per verb, each in a module of this package.

Exit codes: 0 success; 1 the work was done but the outcome is negative (findings, a gate not met), or it was
interrupted; 2 the work could not be done (wrong usage or input). Progress and errors go to stderr. If a program
may want the result, the last line of stdout is one JSON document.
"""

from __future__ import annotations

import sys
from importlib.metadata import version as installed
from typing import Annotated

import typer

from tinyreader.cli import (
    adapt,
    ask,
    augment,
    bench,
    calibrate,
    card,
    compare,
    data,
    distil,
    evaluate,
    export,
    predict,
    publish,
    quickstart,
    read,
    score,
    serve,
)
from tinyreader.cli.options import example
from tinyreader.errors import Interrupted, TinyreaderError

app = typer.Typer(
    name="tinyreader",
    help="Make small extractive question-answering readers, and use them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help never cuts the name of an option
    context_settings={"help_option_names": ["-h", "--help"]},
)


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


COMMANDS = (
    (ask.ask, 'ask "Who designed the bridge?" notes.txt report.pdf docs/'),
    (read.read, "read starter questions.jsonl -o answers.jsonl"),
    (serve.serve, "serve --documents ./handbook"),
    (quickstart.quickstart, "quickstart --out runs/quick"),
    (adapt.adapt, "adapt questions.csv -o my-reader --documents leases/"),
    (distil.distil, "distil tinybert-6l-768d-squad2 --set data.train=my.json -o runs/mine"),
    (distil.finetune, "finetune bert-base-uncased train.json -o runs/teacher"),
    (augment.augment, "augment train.json -o train-x20.jsonl --masked-lm bert-base-uncased"),
    (calibrate.calibrate, "calibrate runs/mine/student held-out.json"),
    (evaluate.evaluate, "evaluate runs/mine/student dev.json -o report"),
    (compare.compare, "compare report-a report-b --max-loss 0.5"),
    (predict.predict, "predict runs/mine/student dev.json -o predictions.json"),
    (score.score, "score dev.json predictions.json"),
    (export.export, "export runs/mine/student -o exported --precision int8 --calibrate held-out.json"),
    (bench.bench, "bench runs/mine/student"),
    (card.card, "card runs/mine/student --report report -o runs/mine/student/README.md"),
    (publish.publish, "publish runs/mine/student owner/name --dry-run"),
)
"""Each command and an example of it, in the order of the help."""

for command, words in COMMANDS:
    app.command(epilog=example(words))(command)
app.add_typer(data.app, name="data")


def main() -> None:
    """Run the command line; errors raised on purpose become one line and an exit code."""
    try:
        app()
    except SystemExit as end:
        if (
            end.code == 1 and type(sys.stdout).__name__ == "PacifyFlushWrapper"
        ):  # click's sign that the reader of stdout has gone: 1 would look like an outcome
            sys.exit(141)
        raise
    except Interrupted as stop:
        sys.stderr.write(f"tinyreader: {stop}\n")
        sys.exit(1)
    except TinyreaderError as error:
        sys.stderr.write(f"tinyreader: {error}\n")
        sys.exit(2)
    except OSError as error:  # a full disk or a missing permission: the message names the file
        sys.stderr.write(f"tinyreader: {error}\n")
        sys.exit(2)
