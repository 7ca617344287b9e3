"""What rewriting does to real text: answers kept, words replaced, and what a trained reader still finds in
the copies.

    python benchmarks/augment_quality.py --masked-lm DIR --vectors FILE --reader DIR [--paragraphs 200]

A seeded sample of paragraphs is rewritten twenty times. Every answer of every copy is looked up at its
offset. A reader that was trained on plain text answers the answerable questions on the originals and on some
of their copies, with no-answer off: where rewriting destroys meaning, its F1 falls. --sentences prints
rewritten sentences to look at; the last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from statistics import mean

from tinyreader.augment.paragraphs import AugmentReport, Prepared, augment, marked, paragraphs_of, prepare
from tinyreader.augment.proposer import AugmentOptions, Proposer
from tinyreader.augment.proposers import ProposerNames
from tinyreader.data import Example, load_examples
from tinyreader.metrics import question_scores
from tinyreader.reader import Reader
from tinyreader.runtimes.reading import predict
from tinyreader.windows import Windower, WindowSettings

DEFAULT_DATA = Path(__file__).parents[2] / "shared" / "data" / "squad2-train.json"
ANSWERS_KEPT, MEDIAN_SHARE, READER_SHARE = 1.0, 0.15, 0.85
MAX_SEQ_LEN = 320


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    parser.add_argument("--masked-lm", required=True)
    parser.add_argument("--vectors")
    parser.add_argument("--synonyms")
    parser.add_argument("--reader", help="a trained reader; without it the reader's share is not measured")
    parser.add_argument("--paragraphs", type=int, default=200)
    parser.add_argument(
        "--copies-read", type=int, default=1, help="copies of each paragraph that the reader answers on"
    )
    parser.add_argument("--sentences", type=int, default=0, help="print so many rewritten sentences")
    parser.add_argument("--exact", action="store_true")
    usual = AugmentOptions()
    for field in fields(AugmentOptions):
        value, flag = getattr(usual, field.name), f"--{field.name.replace('_', '-')}"
        if isinstance(value, bool):
            parser.add_argument(flag, action="store_true")
        else:
            parser.add_argument(flag, type=type(value), default=value)
    return parser.parse_args()


def intact(copies: Sequence[Example], originals: dict[str, Example]) -> tuple[int, int]:
    """How many answers of the copies stand at their offsets as the original's text, and how many there
    are.
    """
    good = total = 0
    for copy in copies:
        original = originals[copy.id.partition("#aug")[0]]
        pairs = zip(
            (*copy.answers, *copy.plausible_answers),
            (*original.answers, *original.plausible_answers),
            strict=True,
        )
        for now, before in pairs:
            total += 1
            good += copy.context[now.start : now.end] == now.text == before.text
    return good, total


def reader_f1(reader: str, questions: Sequence[Example]) -> float:
    """F1, 0 to 100, of the reader's best spans on answerable questions."""
    opened = Reader.from_pretrained(reader, engine="torch", max_seq_len=MAX_SEQ_LEN, doc_stride=96)
    windower = Windower(opened.tokenizer, WindowSettings(MAX_SEQ_LEN, 96))
    found = {p.id: p.text for p in predict(questions, windower, opened.runtime)}
    return 100 * mean(question_scores(example, found[example.id])[1] for example in questions)


def show_sentences(prepared: Sequence[Prepared], options: AugmentOptions, n: int, seed: int) -> None:
    """Print sentences of copies, with the words that stood there in brackets."""
    draw = random.Random(seed)
    for each in draw.sample(list(prepared), min(n, len(prepared))):
        copy = next(iter(each.copies(options)), None)
        if copy is None:
            continue
        text = "".join(f"{now}[{before}]" if before else now for now, before in marked(each, copy))
        print("-", draw.choice([s for s in text.split(". ") if "[" in s] or [text]))


def main() -> int:
    """Rewrite the sample, measure, and judge."""
    args = parse_arguments()
    options = AugmentOptions(**{f.name: getattr(args, f.name) for f in fields(AugmentOptions)})
    paragraphs = list(paragraphs_of(load_examples(args.data)))
    sample = random.Random(args.seed).sample(paragraphs, min(args.paragraphs, len(paragraphs)))
    names = ProposerNames(args.synonyms, args.masked_lm, args.vectors, args.exact)
    proposers: list[Proposer] = names.open(options.candidates, print)
    report = AugmentReport()
    plain = [example for paragraph in sample for example in paragraph]
    copies = [e for e in augment(plain, proposers, options, report) if "#aug" in e.id]
    good, total = intact(copies, {e.id: e for e in plain})
    facts = {**report.as_dict(), "answers": total, "answers_intact": good}
    ok = good == total and facts["median_replaced_share"] >= MEDIAN_SHARE
    print(report)
    print(f"answers intact at their offsets: {good:,} of {total:,}")
    if args.sentences:
        show_sentences(list(prepare(sample, proposers, options)), options, args.sentences, args.seed)
    if args.reader:
        numbers = {f"#aug{n}" for n in range(1, args.copies_read + 1)}
        read = [e for e in copies if not e.is_impossible and f"#aug{e.id.rpartition('#aug')[2]}" in numbers]
        before = reader_f1(args.reader, [e for e in plain if not e.is_impossible])
        after = reader_f1(args.reader, read)
        facts |= {
            "reader_f1": round(before, 2),
            "reader_f1_on_copies": round(after, 2),
            "reader_share": round(after / before, 4),
            "questions_read": len(read),
        }
        ok = ok and after >= READER_SHARE * before
        print(
            f"the reader's F1 on {len(read):,} answerable questions: {before:.1f} on the originals, "
            f"{after:.1f} on copies "
            f"({after / before:.1%}; {READER_SHARE:.0%} asked for)"
        )
    print(json.dumps(facts))
    return int(not ok)


if __name__ == "__main__":
    sys.exit(main())
