"""What is wrong with data: `Finding`, and the reports that collect them."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tinyreader.errors import DataError
from tinyreader.storage import atomic_text

OnBad = Literal["error", "repair", "skip"]

KINDS: dict[str, str] = {
    "empty-file": "the file is empty",
    "not-utf8": "bytes that are not UTF-8",
    "truncated": "the file, its compression or its last line is cut off",
    "damaged-gzip": "the compressed bytes are damaged",
    "not-json": "text that is not JSON",
    "not-a-table": "a CSV or Parquet file that cannot be read as a table",
    "no-questions": "valid JSON that holds no questions",
    "missing-field": "a required field is missing",
    "wrong-type": "a field whose type is not the one the format requires",
    "lone-surrogate": "half of a UTF-16 surrogate pair, which is not a character",
    "empty-id": "a question without an id",
    "duplicate-id": "an id that an earlier question already has",
    "empty-context": "a context that is empty or only whitespace",
    "empty-question": "a question that is empty or only whitespace",
    "empty-answer": "an answer without text",
    "offset-mismatch": "the answer's text is not what the context has at its offset",
    "outside-context": "the answer starts or ends outside the context",
    "impossible-with-answers": "marked impossible, with answers",
    "answerable-without-answers": "marked answerable, without answers",
}
"""Every kind of finding and what it means, in the order in which a file is read."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, with its place.

    `kind` is a key of `KINDS`. `place` is a JSON path (`data[3].paragraphs[0].qas[2]`) in a SQuAD file, a
    line (`line 12`) in JSON Lines, a row (`row 11`, from 0) in memory or from the Hub. `article` and
    `question_id` are empty where they do not apply or could not be read. `repairable` says whether reading
    with `on_bad="repair"` corrects it.
    """

    kind: str
    message: str
    article: str = ""
    question_id: str = ""
    place: str = ""
    repairable: bool = False

    def __str__(self) -> str:
        names = [f"article {visible(self.article)}"] if self.article else []
        names += [f"question {visible(self.question_id)}"] if self.question_id else []
        where = (
            f"{self.place} ({', '.join(names)})" if self.place and names else self.place or ", ".join(names)
        )
        return f"{where}: {self.kind}: {self.message}" if where else f"{self.kind}: {self.message}"

    def as_dict(self) -> dict[str, str | bool]:
        """Return the fields by name, as they are written to a rejects file."""
        return {
            "kind": self.kind,
            "article": self.article,
            "question_id": self.question_id,
            "place": self.place,
            "message": self.message,
            "repairable": self.repairable,
        }


@dataclass
class ReadReport:
    """What reading kept, repaired and skipped; passed to `iter_examples` or `load_examples` to be filled.

    An example is counted once, however many findings it has. Where part of a file could not be read at all (a
    cut-off line, an article that is not an object) the number of questions is unknown; such a part counts in `n_unread`.
    """

    n_kept: int = 0
    n_repaired: int = 0
    n_skipped: int = 0
    n_unread: int = 0
    repaired: list[Finding] = field(default_factory=list)
    skipped: list[Finding] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """How many findings of each kind, repaired and skipped together."""
        return count_kinds([*self.repaired, *self.skipped])

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write one JSON line per finding: what was done (`skipped` or `repaired`), where, and why."""
        done = [("skipped", finding) for finding in self.skipped] + [
            ("repaired", each) for each in self.repaired
        ]
        write_lines(path, ({"action": action, **finding.as_dict()} for action, finding in done))

    def __str__(self) -> str:
        text = f"{self.n_kept} kept ({self.n_repaired} of them repaired), {self.n_skipped} skipped"
        text += f", {self.n_unread} parts unreadable" if self.n_unread else ""
        return f"{text}: {format_counts(self.counts)}" if self.counts else text


@dataclass(frozen=True)
class CheckReport:
    """Everything that is wrong with a data set, and how many questions it has."""

    findings: tuple[Finding, ...]
    n_questions: int
    n_good: int

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def counts(self) -> dict[str, int]:
        """How many findings of each kind."""
        return count_kinds(self.findings)

    @property
    def n_repairable(self) -> int:
        """How many findings `on_bad="repair"` would correct."""
        return sum(finding.repairable for finding in self.findings)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write one JSON line per finding."""
        write_lines(path, (finding.as_dict() for finding in self.findings))


def count_kinds(findings: Iterable[Finding]) -> dict[str, int]:
    """Return how many findings there are of each kind, in the order of `KINDS`."""
    counts = Counter(finding.kind for finding in findings)
    return {kind: counts[kind] for kind in KINDS if kind in counts}


def format_counts(counts: dict[str, int]) -> str:
    """Return counts as `3 offset-mismatch, 1 duplicate-id`."""
    return ", ".join(f"{count} {kind}" for kind, count in counts.items())


def bad_data(name: str, findings: Sequence[Finding], remedy: str, *, n_shown: int = 5) -> DataError:
    """Return the error for a data set called `name`: counts by kind, the first findings, what to do."""
    lines = [
        f"{name}: {len(findings)} finding{'s' * (len(findings) != 1)}: {format_counts(count_kinds(findings))}"
    ]
    lines += [f"  {finding}" for finding in findings[:n_shown]]
    if len(findings) > n_shown:
        lines.append(f"  ... and {len(findings) - n_shown} more")
    return DataError("\n".join([*lines, remedy]))


def write_lines(path: str | os.PathLike[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write rows as JSON Lines in ASCII, because findings may hold lone surrogates."""
    with atomic_text(path) as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")


def quoted(text: str, limit: int = 80) -> str:
    """Return `text` in quotation marks for a message; see `visible`."""
    return f"'{visible(text, limit)}'"


def visible(text: str, limit: int = 80) -> str:
    """Return `text` for a message: one line, at most `limit` code points, unprintable characters as escapes."""
    short = text if len(text) <= limit else text[: limit - 3] + "..."
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in short
    )
