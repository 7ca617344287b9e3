"""`tinyreader serve`: a reader as a service over HTTP."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from tinyreader.cli.options import ENGINE_HELP, PRECISION_HELP, Engine, SetOption
from tinyreader.errors import MissingExtraError, SettingsError
from tinyreader.runtimes import PrecisionName

_SERVE = "serving"


def serve(
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="Reader: a directory or a Hub id (default: starter).", metavar="MODEL"
        ),
    ] = None,
    documents: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of documents to answer from.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to bind (default: 127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to bind (default: 8080); 0: any free one.")] = None,
    workers: Annotated[int | None, typer.Option(help="Number of engine processes (default: 1).")] = None,
    threads: Annotated[
        int | None, typer.Option(help="Number of CPU threads per worker (default: all cores, shared).")
    ] = None,
    engine: Annotated[Engine | None, typer.Option(help=ENGINE_HELP)] = None,
    precision: Annotated[PrecisionName | None, typer.Option(help=PRECISION_HELP)] = None,
    api_key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="Bearer token to require; safer in TINYREADER_API_KEY, as other users can see command lines.",
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", metavar="FILE", help="Settings as TOML.")
    ] = None,
    set_: SetOption = None,
    show: Annotated[
        bool, typer.Option("--show", help="Print the resolved settings as JSON and stop.")
    ] = False,
) -> None:
    """Answer questions over HTTP.

    Runs until SIGTERM or Ctrl-C; prints its address as a line of JSON once it is ready. Options override the
    environment (TINYREADER_PORT=8081), which overrides --config.
    """
    try:
        from tinyreader.serve.logs import set_up
        from tinyreader.serve.run import announce_on_stdout
        from tinyreader.serve.run import serve as run
        from tinyreader.serve.settings import parsed, resolve
    except ModuleNotFoundError as error:
        raise MissingExtraError(_SERVE, "serve") from error
    flags: dict[str, Any] = {
        "model": model,
        "documents": documents,
        "host": host,
        "port": port,
        "workers": workers,
        "threads": threads,
        "engine": engine,
        "precision": precision,
        "api_key": api_key,
    }
    for text in set_ or ():
        name, value = parsed(text)
        if flags.get(name) is not None:
            raise SettingsError(
                f"--set {text!r}: --{name.replace('_', '-')} sets this as well; give only one of them"
            )
        flags[name] = value
    settings = resolve(flags, os.environ, config)
    if show:
        typer.echo(settings.model_dump_json(indent=2))
        return
    set_up(settings.log_level)
    run(settings, announce_on_stdout)
