"""Augmentation throughput of Tinyreader and of Haystack 1, side by side in one run, in paragraphs per minute.

    python benchmarks/augment_throughput.py     # 12 layers, 768 wide, 100,000 vectors of 300; some five
    minutes on two cores python benchmarks/augment_throughput.py --shape 2l-64d --vectors-shape 2000x50
    --paragraphs 8 --peer-paragraphs 3

Both sides make 20 copies of whole paragraphs of SQuAD, with the same masked language model (random weights)
and the same word vectors (random). Haystack is slow, so it gets few of the paragraphs, spread over the
lengths of all; since its time grows faster than a paragraph's length, rates are compared in paragraphs, in
tokens, and on the very paragraphs that Haystack had: the lowest counts. Tinyreader runs its exact way on
those, too: one mask a word, as Haystack. Loading models and vectors is given apart. Tinyreader asks about
fewer words: not about those in answers, numbers and punctuation.

The last line is the result as JSON. Exit code 1: at the default shapes, less than what is asked for was
reached.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from arithmetic import forward
from machine import CpuWatch, ceiling, cpu_name, has_amx
from sides import HERE, OURS, PEER, build_peer, run
from workload import (
    WARM_UP,
    Shape,
    Window,
    make_tokenizer,
    sample_paragraphs,
    write_model,
    write_squad,
    write_vectors,
)

DEFAULT_DATA = Path(__file__).parents[2] / "shared" / "data" / "squad2-train.json"
DEFAULT_SHAPE, DEFAULT_VECTORS = Shape(12, 768), (100_000, 300)
TIMES, PROBABILITY, CANDIDATES, MAX_TOKENS = 20, 0.4, 15, 512
QUIET = 0.05  # of the CPU; two-thread runs beside other work slow down many times over
NEEDED = {True: 30.0, False: 15.0}  # times as fast as Haystack, by whether the processor has AMX

MEASURES = {
    "paragraphs": "paragraphs per minute",
    "tokens": "tokens per minute",
    "same_paragraphs": "the same paragraphs",
    "words": "words asked about per minute, for information",
    "exact": "exact way, the same paragraphs",
    "exact_words": "exact way, words asked about per minute",
}


@dataclass(frozen=True, slots=True)
class Run:
    """What one side took for its paragraphs in one of its ways, and what the masked language model computed.

    `lengths` are the paragraphs' tokens, `words` how many the model was asked about, `sequences` are pairs of
    a length and how many of that length it was given, `n_head` at how many places it scored the vocabulary,
    `n_neighbours` for how many different words the vectors were searched, where that is known.
    """

    side: str
    way: str
    lengths: tuple[int, ...]
    seconds: float
    loading: float
    words: int
    sequences: tuple[tuple[int, int], ...]
    n_head: int
    n_neighbours: int | None
    parts: dict[str, float]
    precision: str
    foreign_share: float

    @property
    def paragraphs_per_minute(self) -> float:
        """Throughput in paragraphs."""
        return 60 * len(self.lengths) / self.seconds

    @property
    def tokens_per_minute(self) -> float:
        """Throughput in tokens of the paragraphs."""
        return 60 * sum(self.lengths) / self.seconds

    @property
    def words_per_minute(self) -> float:
        """Throughput in words that the model was asked about."""
        return 60 * self.words / self.seconds

    @property
    def sequences_per_paragraph(self) -> float:
        """Sequences that the model was given for a paragraph."""
        return sum(n for _, n in self.sequences) / len(self.lengths)

    def operations(self, shape: Shape, vocabulary: int) -> float:
        """Operations of the matrix products: the encoder's over real tokens, the head's where it was
        computed.
        """
        encoder = sum(n * forward(shape, [length]) for length, n in self.sequences)
        return encoder + self.n_head * 2 * shape.width * (shape.width + vocabulary)

    def as_json(self) -> dict[str, Any]:
        """The run as plain data."""
        return {
            "side": self.side,
            "way": self.way,
            "paragraphs": len(self.lengths),
            "mean_tokens": round(mean(self.lengths), 1),
            "tokens": self.lengths,
            "seconds": round(self.seconds, 3),
            "loading_seconds": round(self.loading, 3),
            "paragraphs_per_minute": round(self.paragraphs_per_minute, 3),
            "tokens_per_minute": round(self.tokens_per_minute, 1),
            "words_asked_about": self.words,
            "words_searched_in_vectors": self.n_neighbours,
            "sequences_per_paragraph": round(self.sequences_per_paragraph, 2),
            "seconds_by_part": {part: round(seconds, 3) for part, seconds in self.parts.items()},
            "precision": self.precision,
            "foreign_cpu_share": round(self.foreign_share, 3),
        }


@dataclass(frozen=True, slots=True)
class Report:
    """All runs, with what is needed to judge them."""

    runs: tuple[Run, ...]
    ceilings: tuple[dict[str, float], ...]
    shape: Shape
    vocabulary: int

    def run(self, side: str, way: str) -> Run:
        """The side's run in that way."""
        return next(run for run in self.runs if (run.side, run.way) == (side, way))

    def share(self, run: Run, seconds: float) -> float:
        """The run's arithmetic, were it done in so many seconds, as a share of the ceiling at its
        precision.
        """
        highest = max(measured[run.precision] for measured in self.ceilings)
        return run.operations(self.shape, self.vocabulary) / seconds / 1e12 / highest

    def speedups(self) -> dict[str, float]:
        """How many times as fast Tinyreader is by each measure; also per word asked about, and its exact
        way.
        """
        theirs, ours = self.run(PEER, "augment_squad"), self.run(OURS, "fast")
        same, exact = self.run(OURS, "fast, same"), self.run(OURS, "exact, same")
        return {
            "paragraphs": ours.paragraphs_per_minute / theirs.paragraphs_per_minute,
            "tokens": ours.tokens_per_minute / theirs.tokens_per_minute,
            "same_paragraphs": same.paragraphs_per_minute / theirs.paragraphs_per_minute,
            "words": ours.words_per_minute / theirs.words_per_minute,
            "exact": exact.paragraphs_per_minute / theirs.paragraphs_per_minute,
            "exact_words": exact.words_per_minute / theirs.words_per_minute,
        }

    def speedup(self) -> float:
        """The lowest of the fast way's measures."""
        measures = self.speedups()
        return min(measures["paragraphs"], measures["tokens"], measures["same_paragraphs"])


