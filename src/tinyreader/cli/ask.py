"""`tinyreader ask`: one question answered from files, with the place of each answer."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinyreader.cli.options import (
    EngineOption,
    ModelOption,
    NoAnswerThresholdOption,
    PassagesOption,
    PrecisionOption,
    ScoreThresholdOption,
    ThreadsOption,
    TopKOption,
    question_length_advice,
    warn,
)
from tinyreader.documents.files import SUFFIXES, TEXT_SUFFIXES
from tinyreader.errors import DataError, MissingExtraError, SettingsError
from tinyreader.model_files import STARTER

if TYPE_CHECKING:
    from tinyreader.documents import Document, LeftOut
    from tinyreader.reader import FoundAnswer, Reading

WHOLE_CHARACTERS = 300_000
"""Up to this length, about 75 pages, everything is read, unless `--passages` says otherwise."""

PASSAGES = 100
"""How many passages of longer texts are read."""

CONVERTED = SUFFIXES - TEXT_SUFFIXES
"""Files whose extracted text differs from what an editor shows: line numbers count lines of that text."""

_N_SHOWN = 20
_WORD = re.compile(r"\w")


def ask(
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="The question, in plain words.")],
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATHS",
            help="Text, Markdown, HTML, PDF or DOCX files, or folders of them; - is standard input.",
        ),
    ],
    model: ModelOption = STARTER,
    top_k: TopKOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answers as JSON.")] = False,
    passages: PassagesOption = None,
    read_all: Annotated[bool, typer.Option("--all", help="Read everything, however long.")] = False,
    score_threshold: ScoreThresholdOption = None,
    no_answer_threshold: NoAnswerThresholdOption = None,
    max_answer_tokens: Annotated[int | None, typer.Option(help="Maximum answer length, in tokens.")] = None,
    engine: EngineOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Answer a question from files.

    Exit code 1 if they do not answer it. Of more than 300,000 characters, only the 100 passages that best match
    the question are read, unless --all or --passages says otherwise.
    """
    from tinyreader.reader import Reader

    if not question.strip():
        raise DataError("the question is empty; ask something")
    if read_all and passages:
        raise SettingsError(f"--all and --passages {passages} contradict each other; give one of them")
    changes: dict[str, Any] = {
        "top_k": top_k,
        "score_threshold": score_threshold,
        "no_answer_threshold": no_answer_threshold,
        "max_answer_tokens": max_answer_tokens,
    }
    documents = _documents(paths)
    changes["passages"] = 0 if read_all else _n_passages(documents, passages)
    given: dict[str, Any] = {"engine": engine, "precision": precision, "threads": threads}
    reader = Reader.from_pretrained(model, **given)
    with question_length_advice("Shorten it."):
        reading = reader.read(question, documents, **changes)
    if as_json:
        typer.echo(json.dumps(reading.as_dict()))
    else:
        _print_reading(reading)
    if not reading.has_answer:
        raise typer.Exit(1)


def _documents(paths: Sequence[Path]) -> list[Document]:
    """The documents in these files. Unreadable files in folders are skipped with a warning; named ones raise."""
    from tinyreader.documents import LeftOut, find_files, read_document

    found, left_out = find_files([path for path in paths if str(path) != "-"])
    documents = [_standard_input()] if any(str(path) == "-" for path in paths) else []
    for file in found:
        try:
            documents.append(read_document(file.path))
        except (DataError, MissingExtraError) as error:
            if file.named:
                raise
            left_out.append(LeftOut(file.path, str(error).removeprefix(f"{file.path} ")))
    _warn_of_skipped(left_out)
    if not documents:
        raise DataError(f"nothing to read in {', '.join(map(str, paths))}")
    for document in documents:
        if not document.text.strip():
            warn(f"{'standard input' if document.id == '-' else document.id} is empty")
    return documents


def _standard_input() -> Document:
    from tinyreader.documents import Document, document_of

    stream = getattr(sys.stdin, "buffer", None)
    return Document("-", sys.stdin.read()) if stream is None else document_of(stream.read(), "-")


def _warn_of_skipped(left_out: Sequence[LeftOut]) -> None:
    """Warn of skipped files: one by one with the reason, or counted by suffix if the format is not supported."""
    unreadable = [item for item in left_out if not item.is_other_kind]
    for item in unreadable[:_N_SHOWN]:
        warn(f"{item.path} was skipped: {item.reason}")
    others = Counter(item.path.suffix.lower() or "no suffix" for item in left_out if item.is_other_kind)
    parts = [f"{len(unreadable)} that cannot be read"] * bool(unreadable)
    if others:
        kinds = ", ".join(f"{n} {kind}" for kind, n in others.most_common(5)) + ", ..." * (len(others) > 5)
        parts.append(f"{others.total()} of other kinds ({kinds})")
    if parts:
        warn(
            f"{len(left_out)} {'file was' if len(left_out) == 1 else 'files were'} skipped: "
            f"{' and '.join(parts)}"
        )


def _n_passages(documents: Sequence[Document], wanted: int | None) -> int:
    """How many passages to read, 0 for all: as wanted, else by the length of the documents."""
    if wanted is not None:
        return wanted
    size = sum(len(document.text) for document in documents)
    if size <= WHOLE_CHARACTERS:
        return 0
    much = f"{size:,} characters in {len(documents):,} document{'s' * (len(documents) != 1)}"
    if find_spec("bm25s") is None:
        warn(f'reading all of {much}; to read only the best passages, pip install "tinyreader[search]"')
        return 0
    warn(
        f"of {much}, only the {PASSAGES} passages that best match the question are read; --all reads everything"
    )
    return PASSAGES


def _print_reading(reading: Reading) -> None:
    """Print the answers: place, score, and the words around each."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # the console may not have the document's characters
    if not reading.has_answer:
        typer.echo(f"No answer ({reading.no_answer_score:.0%} sure).")
        if reading.answers:
            typer.echo("Nearest:")
    for answer in reading.answers:
        if not _WORD.search(answer.text) and reading.answers[0] is not answer:
            continue  # a runner-up without a word, such as a full stop
        place = f":{answer.line}" if answer.page is None else f", page {answer.page}"
        if Path(answer.document.id).suffix.lower() in CONVERTED:
            place = f", line {answer.line} of its text"
        typer.echo(f"{_printable(answer.document.id)}{place}  {answer.score:.0%}")
        typer.echo(f"    {_surroundings(answer)}")


def _surroundings(answer: FoundAnswer) -> str:
    """The answer, highlighted, between the words around it, on one line."""
    before, after = answer.around()
    before = before if len(before) == answer.start else "…" + before.partition(" ")[2]
    after = after if answer.end + len(after) == len(answer.document.text) else after.rpartition(" ")[0] + "…"
    before, words, after = (_printable(re.sub(r"\s+", " ", part)) for part in (before, answer.text, after))
    shown = typer.style(words, bold=True, fg="green") if _has_colours() else f"[{words}]"
    return f"{before}{shown}{after}".strip()


def _printable(text: str) -> str:
    """The text without control characters: a document must not steer the terminal."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", "\ufffd", text)


def _has_colours() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
