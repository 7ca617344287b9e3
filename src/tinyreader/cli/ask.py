"""`tinyreader ask`: one question of files, with the answers where they stand."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinyreader.documents.files import HTML_SUFFIXES
from tinyreader.errors import DataError, MissingExtraError, SettingsError
from tinyreader.model_files import STARTER

if TYPE_CHECKING:
    from tinyreader.documents import Document, LeftOut
    from tinyreader.reader import FoundAnswer, Reading

WHOLE_CHARACTERS = 300_000
"""Up to so much text, about 75 pages, is read whole unless `--passages` says otherwise."""

PASSAGES = 100
"""So many passages are read of more text than that."""

TAKEN_OUT = HTML_SUFFIXES | {".docx"}
"""Files whose text is not what an editor shows: their lines are those of the text in them."""

_N_SHOWN = 20
_WORD = re.compile(r"\w")

ENGINE_HELP = "What computes: auto, openvino, onnx (the onnx extra) or torch (the train extra)."
PRECISION_HELP = (
    "Number format of the arithmetic: auto, fp32, bf16, or int8 once export has measured its ranges."
)


def ask(
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="Text, Markdown, HTML, PDF or DOCX files, or folders of them; - is standard input."
        ),
    ],
    model: Annotated[str, typer.Option("--model", "-m", help="Reader: a directory or a Hub id.")] = STARTER,
    top_k: Annotated[
        int | None, typer.Option(help="So many answers at most (3, unless the model says).")
    ] = None,
    score_threshold: Annotated[
        float | None, typer.Option(help="Leave out answers with a lower score, 0 to 1.")
    ] = None,
    no_answer_threshold: Annotated[
        float | None, typer.Option(help="Largest null odds of an answer, in logits; inf: always an answer.")
    ] = None,
    max_answer_tokens: Annotated[int | None, typer.Option(help="Longest answer, in tokens.")] = None,
    passages: Annotated[
        int | None,
        typer.Option(
            help=f"Read the passages that share most with the question only (much text: {PASSAGES})."
        ),
    ] = None,
    read_all: Annotated[bool, typer.Option("--all", help="Read everything, however much it is.")] = False,
    engine: Annotated[str, typer.Option(help=ENGINE_HELP)] = "auto",
    precision: Annotated[str, typer.Option(help=PRECISION_HELP)] = "auto",
    threads: Annotated[int | None, typer.Option(help="Threads to compute with (all cores).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the reading as JSON.")] = False,
) -> None:
    """Answer QUESTION from files, or say that they do not answer it (exit code 1)."""
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
    logging.getLogger("pypdf").setLevel(logging.ERROR)  # it warns of every small flaw that it mends
    documents = _documents(paths)
    changes["passages"] = 0 if read_all else _passages(documents, passages)
    given: dict[str, Any] = {"engine": engine, "precision": precision, "threads": threads}
    reader = Reader.from_pretrained(model, **given)
    with advising("Shorten it."):
        reading = reader.read(question, documents, **changes)
    if as_json:
        typer.echo(json.dumps(reading.as_dict()))
    else:
        _show(reading)
    if not reading.has_answer:
        raise typer.Exit(1)


@contextmanager
def advising(remedies: str) -> Iterator[None]:
    """Where a question is too long, say what this command can do about it, not what a program could."""
    from tinyreader.windows import LongQuestionError

    try:
        yield
    except LongQuestionError as error:
        raise DataError(f"{error.fact}. {remedies}") from None


def _documents(paths: Sequence[Path]) -> list[Document]:
    """The documents in these files; of those met in folders, what cannot be read is told on stderr and left
    out.
    """
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
    _tell(left_out)
    if not documents:
        raise DataError(f"there is nothing to read in {', '.join(map(str, paths))}")
    for document in documents:
        if not document.text.strip():
            _say(f"{'standard input' if document.id == '-' else document.id} is empty")
    return documents


def _standard_input() -> Document:
    from tinyreader.documents import Document, document_of

    stream = getattr(sys.stdin, "buffer", None)
    return Document("-", sys.stdin.read()) if stream is None else document_of(stream.read(), "-")


def _tell(left_out: Sequence[LeftOut]) -> None:
    """Say what was not read: why for each, and only how many where the kind of file is not read at all."""
    unreadable = [item for item in left_out if not item.is_other_kind]
    for item in unreadable[:_N_SHOWN]:
        _say(f"{item.path} was skipped: {item.reason}")
    others = Counter(item.path.suffix.lower() or "no suffix" for item in left_out if item.is_other_kind)
    parts = [f"{len(unreadable)} that cannot be read"] * bool(unreadable)
    if others:
        kinds = ", ".join(f"{n} {kind}" for kind, n in others.most_common(5)) + ", ..." * (len(others) > 5)
        parts.append(f"{others.total()} of other kinds ({kinds})")
    if parts:
        _say(
            f"{len(left_out)} {'file was' if len(left_out) == 1 else 'files were'} skipped: "
            f"{' and '.join(parts)}"
        )


def _passages(documents: Sequence[Document], wanted: int | None) -> int:
    """How many passages to read, 0 for all; where nobody said, it depends on how much there is."""
    if wanted is not None:
        return wanted
    size = sum(len(document.text) for document in documents)
    if size <= WHOLE_CHARACTERS:
        return 0
    much = f"{size:,} characters in {len(documents):,} document{'s' * (len(documents) != 1)}"
    if find_spec("bm25s") is None:
        _say(f'{much} are all read. Quicker, the best passages only: pip install "tinyreader[search]"')
        return 0
    _say(
        f"of {much}, the {PASSAGES} passages that share most with the question are read; --all reads "
        "everything"
    )
    return PASSAGES


def _say(text: str) -> None:
    typer.echo(f"tinyreader: {text}", err=True)


def _show(reading: Reading) -> None:
    """Print the answers for a person: where they stand, how sure the reader is, and the words around them."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a console may not know a document's signs
    if not reading.has_answer:
        typer.echo(f"No answer ({reading.no_answer_score:.0%} sure).")
        if reading.answers:
            typer.echo("Nearest:")
    for answer in reading.answers:
        if not _WORD.search(answer.text) and reading.answers[0] is not answer:
            continue  # what is left of a distribution when the best is taken: a full stop, say
        place = f":{answer.line}" if answer.page is None else f", page {answer.page}"
        if (
            Path(answer.document.id).suffix.lower() in TAKEN_OUT
        ):  # no line of the file, which an editor would look for
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
    """Text without signs that steer a terminal: documents come from anywhere."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", "\ufffd", text)


def _has_colours() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def register(app: typer.Typer) -> None:
    """Adds the command to `app`."""
    app.command()(ask)
