"""How like the candidates of the fast way (many words masked at once) are those of one mask a word, on real
text.

    python benchmarks/augment_agreement.py --masked-lm DIR [--data squad2-train.json] [--paragraphs 200]

For each share of masked tokens: how many of the k best candidates are the same on average, how often the best
one is, and where the fast way's best stands among those of one mask a word. The last line is the result as
JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

from tinyreader.augment.masked_lm import MaskedLM
from tinyreader.augment.paragraphs import paragraphs_of
from tinyreader.augment.proposer import AugmentOptions, Passage
from tinyreader.augment.words import find_places
from tinyreader.data import load_examples

DEFAULT_DATA = Path(__file__).parents[2] / "shared" / "data" / "squad2-train.json"
SHARES = (0.05, 0.1, 0.15, 0.25)
DEEP = 100  # so far down is looked for the fast way's best

Candidates = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How the fast way's candidates compare with those of one mask a word, over all words that both propose
    for.

    `in_common` is the mean share of the k best that is the same, `same_best` the share of words with the same
    best, `best_within_k` the share whose fast best is among the exact k; `mean_rank` is where the fast best
    stands in the exact order (1 is first), those beyond the depth that was looked at counted as next after
    it.
    """

    masked_share: float
    words: int
    in_common: float
    same_best: float
    best_within_k: float
    mean_rank: float
    sequences: int
    exact_sequences: int


def compare(fast: Candidates, exact: Candidates, k: int) -> tuple[list[float], list[int]]:
    """For each word with candidates: the share of the exact k best among the fast k, and the fast best's
    exact rank.
    """
    shares, ranks = [], []
    for quick, slow in zip(fast, exact, strict=True):
        if quick and slow:
            shares.append(len(set(quick[:k]) & set(slow[:k])) / min(k, len(slow)))
            ranks.append(slow.index(quick[0]) + 1 if quick[0] in slow else len(slow) + 1)
    return shares, ranks


def propose(masked_lm: MaskedLM, passages: Sequence[Passage], what: str) -> Candidates:
    """The candidates of all words of the passages, in order."""
    began = time.monotonic()
    found = [words for passage in masked_lm(passages) for words in passage]
    sys.stderr.write(f"{what}: {masked_lm.counts.sequences:,} sequences, {time.monotonic() - began:.0f} s\n")
    return found


def sample_passages(data: Path, n: int, seed: int) -> list[Passage]:
    """A seeded choice of paragraphs with the words that may be replaced by default."""
    paragraphs = list(paragraphs_of(load_examples(data)))
    chosen = random.Random(seed).sample(paragraphs, min(n, len(paragraphs)))
    options = AugmentOptions()
    return [Passage(own[0].context, find_places(own, options).replaceable) for own in chosen]


def main() -> None:
    """Compare the ways and print the comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--masked-lm", required=True, help="a trained masked language model: directory or Hub id"
    )
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    parser.add_argument("--paragraphs", type=int, default=200)
    parser.add_argument("--candidates", type=int, default=15)
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES)
    parser.add_argument("--precision", choices=["auto", "bf16", "fp32"], default="auto", help="of both ways")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    passages = sample_passages(args.data, args.paragraphs, args.seed)
    k, deep = args.candidates, max(DEEP, args.candidates)
    single = MaskedLM.from_pretrained(args.masked_lm, exact=True, n_proposals=deep, precision=args.precision)
    exact = propose(single, passages, "one mask a word")
    found = []
    print(f"{len(passages)} paragraphs, the {k} best candidates, {single.precision}")
    print(
        f"{'masked':>8}{'in common':>11}{'same best':>11}{'best in k':>11}{'mean rank':>11}{'sequences':>11}"
    )
    for share in args.shares:
        many = MaskedLM.from_pretrained(
            args.masked_lm, masked_share=share, n_proposals=k, precision=args.precision
        )
        shares, ranks = compare(propose(many, passages, f"{share:.0%} masked"), exact, k)
        row = Agreement(
            masked_share=share,
            words=len(ranks),
            in_common=round(mean(shares), 4),
            same_best=round(mean(rank == 1 for rank in ranks), 4),
            best_within_k=round(mean(rank <= k for rank in ranks), 4),
            mean_rank=round(mean(ranks), 2),
            sequences=many.counts.sequences,
            exact_sequences=single.counts.sequences,
        )
        found.append(row)
        of_all = f"{row.sequences / row.exact_sequences:.1%}"
        print(
            f"{share:>8.0%}{row.in_common:>11.1%}{row.same_best:>11.1%}{row.best_within_k:>11.1%}{row.mean_rank:>11.2f}"
            f"{of_all:>11}"
        )
    result = {"paragraphs": len(passages), "candidates": k, "depth": deep, "precision": single.precision}
    print(json.dumps(result | {"agreement": [asdict(row) for row in found]}))


if __name__ == "__main__":
    main()
