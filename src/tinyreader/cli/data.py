"""`tinyreader data`: check, stats, split, sample, convert."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, cast

import typer

from tinyreader.data import (
    Example,
    Finding,
    ReadReport,
    ask_elsewhere,
    check,
    fingerprint,
    load_examples,
    remove_answers,
    sample,
    split_by_article,
    stats,
    writer_for,
)
from tinyreader.data.findings import visible
from tinyreader.data.unanswerable import ELSEWHERE, REMOVED
from tinyreader.errors import DataError, SettingsError
from tinyreader.storage import require_output

app = typer.Typer(
    help="Check, describe, split, sample and convert question-answering data.", no_args_is_help=True
)


class BadExamples(StrEnum):
    """What to do with examples that are wrong."""

    error = "error"
    repair = "repair"
    skip = "skip"


FileArgument = Annotated[
    str,
    typer.Argument(
        metavar="FILE",
        help="SQuAD JSON or JSON Lines (.jsonl), plain or .gz; or a Hub id.",
        show_default=False,
    ),
]
SplitOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The split of a Hub data set, such as train.", show_default=False),
]
OnBadOption = Annotated[
    BadExamples,
    typer.Option(
        help="What to do about wrong examples: stop, mend offsets and leave out the rest, or leave them out."
    ),
]
RejectsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH", help="Write what is wrong, with its place, as JSON Lines.", show_default=False
    ),
]


@app.command("check")
def check_command(
    file: FileArgument,
    split: SplitOption = None,
    rejects: RejectsOption = None,
    limit: Annotated[int, typer.Option(min=0, help="How many findings to show.")] = 20,
) -> None:
    """Say what is wrong with FILE. Exit code 1 when something is, 2 when FILE or nothing in it can be
    read.
    """
    if rejects is not None:
        require_output(rejects, "--rejects", {"the data": file})
    report = check(file, split=split)
    _show_findings(report.findings, limit)
    if rejects is not None:
        with _writing(rejects):
            report.write(rejects)
    _finish(
        file=file,
        ok=report.ok,
        n_questions=report.n_questions,
        n_good=report.n_good,
        n_findings=len(report.findings),
        n_repairable=report.n_repairable,
        findings=report.counts,
    )
    if not report.ok:
        raise typer.Exit(1 if report.n_questions else 2)


@app.command("stats")
def stats_command(
    file: FileArgument,
    split: SplitOption = None,
    on_bad: OnBadOption = BadExamples.error,
    rejects: RejectsOption = None,
) -> None:
    """Count what FILE holds: articles, paragraphs, questions, answers, lengths."""
    examples, report = _load(file, split, on_bad, rejects)
    facts = stats(examples).as_dict()
    spreads = {
        name: cast("dict[str, float]", value) for name, value in facts.items() if isinstance(value, dict)
    }
    _table(("count", "value"), [(name, str(value)) for name, value in facts.items() if name not in spreads])
    columns = ("spread", *next(iter(spreads.values())))
    _table(columns, [(name, *(f"{each:g}" for each in spread.values())) for name, spread in spreads.items()])
    _finish(file=file, **facts, reading=_counts(report))


@app.command("split")
def split_command(
    file: FileArgument,
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="DIR", help="Where the two files go.", show_default=False)
    ],
    held_out: Annotated[
        str,
        typer.Option(
            metavar="SHARE|N", help="What to hold out: a share of the questions, or a number of them."
        ),
    ] = "0.1",
    seed: Annotated[int, typer.Option(help="Draws the articles that are held out.")] = 0,
    split: SplitOption = None,
    on_bad: OnBadOption = BadExamples.error,
    rejects: RejectsOption = None,
) -> None:
    """Write DIR/train.json and DIR/held-out.json (.jsonl, .gz as FILE is), with no article and no context in
    both.
    """
    amount, suffix = _share_or_number(held_out), _data_suffix(file)
    parts = out / f"train{suffix}", out / f"held-out{suffix}"
    for part in parts:
        require_output(part, "--out:", {"the data": file, "the file of --rejects": rejects})
    examples, report = _load(file, split, on_bad, rejects)
    train, aside = split_by_article(examples, amount, seed)
    _finish(
        file=file,
        seed=seed,
        train=_write(train, parts[0]),
        held_out=_write(aside, parts[1]),
        reading=_counts(report),
    )


@app.command("sample")
def sample_command(
    file: FileArgument,
    out: Annotated[
        Path,
        typer.Option(
            "-o",
            "--out",
            metavar="OUT",
            help="A name ending with .json (SQuAD), .jsonl, or .gz.",
            show_default=False,
        ),
    ],
    questions: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="How many questions (default: as many as can be).")
    ] = None,
    unanswerable: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE", min=0, max=1, help="The share that has no answer (default: as it comes)."
        ),
    ] = None,
    elsewhere: Annotated[
        str,
        typer.Option(
            metavar="N|all",
            help="Add N answerable questions put to another text, which does not answer them.",
        ),
    ] = "0",
    removed: Annotated[
        str,
        typer.Option(
            metavar="N|all",
            help="Add N answerable questions whose answering sentence is removed from the text.",
        ),
    ] = "0",
    pairs: Annotated[
        bool,
        typer.Option(
            "--pairs", help="Keep only the questions that were added, and the originals they come from."
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    split: SplitOption = None,
    on_bad: OnBadOption = BadExamples.error,
    rejects: RejectsOption = None,
) -> None:
    """Write a part of FILE, with unanswerable questions made from answerable ones where they are wanted."""
    writer_for(out)
    require_output(out, "--out", {"the data": file, "the file of --rejects": rejects})
    wanted = {
        ELSEWHERE: _number_or_all(elsewhere, "--elsewhere"),
        REMOVED: _number_or_all(removed, "--removed"),
    }
    if pairs and not any(n != 0 for n in wanted.values()):
        raise SettingsError(
            "--pairs needs --elsewhere or --removed: there is nothing to pair the questions with"
        )
    examples, report = _load(file, split, on_bad, rejects)
    originals = list(examples)
    for (suffix, n), make in zip(wanted.items(), (ask_elsewhere, remove_answers), strict=True):
        if n != 0:
            made = make(originals, n, seed)
            typer.echo(
                f"{len(made.examples)} '{suffix}' questions; {made.n_unsuitable} were unsuitable", err=True
            )
            examples.extend(made.examples)
    if pairs:
        made_ids = {example.id for example in examples[len(originals) :]}
        examples = [
            example
            for example in examples
            if example.id in made_ids or any(f"{example.id}-{suffix}" in made_ids for suffix in wanted)
        ]
    drawn = sample(examples, n_questions=questions, unanswerable=unanswerable, seed=seed)
    _finish(
        file=file,
        seed=seed,
        out=_write(drawn, out),
        n_unanswerable=sum(example.is_impossible for example in drawn),
        n_elsewhere=sum(example.id.endswith(f"-{ELSEWHERE}") for example in drawn)
        if wanted[ELSEWHERE] != 0
        else 0,
        n_removed=sum(example.id.endswith(f"-{REMOVED}") for example in drawn) if wanted[REMOVED] != 0 else 0,
        reading=_counts(report),
    )


@app.command("make")
def make_command(
    table: Annotated[
        Path,
        typer.Argument(metavar="TABLE", help="CSV or JSON Lines with document (or file), question, answer."),
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="OUT", help="A name ending with .json or .jsonl.")
    ],
    documents: Annotated[
        Path | None,
        typer.Argument(
            metavar="FOLDER", help="Where the documents are that TABLE names (default: beside it)."
        ),
    ] = None,
) -> None:
    """Make training data of a table: answers are words of the document, their offsets are found.

    An empty answer says that the document does not answer. Answers that stand in several places are listed.
    """
    from tinyreader.annotations import read_annotations

    writer_for(out)
    require_output(out, "--out", {"the table": str(table)})
    made = read_annotations(table, documents)
    for finding in made.ambiguous:
        typer.echo(str(finding), err=True)
    examples = list(made.examples)
    _finish(
        file=str(table),
        out=_write(examples, out),
        n_unanswerable=sum(example.is_impossible for example in examples),
        n_ambiguous=len(made.ambiguous),
    )


@app.command("convert")
def convert_command(
    file: FileArgument,
    out: Annotated[
        Path,
        typer.Option(
            "-o",
            "--out",
            metavar="OUT",
            help="A name ending with .json (SQuAD), .jsonl, or .gz.",
            show_default=False,
        ),
    ],
    split: SplitOption = None,
    on_bad: OnBadOption = BadExamples.error,
    rejects: RejectsOption = None,
) -> None:
    """Write FILE in the format that the name OUT asks for; with --on-bad, without what is wrong in it."""
    writer_for(out)  # a name that says nothing fails before any work
    require_output(out, "--out", {"the data": file, "the file of --rejects": rejects})
    examples, report = _load(file, split, on_bad, rejects)
    _finish(file=file, out=_write(examples, out), reading=_counts(report))


def _load(
    file: str, split: str | None, on_bad: BadExamples, rejects: Path | None
) -> tuple[list[Example], ReadReport]:
    """Return the examples and what reading did, which is said on stderr and written to `rejects`."""
    if rejects is not None:
        require_output(rejects, "--rejects", {"the data": file})
    report = ReadReport()
    examples = load_examples(file, split=split, on_bad=on_bad.value, rejected=report)
    if report.counts:
        typer.echo(f"{file}: {report}", err=True)
    if rejects is not None:
        with _writing(rejects):
            report.write(rejects)
    return examples, report


def _write(examples: Sequence[Example], path: Path) -> dict[str, object]:
    """Write the examples and return what was written."""
    with _writing(path):
        writer_for(path)(examples, path)
    typer.echo(f"{path}: {len(examples)} questions", err=True)
    return {"file": str(path), "n_questions": len(examples), "fingerprint": fingerprint(examples)}


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn a failure of the file system into an error with the name of the file."""
    try:
        yield
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error


