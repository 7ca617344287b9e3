"""`tinyreader serve`: a reader as a service over HTTP."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from tinyreader.errors import MissingExtraError, SettingsError

_SERVE = "serving"


def serve(
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Reader: a directory or a Hub id (starter).")
    ] = None,
    documents: Annotated[Path | None, typer.Option(help="Folder whose documents can be asked.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen at (127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen at (8080); 0 takes a free one.")] = None,
    workers: Annotated[int | None, typer.Option(help="Engine processes (1).")] = None,
    threads: Annotated[
        int | None, typer.Option(help="Threads of each (all cores, shared among them).")
    ] = None,
    engine: Annotated[str | None, typer.Option(help="What computes: auto, openvino, onnx or torch.")] = None,
    precision: Annotated[str | None, typer.Option(help="Number format: auto, fp32, bf16 or int8.")] = None,
    api_key: Annotated[
        str | None,
        typer.Option(
            help="Asked for as bearer token; other users see flags, TINYREADER_API_KEY they do not."
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="Settings in a TOML file.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Any other setting, as name=value.")] = None,
    show: Annotated[
        bool, typer.Option("--show", help="Print the resolved settings as JSON and stop.")
    ] = False,
) -> None:
    """Answer questions over HTTP until SIGTERM or Ctrl-C; prints the address as a line of JSON once it is up.

    Settings come from a TOML file, over these the environment (TINYREADER_PORT=8081), over these the flags.
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
            raise SettingsError(f"--set {text!r}: {name} is given by its own flag as well; give one of them")
        flags[name] = value
    settings = resolve(flags, os.environ, config)
    if show:
        typer.echo(settings.model_dump_json(indent=2))
        return
    set_up(settings.log_level)
    run(settings, announce_on_stdout)


def register(app: typer.Typer) -> None:
    """Adds the command to `app`."""
    app.command()(serve)
