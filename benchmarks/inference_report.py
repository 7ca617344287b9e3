"""What inference.py measured, as tables for people and as data: rates, shares of the ceiling, agreement,
goals.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import mean, median
from typing import Any

from arithmetic import forward
from inference_sides import OURS, Side
from inference_work import Work
from workload import Shape

QUIET = 0.03  # share of the CPU that others may have before figures are not to be quoted
STEADY = 0.10  # by how much a side's rounds may differ
REFERENCE = "pipeline"  # whose answers the others' are compared with


@dataclass(slots=True)
class Row:
    """A side and what each of its rounds measured, or why there is nothing."""

    side: Side
    results: list[dict[str, Any]] = field(default_factory=list)
    missing: str = ""

    @property
    def batch_size(self) -> int | None:
        """The batch size that was found to be fastest in the first round."""
        return self.results[0].get("batch_size") if self.results else None

    @property
    def precision(self) -> str:
        """The number format of the arithmetic; what "auto" picked, where the side tells."""
        return str(self.results[0].get("what", {}).get("precision", self.side.precision))

    @property
    def seconds(self) -> float:
        """Seconds of all questions in bulk."""
        return float(sum(result["bulk"]["seconds"] for result in self.results))

    @property
    def questions_per_second(self) -> float:
        """Throughput over all rounds."""
        return sum(len(result["bulk"]["found"]) for result in self.results) / self.seconds

    @property
    def latency_ms(self) -> float:
        """The median of one question on one paragraph."""
        return 1000 * float(
            median(seconds for result in self.results for seconds in result["latency"]["seconds"])
        )

    @property
    def first_answer_s(self) -> float:
        """From the start of the process to its first answer, the median of the rounds."""
        return float(median(result["first_answer_s"] for result in self.results))

    @property
    def peak_mb(self) -> float:
        """The most memory of any round's process."""
        return float(max(result["peak_mb"] for result in self.results))

    @property
    def foreign_share(self) -> float:
        """The largest share of the CPU that others had during a measure."""
        parts = ("latency", "bulk", "book", "documents")
        return float(
            max(result[part]["foreign_share"] for result in self.results for part in parts if part in result)
        )

    @property
    def outside_engine(self) -> float | None:
        """The share of the bulk's time in which the reader did not wait for its engine; None for peers."""
        if "engine_seconds" not in self.results[0]["bulk"]:
            return None
        return 1 - float(sum(result["bulk"]["engine_seconds"] for result in self.results)) / self.seconds

    def once(self, part: str) -> float | None:
        """Seconds of a measure that only the first round takes; None where it did not."""
        return float(self.results[0][part]["seconds"]) if part in self.results[0] else None

    def found(self) -> list[list[int]]:
        """All answers, round by round."""
        return [place for result in self.results for place in result["bulk"]["found"]]


@dataclass(frozen=True, slots=True)
class Goal:
    """Something to be reached, the value None where a side is missing; `applies` to machines like this
    one.
    """

    text: str
    value: float | None
    needed: float
    unit: str = "x"
    at_least: bool = True
    applies: bool = True

    @property
    def reached(self) -> bool:
        """Whether the value is on the right side of what is needed."""
        return self.value is not None and (
            self.value >= self.needed if self.at_least else self.value <= self.needed
        )