def _counts(report: ReadReport) -> dict[str, object]:
    return {
        "n_kept": report.n_kept,
        "n_repaired": report.n_repaired,
        "n_skipped": report.n_skipped,
        "n_unread": report.n_unread,
        "findings": report.counts,
    }


def _share_or_number(text: str) -> float | int:
    try:
        return int(text) if text.strip().lstrip("+-").isdigit() else float(text)
    except ValueError:
        raise SettingsError(
            f"--held-out is {text!r}; give a share such as 0.1 or a number of questions"
        ) from None


def _number_or_all(text: str, option: str) -> int | None:
    """Return the number, None for `all`."""
    if text == "all":
        return None
    if not text.isdigit():
        raise SettingsError(f"{option} is {text!r}; give a number of questions, or 'all'")
    return int(text)


def _data_suffix(file: str) -> str:
    """Return the suffix that says the format of `file`, .json where it says none."""
    suffixes = [suffix.lower() for suffix in Path(file).suffixes[-2:]]
    form = ".jsonl" if ".jsonl" in suffixes or ".ndjson" in suffixes else ".json"
    return form + (".gz" if suffixes[-1:] == [".gz"] else "")


def _show_findings(findings: Sequence[Finding], limit: int) -> None:
    shown = [
        (each.place, each.kind, visible(each.article, 40), visible(each.question_id, 40), each.message)
        for each in findings[:limit]
    ]
    if shown:
        _table(("place", "kind", "article", "question", "what is wrong"), shown)
    if len(findings) > limit:
        _echo(f"... and {len(findings) - limit} more (--limit shows more, --rejects PATH writes all)")


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Show a table for a person on a terminal, tab-separated lines otherwise."""
    if not sys.stdout.isatty():
        for row in rows:
            _echo("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def _finish(**facts: object) -> None:
    """Write the last line of stdout: one JSON document, in ASCII so that any terminal and any text can take
    it.
    """
    typer.echo(json.dumps(facts))


def _echo(line: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    typer.echo(line.encode(encoding, "backslashreplace").decode(encoding))
