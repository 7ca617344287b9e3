"""`tinyreader data`: check, stats, split, sample, make, convert."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, cast

import typer

from tinyreader.cli.options import OnBadOption, SeedOption, SplitOption, data_argument, example, out_option
from tinyreader.data import (
    Example,
    Finding,
    OnBad,
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

app = typer.Typer(help="Check, describe, split, sample, make and convert data.", no_args_is_help=True)


FileArgument = Annotated[str, data_argument("The data")]
RejectsOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write bad examples, with place and reason, as JSON Lines."),
]
DataOutOption = Annotated[Path, out_option("Data to write: .json (SQuAD) or .jsonl, also .gz.")]


@app.command("check", epilog=example("data check train.json"))
def check_command(
    file: FileArgument,
    split: SplitOption = None,
    rejects: RejectsOption = None,
    limit: Annotated[int, typer.Option(min=0, help="Maximum number of findings to print.")] = 20,
) -> None:
    """List what is wrong with a data set.

    Exit code 1 if anything is, 2 if nothing can be read.
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


@app.command("stats", epilog=example("data stats train.json"))
def stats_command(
    file: FileArgument,
    split: SplitOption = None,
    on_bad: OnBadOption = "error",
    rejects: RejectsOption = None,
) -> None:
    """Count articles, questions, answers and their lengths."""
    from tinyreader.report.question_style import question_style_auroc

    examples, report = _load(file, split, on_bad, rejects)
    style = question_style_auroc(examples)
    facts = stats(examples).as_dict() | {"question_style_auroc": None if style is None else round(style, 3)}
    spreads = {
        name: cast("dict[str, float]", value) for name, value in facts.items() if isinstance(value, dict)
    }
    _table(("count", "value"), [(name, str(value)) for name, value in facts.items() if name not in spreads])
    columns = ("spread", *next(iter(spreads.values())))
    _table(columns, [(name, *(f"{each:g}" for each in spread.values())) for name, spread in spreads.items()])
    _finish(file=file, **facts, reading=_counts(report))


@app.command("split", epilog=example("data split train.json -o split --held-out 0.1"))
def split_command(
    file: FileArgument,
    out: Annotated[Path, out_option("Directory of the two files.", "DIR")],
    held_out: Annotated[
        str, typer.Option(metavar="SHARE|N", help="How much to hold out: a share or a number of questions.")
    ] = "0.1",
    seed: SeedOption = 0,
    split: SplitOption = None,
    on_bad: OnBadOption = "error",
    rejects: RejectsOption = None,
) -> None:
    """Split data by article into DIR/train and DIR/held-out.

    No article and no context is in both. The files have the format of DATA.
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


@app.command("sample", epilog=example("data sample train.json -o mixed.json --unanswerable 0.33"))
def sample_command(
    file: FileArgument,
    out: DataOutOption,
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
    seed: SeedOption = 0,
    split: SplitOption = None,
    on_bad: OnBadOption = "error",
    rejects: RejectsOption = None,
) -> None:
    """Draw a part of a data set; make unanswerable questions from it.

    --elsewhere and --removed make them from answerable questions, before the part is drawn.
    """
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


@app.command("make", epilog=example("data make questions.csv docs/ -o my.json"))
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
    """Make training data from a table of questions and answers.

    Answers are words of the document; their offsets are found. An empty answer says that the document does not
    answer. Answers that occur in several places are listed.
    """
    from tinyreader.own_questions import read_own_questions

    writer_for(out)
    require_output(out, "--out", {"the table": str(table)})
    made = read_own_questions(table, documents)
    for finding in made.ambiguous:
        typer.echo(str(finding), err=True)
    examples = list(made.examples)
    _finish(
        file=str(table),
        out=_write(examples, out),
        n_unanswerable=sum(example.is_impossible for example in examples),
        n_ambiguous=len(made.ambiguous),
    )


@app.command("convert", epilog=example("data convert train.json -o train.jsonl.gz"))
def convert_command(
    file: FileArgument,
    out: DataOutOption,
    split: SplitOption = None,
    on_bad: OnBadOption = "error",
    rejects: RejectsOption = None,
) -> None:
    """Convert data of any shape to SQuAD JSON or JSON Lines.

    The suffix of --out names the format.
    """
    writer_for(out)  # an unknown suffix fails before any work
    require_output(out, "--out", {"the data": file, "the file of --rejects": rejects})
    examples, report = _load(file, split, on_bad, rejects)
    _finish(file=file, out=_write(examples, out), reading=_counts(report))


def _load(
    file: str, split: str | None, on_bad: OnBad, rejects: Path | None
) -> tuple[list[Example], ReadReport]:
    """Return the examples and the reading report, which is printed on stderr and written to `rejects`."""
    if rejects is not None:
        require_output(rejects, "--rejects", {"the data": file})
    report = ReadReport()
    try:
        examples = load_examples(file, split=split, on_bad=on_bad, rejected=report)
    finally:  # also when nothing is left, where the rejects say why
        if report.counts:
            typer.echo(f"{file}: {report}", err=True)
        if rejects is not None and (report.counts or sys.exception() is None):
            with _writing(rejects):
                report.write(rejects)
    return examples, report


def _write(examples: Sequence[Example], path: Path) -> dict[str, object]:
    """Write the examples and return their file, count and fingerprint."""
    with _writing(path):
        writer_for(path)(examples, path)
    typer.echo(f"{path}: {len(examples)} questions", err=True)
    return {"file": str(path), "n_questions": len(examples), "fingerprint": fingerprint(examples)}


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn a failure of the file system into an error that names the file."""
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
            f"--held-out is {text!r}; give a share, such as 0.1, or a number of questions"
        ) from None


def _number_or_all(text: str, option: str) -> int | None:
    """Return the number, None for `all`."""
    if text == "all":
        return None
    if not text.isdigit():
        raise SettingsError(f"{option} is {text!r}; give a number of questions, or 'all'")
    return int(text)


def _data_suffix(file: str) -> str:
    """Return the suffix for the format of `file`; .json if its name has none."""
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
    """Print a table on a terminal, tab-separated lines elsewhere."""
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
    """Print the last line of stdout: one JSON document, in ASCII so that every terminal can show it."""
    typer.echo(json.dumps(facts))


def _echo(line: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    typer.echo(line.encode(encoding, "backslashreplace").decode(encoding))