@dataclass(frozen=True, slots=True)
class Report:
    """All rows of a run, with what is needed to judge them; `lengths` are the windows' tokens, round by
    round.
    """

    rows: tuple[Row, ...]
    ceilings: tuple[dict[str, float], ...]
    shape: Shape
    lengths: list[list[int]]
    work: Work
    amx: bool

    def workload(self) -> str:
        """What all sides worked on."""
        tokens = [length for lengths in self.lengths for length in lengths]
        return (
            f"BERT of {self.shape.layers} layers, {self.shape.width} wide; {len(self.work.pairs)} questions "
            f"in {len(tokens)} "
            f"windows of {mean(tokens):.0f} tokens, {self.work.n_pages:.0f} pages, "
            f"{len(self.work.documents)} documents"
        )

    def row(self, key: str) -> Row | None:
        """The row of a side that was measured."""
        return next((row for row in self.rows if row.side.key == key and not row.missing), None)

    def ceiling(self, precision: str) -> float:
        """The highest rate of matrix products in this run, in 1e12 operations per second."""
        return max(measured[precision] for measured in self.ceilings)

    def share(self, row: Row) -> float:
        """Arithmetic that was needed per second in bulk, as a share of the ceiling at that precision."""
        operations = sum(forward(self.shape, lengths) for lengths in self.lengths)
        return operations / row.seconds / 1e12 / self.ceiling(row.precision)

    def same(self, row: Row) -> int | None:
        """Questions whose answer has the place that the pipeline gives it in fp32; None where that was not
        measured.
        """
        reference = self.row(REFERENCE)
        if reference is None:
            return None
        return sum(one == other for one, other in zip(row.found(), reference.found(), strict=True))

    def table(self) -> str:
        """The sides as Markdown."""
        pages, n = f"{self.work.n_pages:.0f} pages, s", len(self.work.documents)
        head = [
            "",
            "questions/s",
            "one question, p50 ms",
            "first answer, s",
            pages,
            f"{n} documents, s",
            "memory, MB",
            "of the ceiling",
            "same answers",
            "others' CPU",
        ]
        lines = [_line(head), _line(["---"] * len(head))]
        for row in self.rows:
            if row.missing:
                continue
            same, bold = self.same(row), "**" if row.side.library is OURS else ""
            size = f" (of {row.batch_size})" if row.batch_size else ""
            lines.append(
                _line(
                    [
                        f"{bold}{row.side.name}{size}{bold}",
                        f"{row.questions_per_second:.1f}",
                        f"{row.latency_ms:.0f}",
                        f"{row.first_answer_s:.1f}",
                        _seconds(row.once("book")),
                        _seconds(row.once("documents")),
                        f"{row.peak_mb:.0f}",
                        f"{self.share(row):.0%} of {row.precision}",
                        "" if same is None else f"{same} of {len(self.work.pairs)}",
                        f"{row.foreign_share:.0%}",
                    ]
                )
            )
        return "\n".join(lines)

    def notes(self) -> Iterator[str]:
        """Yield what has to be known about the figures."""
        for precision in ("fp32", "bf16", "int8"):
            measured = ", ".join(f"{ceiling[precision]:.2f}" for ceiling in self.ceilings)
            yield f"Matrix-product ceiling, {precision}: {measured} Tera-operations/s (before, between, after)"
        for row in self.rows:
            if row.missing:
                yield f"Missing: {row.side.name}: {row.missing}"
                continue
            if row.outside_engine is not None:
                what = ", ".join(map(str, row.results[0].get("what", {}).values()))
                yield f"{row.side.name} ({what}): {row.outside_engine:.1%} of the time outside the engine"
            if (drift := self.drift(row)) > STEADY:
                yield f"{row.side.name}: its rounds differ by {drift:.0%}"
        if (ours := self.row("ours")) and (shares := ours.results[0].get("profile")):
            files = ", ".join(f"{name} {share:.1%}" for name, share in list(shares.items())[:8])
            yield f"Time by source file, under a profiler that slows Python down: {files}"
        measured_rows = [row for row in self.rows if not row.missing]
        if measured_rows and (worst := max(row.foreign_share for row in measured_rows)) > QUIET:
            yield f"Others took up to {worst:.0%} of the CPU meanwhile: these are no figures to quote. Run it again alone."

    def drift(self, row: Row) -> float:
        """By how much the rounds' rates of arithmetic differ, as a share of the fastest."""
        rates = [
            forward(self.shape, lengths) / result["bulk"]["seconds"]
            for lengths, result in zip(self.lengths, row.results, strict=True)
        ]
        return 1 - float(min(rates) / max(rates))

    def goals(self) -> list[Goal]:
        """What is asked of Tinyreader, with what it reached."""
        goals = []
        for precision, needed in (("fp32", 1.15), ("bf16", 1.6), ("int8", 2.1)):
            theirs = [row.questions_per_second for row in self.peers(precision)]
            ours = self.row(f"ours-{precision}")
            value = ours.questions_per_second / max(theirs) if ours and theirs else None
            goals.append(
                Goal(f"questions/s, {precision}, to the best peer's", value, needed, applies=self.amx)
            )
        goals += self.untuned()
        for precision, most in (("bf16", 1000.0), ("int8", 2200.0)):
            ours = self.row(f"ours-{precision}")
            goals.append(
                Goal(f"memory at {precision}", ours.peak_mb if ours else None, most, " MB", at_least=False)
            )
        for precision, least in (("bf16", 55.0), ("int8", 40.0)):
            ours = self.row(f"ours-{precision}")
            share = 100 * self.share(ours) if ours else None
            goals.append(Goal(f"share of the ceiling at {precision}", share, least, " %"))
        untuned = self.row("ours")
        outside = untuned.outside_engine if untuned else None
        percent = None if outside is None else 100 * outside
        return [*goals, Goal("time outside the engine", percent, 5.0, " %", at_least=False)]

    def peers(self, precision: str, *, documented: bool = False) -> list[Row]:
        """The measured rows of other libraries at a precision."""
        return [
            row
            for row in self.rows
            if row.side.library is not OURS
            and not row.missing
            and row.side.precision == precision
            and (row.side.documented or not documented)
        ]

    def untuned(self) -> Iterator[Goal]:
        """Yield the goals of what a user gets who tunes nothing, against the best peer as its documentation
        shows it.
        """
        ours, theirs = self.row("ours"), self.peers("fp32", documented=True)
        measures: Sequence[tuple[str, float, Any]] = (
            ("questions/s", 5.0, lambda row: 1 / row.questions_per_second),
            ("one question on one paragraph", 3.0, lambda row: row.latency_ms),
            ("process start to first answer", 3.5, lambda row: row.first_answer_s),
            (f"one question on {self.work.n_pages:.0f} pages", 5.0, lambda row: row.once("book")),
            (f"one question on {len(self.work.documents)} documents", 5.0, lambda row: row.once("documents")),
        )
        for text, needed, cost in measures:
            if ours is None or not theirs:
                yield Goal(f"untuned, {text}", None, needed)
                continue
            best = min(theirs, key=cost)
            yield Goal(f"untuned, {text}, to {best.side.library.name}", cost(best) / cost(ours), needed)

    def goals_table(self) -> str:
        """The goals as Markdown."""
        lines = [_line(["goal", "reached", "needed", ""]), _line(["---"] * 4)]
        for goal in self.goals():
            value = "not measured" if goal.value is None else f"{goal.value:.2f}{goal.unit}"
            needed = f"{'at least' if goal.at_least else 'at most'} {goal.needed:g}{goal.unit}"
            verdict = ("yes" if goal.reached else "no") if goal.applies else "asked of processors with AMX"
            lines.append(_line([goal.text, value, needed, verdict]))
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """Everything as plain data, answers left out."""
        return {
            "workload": self.workload(),
            "ceilings": [
                {name: round(rate, 3) for name, rate in measured.items()} for measured in self.ceilings
            ],
            "sides": {
                row.side.key: {"missing": row.missing} if row.missing else self._of(row) for row in self.rows
            },
            "goals": [
                {
                    "goal": goal.text,
                    "value": None if goal.value is None else round(goal.value, 3),
                    "needed": goal.needed,
                    "at_least": goal.at_least,
                    "applies": goal.applies,
                    "reached": goal.reached,
                }
                for goal in self.goals()
            ],
        }

    def _of(self, row: Row) -> dict[str, Any]:
        outside = row.outside_engine
        return {
            "questions_per_second": round(row.questions_per_second, 3),
            "bulk_seconds": [round(result["bulk"]["seconds"], 3) for result in row.results],
            "latency_p50_ms": round(row.latency_ms, 2),
            "first_answer_seconds": [round(result["first_answer_s"], 3) for result in row.results],
            "pages_seconds": row.once("book"),
            "documents_seconds": row.once("documents"),
            "peak_mb": round(row.peak_mb, 1),
            "precision": row.precision,
            "share_of_ceiling": round(self.share(row), 4),
            "same_answers": self.same(row),
            "outside_engine": None if outside is None else round(outside, 4),
            "foreign_cpu_share": round(row.foreign_share, 4),
            "batch_size": row.batch_size,
            "profile": {
                name: round(share, 4)
                for name, share in row.results[0].get("profile", {}).items()
                if share >= 0.0005
            },
            "versions": row.results[0]["versions"],
        }


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