def vectors_shape(text: str) -> tuple[int, int]:
    """The number of words and of dimensions that a text such as 100000x300 stands for."""
    words, width = text.split("x")
    return int(words), int(width)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="SQuAD file to sample from")
    parser.add_argument(
        "--tokenizer", type=Path, help="folder with a vocab.txt; default: learned from the data"
    )
    parser.add_argument("--env-dir", type=Path, default=Path("~/.cache/tinyreader-bench").expanduser())
    parser.add_argument(
        "--shape", type=Shape.parse, default=DEFAULT_SHAPE, help="of the masked LM, such as 12l-768d"
    )
    parser.add_argument(
        "--vectors-shape", type=vectors_shape, default=DEFAULT_VECTORS, help="such as 100000x300"
    )
    parser.add_argument("--paragraphs", type=int, default=60, help="for Tinyreader")
    parser.add_argument("--peer-paragraphs", type=int, default=6, help="of these, for Haystack")
    parser.add_argument("--precision", choices=["auto", "bf16", "fp32"], default="auto", help="Tinyreader's")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument(
        "--side", choices=["both", "peer", "ours"], default="both", help="one side: its times only"
    )
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if not 1 <= args.peer_paragraphs <= args.paragraphs:
        parser.error("--peer-paragraphs must be at least 1 and at most --paragraphs")
    return args


