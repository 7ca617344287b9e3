"""Examples from files, memory and the Hub, with findings for what is wrong with them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from gzip import BadGzipFile
from itertools import chain, islice
from pathlib import Path
from typing import Any, cast
from zlib import error as zlib_error

from tinyreader.data.example import Example
from tinyreader.data.findings import CheckReport, Finding, OnBad, ReadReport, bad_data, quoted
from tinyreader.data.parse import parse_values
from tinyreader.data.rows import ExampleReader, document_examples
from tinyreader.data.shapes import ALIASES, unwrap
from tinyreader.data.tables import csv_columns, csv_rows, parquet_rows, typed_cells
from tinyreader.data.validate import Flawed
from tinyreader.errors import DataError, MissingExtraError, SettingsError
from tinyreader.storage import open_text

Source = str | os.PathLike[str] | Iterable[Mapping[str, Any] | Example]
"""A SQuAD JSON file, a JSON Lines file (either gzip-compressed or not), a Hub id, or rows or examples in
memory.
"""

LOOK_AHEAD = 200_000
"""How many examples after the first bad one are checked, so that the error can count what else is wrong."""

EXPECTED = (
    "A data set is a SQuAD JSON file, a JSON Lines file (.jsonl), a table (.csv), either of them .gz, a Parquet file, "
    "or a Hub id such as rajpurkar/squad_v2"
)
LINES_SUFFIXES = (".jsonl", ".ndjson")
CSV_SUFFIXES = (".csv", ".tsv")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_FILE_SUFFIXES = {".json", ".jsonl", ".ndjson", ".gz", ".csv", ".tsv", ".txt", ".parquet", ".arrow", ".zip"}
REMEDIES = {
    "error": "List every finding with: tinyreader data check FILE. To repair or skip bad examples: on_bad='repair' "
    "or 'skip' (--on-bad, in a recipe data.on_bad)",
    "repair": "None of it can be read, so there is nothing to repair or skip",
    "skip": "None of it can be read, so there is nothing to skip",
}
NOTHING_LEFT = (
    "No question is left: every one has a finding that cannot be repaired. Correct the data; "
    "tinyreader data check FILE lists every finding"
)


def iter_examples(
    source: Source, *, split: str | None = None, on_bad: OnBad = "error", rejected: ReadReport | None = None
) -> Iterator[Example]:
    """Yield the examples of `source` in their order.

    `on_bad` says what happens to findings (see `KINDS`):
    - "error": DataError with the counts by kind and the first findings. Examples before the first bad one are
      yielded first.
    - "repair": what is certain is corrected: an offset where the answer's text occurs once, or that counts in other
      units (UTF-16, bytes, line breaks as two); blank answers of impossible questions; numbers as text; missing ids
      (see `validate`). What cannot be repaired is left out, as with "skip".
    - "skip": an example with a finding is left out, the others are yielded.

    Data of which nothing can be read, or nothing is left, is a DataError whatever `on_bad` says. `rejected` is filled
    with what was kept, repaired and skipped, and why.

    `split` belongs to Hub data sets. JSON Lines and rows in memory are read one at a time, and only the ids
    are remembered; a SQuAD document is parsed as a whole.
    """
    if on_bad not in REMEDIES:
        raise SettingsError(f"on_bad is {on_bad!r}; choose one of: {', '.join(REMEDIES)}")
    name, outcomes = _open(source, split)
    return _keep_good(name, outcomes, on_bad, ReadReport() if rejected is None else rejected)


def load_examples(
    source: Source, *, split: str | None = None, on_bad: OnBad = "error", rejected: ReadReport | None = None
) -> list[Example]:
    """Return the examples of `source`, with each context and title held once; arguments as for
    `iter_examples`.
    """
    shared: dict[str, str] = {}
    examples = []
    for example in iter_examples(source, split=split, on_bad=on_bad, rejected=rejected):
        context = shared.setdefault(example.context, example.context)
        title = shared.setdefault(example.title, example.title)
        is_shared = context is example.context and title is example.title
        examples.append(example if is_shared else replace(example, context=context, title=title))
    return examples


def check(source: Source, *, split: str | None = None) -> CheckReport:
    """Return everything that is wrong with `source`. DataError only if the file or data set does not exist."""
    _, outcomes = _open(source, split)
    findings: list[Finding] = []
    n_questions = n_good = 0
    for outcome in outcomes:
        if isinstance(outcome, Flawed):
            findings += outcome.findings
            n_questions += outcome.n_questions or 0
        else:
            n_questions += 1
            n_good += 1
    if not n_questions and not findings:
        findings.append(Finding("no-questions", "it holds no questions"))
    return CheckReport(tuple(findings), n_questions, n_good)


def require_rereadable(name: str) -> None:
    """Raise `DataError` for a pipe or a device; called before work that reads its data more than once."""
    path = Path(name)
    try:
        is_stream = path.exists() and not path.is_file() and not path.is_dir()
    except (OSError, ValueError):  # not a valid file name: opening it reports that
        return
    if is_stream:
        raise DataError(
            f"{name} is not a regular file, and the data is read twice; write it to a file first and give that file"
        )


def _keep_good(
    name: str, outcomes: Iterator[Example | Flawed], on_bad: OnBad, report: ReadReport
) -> Iterator[Example]:
    """Yield what may be used under `on_bad` and note the rest in `report`."""
    for outcome in outcomes:
        if not isinstance(outcome, Flawed):
            report.n_kept += 1
            yield outcome
        elif on_bad == "error":
            raise bad_data(name, _remaining_findings(outcome, outcomes), REMEDIES[on_bad])
        elif outcome.fatal:
            raise bad_data(name, outcome.findings, REMEDIES[on_bad])
        elif on_bad == "repair" and outcome.repaired is not None:
            report.n_kept += 1
            report.n_repaired += 1
            report.repaired += outcome.findings
            yield outcome.repaired
        else:
            report.skipped += outcome.findings
            report.n_skipped += outcome.n_questions or 0
            report.n_unread += outcome.n_questions is None
    if report.skipped and not report.n_kept:
        raise bad_data(name, report.skipped, NOTHING_LEFT)


def _remaining_findings(first: Flawed, outcomes: Iterator[Example | Flawed]) -> list[Finding]:
    """Return the findings of `first` and of at most `LOOK_AHEAD` outcomes after it (a stream may be endless)."""
    findings = list(first.findings)
    for outcome in islice(outcomes, LOOK_AHEAD):
        if isinstance(outcome, Flawed):
            findings += outcome.findings
    return findings


def _open(source: Source, split: str | None) -> tuple[str, Iterator[Example | Flawed]]:
    """Return a name for messages and the outcomes; fails at once where there is nothing to open."""
    if not isinstance(source, str | os.PathLike):
        return "the rows", _from_memory(source, split)
    name = os.fspath(source)
    path = Path(name)
    try:
        is_directory, is_there = bool(name) and path.is_dir(), bool(name) and path.exists()
    except (OSError, ValueError) as error:
        raise DataError(f"{name}: cannot be read: {error}") from error
    if is_directory and not is_saved(path):
        raise DataError(f"{name} is a directory that `save_to_disk` of `datasets` did not write. {EXPECTED}")
    if is_directory or (not is_there and looks_like_hub_id(name)):
        return name, _number_rows(load_rows(name, split))
    if not is_there:
        raise DataError(f"{name}: no such file. {EXPECTED}")
    if split is not None:
        raise SettingsError(
            f"split {split!r} applies to Hub data sets only, and {name} is a file; leave it out"
        )
    return name, _from_file(path)


def _from_file(path: Path) -> Iterator[Example | Flawed]:
    """Yield the outcomes of a file, and one finding for a file without any."""
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    n_outcomes = 0
    try:
        if ".parquet" in suffixes:
            outcomes = _from_parquet(path)
        elif set(CSV_SUFFIXES) & set(suffixes):
            outcomes = _from_csv(path)
        else:
            outcomes = _from_json(path, is_lines=bool(set(LINES_SUFFIXES) & set(suffixes)))
        for outcome in outcomes:
            n_outcomes += 1
            yield outcome
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not n_outcomes:
        yield _fatal("no-questions", "it holds no questions")


def _from_json(path: Path, *, is_lines: bool) -> Iterator[Example | Flawed]:
    values = parse_values(path, is_lines=is_lines)
    first = next(values)
    if isinstance(first, tuple) and not first[0]:
        return document_examples(first[1])
    return ExampleReader().read(_unwrapped(chain([first], values)))


def _unwrapped(values: Iterable[tuple[str, object] | Flawed]) -> Iterator[tuple[str, object] | Flawed]:
    for item in values:
        inside = None if isinstance(item, Flawed) else unwrap(item[1], item[0])
        if inside is None:
            yield item
        else:
            yield from inside


def _from_csv(path: Path) -> Iterator[Example | Flawed]:
    """Yield the outcomes of a table, whose cells are text."""
    try:
        with open_text(path) as file:
            text = file.read()
        columns = csv_columns(text)
        if not {"question", *ALIASES["question"]} & set(columns):
            names = ", ".join(map(quoted, columns)) or "none"
            message = f"there is no column 'question'; the columns are: {names}. The first row must name the columns"
            yield _fatal("missing-field" if text.strip() else "empty-file", message)
        elif not {"context", *ALIASES["context"]} & set(columns):
            message = f"there is no column 'context'. Where documents are files, run: tinyreader data make {path} -o OUT.json"
            yield _fatal("missing-field", message)
        else:
            rows = ((place, typed_cells(row, place)) for place, row in csv_rows(text, str(path)))
            yield from ExampleReader().read(rows)
    except (EOFError, BadGzipFile, zlib_error) as error:
        yield _fatal("damaged-gzip", f"the compressed bytes are damaged or cut off ({error})")
    except UnicodeDecodeError as error:
        yield _fatal("not-utf8", f"byte {error.start} is not UTF-8; save the table as UTF-8")
    except DataError as error:
        yield _fatal("not-a-table", str(error))


def _from_parquet(path: Path) -> Iterator[Example | Flawed]:
    try:
        rows = ((f"row {n}", row) for n, row in enumerate(parquet_rows(path)))
        yield from ExampleReader().read(rows)
    except DataError as error:
        yield _fatal("not-a-table", str(error))


def _fatal(kind: str, message: str) -> Flawed:
    return Flawed((Finding(kind, message),), n_questions=None, fatal=True)


def _from_memory(
    source: Iterable[Mapping[str, Any] | Example], split: str | None
) -> Iterator[Example | Flawed]:
    if isinstance(source, Mapping):
        if split is None and ("data" in source or {"question", "context"} <= source.keys()):
            return document_examples(source)
        return _number_rows(source[pick_split(list(source), "the dictionary of data sets", split)])
    if split is not None:
        raise SettingsError(
            f"split {split!r} applies to Hub data sets only, not to rows in memory; leave it out"
        )
    return _number_rows(source)


def _number_rows(rows: Iterable[object]) -> Iterator[Example | Flawed]:
    try:
        iter(rows)
    except TypeError:
        raise DataError(
            f"rows in memory must be a list or another iterable, not {type(rows).__name__!r}. {EXPECTED}"
        ) from None
    return ExampleReader().read((f"row {n}", row) for n, row in enumerate(rows))


def looks_like_hub_id(name: str) -> bool:
    """Whether `name` has the form org/name and does not end like a data file."""
    return _HUB_ID.fullmatch(name) is not None and Path(name).suffix.lower() not in _FILE_SUFFIXES


def load_rows(name: str, split: str | None) -> Iterable[object]:
    """Return the rows of one split of a Hub data set, or of a directory that `save_to_disk` wrote.

    Raises MissingExtraError without the `datasets` package; DataError if the data set or the split does not
    exist, or if there are several splits and none is named.
    """
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError(f"Reading the data set {name!r}", "train") from error
    try:
        if Path(name).is_dir():
            loaded: Any = datasets.load_from_disk(name)
        else:
            chosen = split or pick_split(datasets.get_dataset_split_names(name), name, None)
            loaded = datasets.load_dataset(name, split=chosen)
    except DataError:
        raise
    except Exception as error:  # the library, the network and the file system raise many kinds
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        wanted = f"{name!r}, split {split!r}" if split else repr(name)
        origin = "" if Path(name).is_dir() else " from the Hub (and there is no file of that name)"
        raise DataError(f"cannot load the data set {wanted}{origin}: {reason}") from error
    if isinstance(loaded, Mapping):
        return cast(Iterable[object], loaded[pick_split(list(loaded), name, split)])
    return cast(Iterable[object], loaded)


def pick_split(names: list[str], source: str, split: str | None) -> str:
    """Return `split` if it is one of `names`, or the only name when none is asked for; DataError
    otherwise.
    """
    if split is None and len(names) == 1:
        return names[0]
    if split is not None and split in names:
        return split
    problem = f"{source} has several splits" if split is None else f"{source} has no split {split!r}"
    raise DataError(f"{problem}; choose one of: {', '.join(names)}")


def is_saved(directory: Path) -> bool:
    """Whether `datasets` wrote the directory, by the metadata files that it leaves there."""
    return any(
        (directory / name).is_file() for name in ("dataset_dict.json", "state.json", "dataset_info.json")
    )
