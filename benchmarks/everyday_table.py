"""Scores on the everyday set by kind of text and by kind of trap, from reports of `tinyreader evaluate`, as
Markdown tables.

    tinyreader evaluate MODEL benchmarks/everyday/everyday.json -o reports/mine
    python benchmarks/everyday_table.py reports/mine reports/other --worst 20

The first table has a row for each kind of text and a pair exact match / F1 for each report, at the no-answer
threshold the reader ships with. The second says how many of the questions without an answer were left without
one. `--worst` lists the mistakes of the first report in which no word was right, the most confident first.
The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from everyday.build import TRAPS, documents
from tinyreader.data import Example
from tinyreader.errors import DataError

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Asked:
    """A question of the set, with what its table knows beyond the example."""

    example: Example
    kind: str
    trap: str | None


def main() -> None:
    options = arguments()
    asked = {
        example.id: Asked(example, document.kind, question.trap)
        for document in documents()
        for example, question in zip(document.examples(), document.questions.values(), strict=True)
    }
    reports = {path.name: rows_of(path, asked) for path in options.reports}
    thresholds = {path.name: threshold_of(path) for path in options.reports}
    kinds = list(dict.fromkeys(each.kind for each in asked.values()))

    print("\n".join(by_kind(asked, reports, kinds)) + "\n")
    print("\n".join(by_trap(asked, reports)) + "\n")
    if options.worst:
        name, rows = next(iter(reports.items()))
        print(f"Worst of {name}:\n\n" + "\n".join(worst(asked, rows, options.worst)) + "\n")
    everything = {name: scores(rows.values()) for name, rows in reports.items()}
    print(json.dumps({name: {**everything[name], "threshold": thresholds[name]} for name in reports}))


def rows_of(report: Path, asked: Mapping[str, Asked]) -> dict[str, Row]:
    """Return a report's questions by id; raises DataError where they are not those of the set as it is
    now.
    """
    rows = {
        row["id"]: row
        for row in map(json.loads, (report / "questions.jsonl").read_text("utf-8").splitlines())
    }
    if rows.keys() != asked.keys():
        raise DataError(
            f"{report} is on other questions than the set has now; evaluate on everyday.json again"
        )
    return rows


def threshold_of(report: Path) -> float:
    """Return the null odds up to which the reader of a report answered."""
    return float(
        json.loads((report / "report.json").read_text("utf-8"))["reader"]["settings"]["no_answer_threshold"]
    )


def by_kind(
    asked: Mapping[str, Asked], reports: Mapping[str, Mapping[str, Row]], kinds: Iterable[str]
) -> Iterator[str]:
    """Yield the lines of the first table."""
    yield from heading("exact / F1", reports)
    answerable = [key for key, each in asked.items() if each.trap is None]
    parts = {kind: [key for key, each in asked.items() if each.kind == kind] for kind in kinds}
    parts |= {
        "**all**": list(asked),
        "with an answer": answerable,
        "without": [key for key in asked if key not in answerable],
    }
    for name, keys in parts.items():
        yield line(name, len(keys), (pair(rows[key] for key in keys) for rows in reports.values()))
    off = (pair((rows[key] for key in answerable), "text_") for rows in reports.values())
    yield line("with an answer, no-answer off", len(answerable), off)


def by_trap(asked: Mapping[str, Asked], reports: Mapping[str, Mapping[str, Row]]) -> Iterator[str]:
    """Yield the lines of the second table."""
    yield from heading("left without an answer", reports)
    for trap, meaning in TRAPS.items():
        ids = [key for key, each in asked.items() if each.trap == trap]
        refused = (sum(not rows[key]["answered"] for key in ids) for rows in reports.values())
        yield line(f"{trap}: {meaning}", len(ids), map(str, refused))


def worst(asked: Mapping[str, Asked], rows: Mapping[str, Row], most: int) -> Iterator[str]:
    """Yield one line for each of the most confident mistakes in which nothing was right."""
    wrong = sorted((row for row in rows.values() if row["f1"] == 0.0), key=lambda row: -row["confidence"])
    for row in wrong[:most]:
        example = asked[row["id"]].example
        gold = f"“{example.answers[0].text}”" if example.answers else f"no answer ({asked[example.id].trap})"
        said = f"“{row['prediction']}”" if row["answered"] else f"no answer (best: “{row['prediction']}”)"
        yield " ".join(
            f"- {row['confidence']:.2f} {example.title}: {example.question} {said}; right: {gold}".split()
        )


def scores(rows: Iterable[Row], which: str = "") -> dict[str, float]:
    """Return the means of exact match and F1 in percent; `which` "text_": of the best span, whatever the
    threshold.
    """
    counted = list(rows)
    return {
        name: 100.0 * sum(row[which + name] for row in counted) / len(counted) for name in ("exact", "f1")
    }


def pair(rows: Iterable[Row], which: str = "") -> str:
    """Return those means as a cell of the table."""
    means = scores(rows, which)
    return f"{means['exact']:.1f} / {means['f1']:.1f}"


def heading(what: str, reports: Iterable[str]) -> list[str]:
    """Return a table's first two lines."""
    names = list(reports)
    return [
        "| | questions | " + " | ".join(f"{name}, {what}" for name in names) + " |",
        "|---" * (2 + len(names)) + "|",
    ]


def line(name: str, n: int, cells: Iterable[str]) -> str:
    """Return a table's row."""
    return f"| {name} | {n} | " + " | ".join(cells) + " |"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("reports", nargs="+", type=Path, help="directories that `tinyreader evaluate` wrote")
    parser.add_argument(
        "--worst", type=int, default=0, metavar="N", help="list so many mistakes of the first report"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
