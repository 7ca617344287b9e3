"""Tinyreader's side of augment_throughput.py: a process of its own that prints what `tinyreader augment`
took, as JSON.

It runs what the command runs, from reading the data to the written file, with a clock in each of its parts.
Not in the time: loading the model and the vectors, and a first sentence as warm-up.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from tinyreader.augment import job
from tinyreader.augment.masked_lm import MaskedLM
from tinyreader.augment.masking import MaskedBatcher, MaskedLMOptions
from tinyreader.augment.neighbours import Neighbours
from tinyreader.augment.proposer import AugmentOptions, Passage, Proposer
from tinyreader.augment.proposers import EXTRA_PROPOSALS, fingerprint_of
from tinyreader.augment.vectors import load_vectors
from tinyreader.augment.words import find_words
from tinyreader.models import load_masked_lm
from tinyreader.progress import Progress, StopSwitch
from workload import WARM_UP

T = TypeVar("T")


class Stopwatch:
    """Seconds of each part of the work; while a part runs within another, only the inner one's clock goes."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._running: list[str] = []
        self._since = 0.0

    def start(self, part: str) -> None:
        """The part begins."""
        self._tick()
        self._running.append(part)

    def stop(self) -> None:
        """The part that began last ends."""
        self._tick()
        self._running.pop()

    def _tick(self) -> None:
        now = time.perf_counter()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now

    def items(self, part: str, items: Iterable[T]) -> Iterator[T]:
        """Yield the items; making each belongs to the part."""
        iterator = iter(items)
        while True:
            self.start(part)
            try:
                item = next(iterator)
            except StopIteration:
                return
            finally:
                self.stop()
            yield item


@dataclass(frozen=True, slots=True)
class Watched:
    """A proposer whose calls belong to the part."""

    proposer: Proposer
    part: str
    watch: Stopwatch

    def __call__(self, passages: Sequence[Passage]) -> Sequence[Sequence[Sequence[str]]]:
        self.watch.start(self.part)
        try:
            return self.proposer(passages)
        finally:
            self.watch.stop()

    @property
    def fingerprint(self) -> str:
        """The proposer's own."""
        return fingerprint_of(self.proposer)


def watch_model(model: Any, watch: Stopwatch) -> dict[int, int]:
    """From now on the model's passes belong to `encoder` and `head`; what comes back counts sequences by real
    length.
    """
    sequences: dict[int, int] = defaultdict(int)

    def begin(_: nn.Module, __: Any, inputs: dict[str, Any]) -> None:
        n, length = inputs["input_ids"].shape
        mask = inputs.get("attention_mask")
        sequences[length if mask is None else int(mask[0].sum())] += n
        watch.start("head")

    def end(*_: Any) -> None:
        watch.stop()

    model.register_forward_pre_hook(begin, with_kwargs=True)
    model.base_model.register_forward_pre_hook(lambda *_: watch.start("encoder"))
    model.base_model.register_forward_hook(end)
    model.register_forward_hook(end)
    return sequences


def watch_generator(owner: Any, name: str, part: str, watch: Stopwatch) -> None:
    """From now on, what the owner's generator function does belongs to the part."""
    original: Callable[..., Iterator[Any]] = getattr(owner, name)
    setattr(owner, name, lambda *args, **kwargs: watch.items(part, original(*args, **kwargs)))


def main() -> None:
    """Print the seconds of loading, of the work and of each part of it, and what was computed, as the last
    line.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--data", "--masked-lm", "--vectors", "--cache"):
        parser.add_argument(name, type=Path, required=True)
    for name in ("--times", "--candidates", "--threads"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--probability", type=float, required=True)
    parser.add_argument("--precision", required=True)
    parser.add_argument("--exact", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    n_proposals = args.candidates + EXTRA_PROPOSALS
    began = time.perf_counter()
    loaded = load_masked_lm(args.masked_lm)
    asked = MaskedLMOptions(n_proposals=n_proposals, exact=args.exact, precision=args.precision)
    masked_lm = MaskedLM(loaded, asked, device=torch.device("cpu"))
    neighbours = Neighbours(load_vectors(args.vectors, cache=args.cache), n_proposals)
    loading = time.perf_counter() - began
    for proposer in (masked_lm, neighbours):
        proposer([Passage(WARM_UP, find_words(WARM_UP))])

    n_words, n_types = masked_lm.counts.words, neighbours.counts.types - neighbours.counts.unknown
    watch = Stopwatch()
    sequences = watch_model(loaded.model, watch)
    watch_generator(MaskedBatcher, "masked", "tokenising", watch)
    watch_generator(job, "augment", "rewriting", watch)
    proposers = [Watched(masked_lm, "ranking", watch), Watched(neighbours, "neighbours", watch)]
    options = AugmentOptions(times=args.times, probability=args.probability, candidates=args.candidates)
    source, stop = job.Input(str(args.data)), StopSwitch()
    with tempfile.TemporaryDirectory() as scratch:
        began = time.perf_counter()
        watch.start("reading and writing")
        out, quiet = Path(scratch) / "augmented.jsonl", Progress(quiet=True)
        report = job.augment_file(source, out, proposers, options, job.scan(source, stop), quiet, stop)
        watch.stop()
        seconds = time.perf_counter() - began
    print(
        json.dumps(
            {
                "precision": masked_lm.precision,
                "loading": loading,
                "seconds": seconds,
                "parts": dict(watch.seconds),
                "sequences": sorted(sequences.items()),
                "words": masked_lm.counts.words - n_words,
                "words_in_vectors": neighbours.counts.types - neighbours.counts.unknown - n_types,
                "report": report.as_dict(),
            }
        )
    )


if __name__ == "__main__":
    main()