def spread(sample: Sequence[Window], n: int) -> list[Window]:
    """n of the paragraphs, at even distances in their order by length."""
    ordered = sorted(sample, key=lambda paragraph: paragraph.n_tokens)
    return [ordered[(2 * i + 1) * len(ordered) // (2 * n)] for i in range(n)]


def measure(args: argparse.Namespace, scratch: Path) -> Report:
    """The runs of the sides asked for, the ceiling measured around them."""
    python = build_peer(args.env_dir) if args.side != "ours" else None
    say("vocabulary, paragraphs, model, vectors")
    tokenizer = make_tokenizer(scratch, args.data, args.tokenizer)
    sample = sample_paragraphs(args.data, tokenizer, n=args.paragraphs, max_tokens=MAX_TOKENS, seed=args.seed)
    few = spread(sample, args.peer_paragraphs)
    write_model(
        scratch / "masked-lm", args.shape, scratch / "vocab.txt", seed=args.seed, kind="BertForMaskedLM"
    )
    n_words, width = args.vectors_shape
    write_vectors(scratch / "glove.txt", args.data, tokenizer, n_words=n_words, width=width, seed=args.seed)

    ceilings = [ceiling(args.threads)]
    runs = []
    if python is not None:
        say(f"{PEER}, {len(few)} paragraphs")
        runs.append(run_peer(python, few, args, scratch))
        ceilings.append(ceiling(args.threads))
    if args.side != "peer":
        for way, paragraphs in (("fast", sample), ("fast, same", few), ("exact, same", few)):
            say(f"{OURS}, {way}, {len(paragraphs)} paragraphs")
            runs.append(run_ours(way, paragraphs, args, scratch))
        ceilings.append(ceiling(args.threads))
    return Report(tuple(runs), tuple(ceilings), args.shape, tokenizer.get_vocab_size())


def run_peer(python: Path, paragraphs: list[Window], args: argparse.Namespace, scratch: Path) -> Run:
    """Haystack's `augment_squad` over the paragraphs, after a sentence to warm up."""
    data = scratch / "peer.json"
    write_squad(data, [Window({"context": WARM_UP, "qas": []}, 0), *paragraphs])
    command = [str(python), str(HERE / "haystack_augment_side.py"), *settings(data, scratch)]
    with CpuWatch() as watch:
        report = json.loads(run(command, scratch, args.threads).splitlines()[-1])
    done = report["paragraphs"]
    same_paragraphs(PEER, len(done), paragraphs)
    augmenting, rest = sum(each["seconds"] for each in done), report["copying_and_writing"]
    return Run(
        side=PEER,
        way="augment_squad",
        lengths=lengths(paragraphs),
        seconds=augmenting + rest,
        loading=report["loading"],
        words=sum(each["sequences"] for each in done),
        sequences=tuple((each["tokens"], each["sequences"]) for each in done),
        n_head=sum(each["tokens"] * each["sequences"] for each in done),
        n_neighbours=None,
        parts={"augmenting": augmenting, "copying and writing": rest},
        precision="fp32",
        foreign_share=watch.foreign_share,
    )


def run_ours(way: str, paragraphs: list[Window], args: argparse.Namespace, scratch: Path) -> Run:
    """What `tinyreader augment` does with the paragraphs, in the way that is named."""
    data = scratch / "ours.json"
    write_squad(data, paragraphs)
    command = [sys.executable, str(HERE / "augment_side.py"), *settings(data, scratch)]
    command += [
        "--cache",
        str(scratch / "cache"),
        "--threads",
        str(args.threads),
        "--precision",
        args.precision,
    ]
    command += ["--exact"] * way.startswith("exact")
    with CpuWatch() as watch:
        report = json.loads(run(command, scratch, args.threads).splitlines()[-1])
    same_paragraphs(OURS, report["report"]["paragraphs"], paragraphs)
    return Run(
        side=OURS,
        way=way,
        lengths=lengths(paragraphs),
        seconds=report["seconds"],
        loading=report["loading"],
        words=report["words"],
        sequences=tuple((length, n) for length, n in report["sequences"]),
        n_head=report["words"],
        n_neighbours=report["words_in_vectors"],
        parts=report["parts"],
        precision=report["precision"],
        foreign_share=watch.foreign_share,
    )


def settings(data: Path, scratch: Path) -> list[str]:
    """The options that both sides take."""
    paths = [
        "--data",
        str(data),
        "--masked-lm",
        str(scratch / "masked-lm"),
        "--vectors",
        str(scratch / "glove.txt"),
    ]
    return [*paths, "--times", str(TIMES), "--candidates", str(CANDIDATES), "--probability", str(PROBABILITY)]


def same_paragraphs(side: str, n: int, paragraphs: Sequence[Window]) -> None:
    """Stop unless the side rewrote the paragraphs it was given."""
    if n != len(paragraphs):
        raise SystemExit(f"{side} rewrote {n} paragraphs of {len(paragraphs)}: no comparison")


def lengths(paragraphs: Iterable[Window]) -> tuple[int, ...]:
    """The paragraphs' lengths in tokens."""
    return tuple(paragraph.n_tokens for paragraph in paragraphs)


def show(report: Report, threads: int) -> None:
    """Print the report for people."""
    print(f"{cpu_name()}, {'with AMX' if has_amx() else 'without AMX'}, {threads} threads")
    for precision in ("fp32", "bf16"):
        measured = ", ".join(f"{c[precision]:.2f}" for c in report.ceilings)
        print(f"matrix-product ceiling, {precision}: {measured} TFLOP/s (before, between, after)")
    print(
        f"{TIMES} copies, probability {PROBABILITY}, {CANDIDATES} candidates, vocabulary "
        f"{report.vocabulary:,}\n"
    )
    head = f"{'side':<21}{'way':<15}{'paragraphs':>10}{'tokens':>8}{'seconds':>9}{'per minute':>12}{'tokens/min':>12}"
    print(f"{head}{'words':>8}{'passes':>8}{'loading':>9}  of the ceiling   foreign CPU")
    for each in report.runs:
        print(
            f"{each.side:<21}{each.way:<15}{len(each.lengths):>10}{mean(each.lengths):>8.0f}{each.seconds:>9.1f}"
            f"{each.paragraphs_per_minute:>12.1f}{each.tokens_per_minute:>12,.0f}{each.words / len(each.lengths):>8.0f}"
            f"{each.sequences_per_paragraph:>8.1f}{each.loading:>8.1f}s"
            f"  {report.share(each, each.seconds):>6.0%} of {each.precision}{each.foreign_share:>14.0%}"
        )
    print("tokens, words asked about and passes of the masked LM: of the mean paragraph")
    for each in report.runs:
        show_parts(each, report)


def show_parts(run: Run, report: Report) -> None:
    """Print where the time of a run went."""
    print(f"\n{run.side}, {run.way}; paragraphs of {', '.join(map(str, sorted(run.lengths)))} tokens")
    for part, seconds in sorted(run.parts.items(), key=lambda item: -item[1]):
        print(f"  {part:<20}{seconds:>9.2f} s{seconds / run.seconds:>7.1%}")
    if {"encoder", "head"} <= run.parts.keys():
        alone = report.share(run, run.parts["encoder"] + run.parts["head"])
        print(f"  encoder and head alone reach {alone:.0%} of the {run.precision} ceiling")


def judge(report: Report) -> dict[str, Any]:
    """Print the comparison, and what comes back says it as plain data."""
    speedups, needed = report.speedups(), NEEDED[has_amx()]
    print("\nTimes as fast as Haystack 1:")
    for name, text in MEASURES.items():
        print(f"  {text:<48}{speedups[name]:>8.1f}")
    print(
        f"  the lowest of the first three: {report.speedup():.1f} (asked for on such a machine: {needed:g})"
    )
    if (worst := max(run.foreign_share for run in report.runs)) > QUIET:
        print(
            f"Others took up to {worst:.0%} of the CPU meanwhile: these are no figures to quote. Run it "
            "again alone."
        )
    rounded = {name: round(speedup, 2) for name, speedup in speedups.items()}
    return {"speedups": rounded, "speedup": round(report.speedup(), 2), "needed": needed}


def say(text: str) -> None:
    """Tell on stderr what is going on."""
    sys.stderr.write(f"{text} ...\n")


def main() -> int:
    """Measure, report, and judge where the shapes are those the demand is for."""
    args = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="augment-throughput-") as scratch:
        report = measure(args, Path(scratch))
    show(report, args.threads)
    result: dict[str, Any] = {
        "cpu": cpu_name(),
        "amx": has_amx(),
        "threads": args.threads,
        "vocabulary": report.vocabulary,
        "ceiling_tflops": [{name: round(rate, 3) for name, rate in c.items()} for c in report.ceilings],
        "runs": [
            {**r.as_json(), "share_of_ceiling": round(report.share(r, r.seconds), 3)} for r in report.runs
        ],
    }
    reached = True
    if args.side == "both":
        result |= judge(report)
        reached = report.speedup() >= NEEDED[has_amx()]
    print(json.dumps(result))
    asked = (args.shape, args.vectors_shape) == (DEFAULT_SHAPE, DEFAULT_VECTORS)
    return int(asked and not reached)


if __name__ == "__main__":
    sys.exit(main())
