"""`tinyreader ask`: one question of text files, with the answers where they stand."""

from __future__ import annotations

import enum
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinyreader.cli.predict import PrecisionChoice
from tinyreader.errors import DataError

if TYPE_CHECKING:
    from tinyreader.reader import FoundAnswer, Reading

TEXT_SUFFIXES = {".txt", ".md", ".rst", ".text"}


class EngineChoice(enum.StrEnum):
    """What `--engine` can be."""

    auto = "auto"
    openvino = "openvino"
    torch = "torch"


def ask(
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    paths: Annotated[list[Path], typer.Argument(help="Text files, or folders of them; - is standard input.")],
    model: Annotated[str, typer.Option("--model", "-m", help="Reader: a directory or a Hub id.")],
    top_k: Annotated[int | None, typer.Option(help="So many answers at most (3, unless the model says).")] = None,
    engine: Annotated[EngineChoice, typer.Option(help="What computes.")] = EngineChoice.auto,
    precision: Annotated[PrecisionChoice, typer.Option(help="Number format of the arithmetic.")] = PrecisionChoice.auto,
    as_json: Annotated[bool, typer.Option("--json", help="Print the reading as JSON.")] = False,
) -> None:
    """Answer QUESTION from text files, or say that they do not answer it (exit code 1)."""
    from tinyreader.reader import Document, Reader

    files, skipped = _text_files(paths)
    reader = Reader.from_pretrained(model, engine=engine.value, precision=precision.value)
    documents = [Document("-", sys.stdin.read()) if str(path) == "-" else path for path in files]
    reading = reader.read(question, documents, top_k=top_k)
    for path in skipped:
        typer.echo(f"tinyreader: {path} was skipped: only {', '.join(sorted(TEXT_SUFFIXES))} are read", err=True)
    if as_json:
        typer.echo(json.dumps(reading.as_dict()))
    else:
        _show(reading)
    if not reading.has_answer:
        raise typer.Exit(1)


def _text_files(paths: list[Path]) -> tuple[list[Path], list[Path]]:
    """The files to read, folders walked in order of their names, and the files in folders that are left out."""
    found: list[Path] = []
    skipped: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file() and not _is_hidden(p.relative_to(path)))
            found += [p for p in inside if p.suffix.lower() in TEXT_SUFFIXES]
            skipped += [p for p in inside if p.suffix.lower() not in TEXT_SUFFIXES]
        elif str(path) != "-" and not path.exists():
            raise DataError(f"{path}: no such file or folder")
        else:
            found.append(path)
    if not found:
        raise DataError(f"there is no text file to read in {', '.join(map(str, paths))} ({', '.join(sorted(TEXT_SUFFIXES))})")
    return found, skipped


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _show(reading: Reading) -> None:
    """Print the answers for a person: where they stand, how sure the reader is, and the words around them."""
    if not reading.has_answer:
        typer.echo(f"No answer ({reading.no_answer_score:.0%} sure).")
        if reading.answers:
            typer.echo("Nearest:")
    for answer in reading.answers:
        line = answer.document.text.count("\n", 0, answer.start) + 1
        typer.echo(f"{answer.document.id}:{line}  {answer.score:.0%}")
        typer.echo(f"    {_surroundings(answer)}")


def _surroundings(answer: FoundAnswer, chars: int = 120) -> str:
    """The answer, highlighted, between the words around it, on one line."""
    text = answer.document.text
    before, after = text[max(0, answer.start - chars) : answer.start], text[answer.end : answer.end + chars]
    before = before if answer.start <= chars else "…" + before.partition(" ")[2]
    after = after if answer.end + chars >= len(text) else after.rpartition(" ")[0] + "…"
    words = typer.style(answer.text, bold=True, fg="green") if sys.stdout.isatty() else f"[{answer.text}]"
    return " ".join(f"{before}{words}{after}".split())


def register(app: typer.Typer) -> None:
    """Adds the command to `app`."""
    app.command()(ask)
