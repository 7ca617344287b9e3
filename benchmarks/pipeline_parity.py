"""Tinyreader's question-answering pipeline beside that of Transformers 4.57.6, on real pairs, in fp32.

    python benchmarks/pipeline_parity.py --model DIR --data squad2-dev.json --pairs 400

runs both, each in its own environment (the peer's is built the first time), and prints for several settings
how many pairs have equal answers: with the predecessor's own rules of merging (decoding="transformers-4"),
and with ours. Each difference is listed with its cause: the least change of our rules that gives the peer's
answers to the last place. It ends with exit code 1 when a difference has no such cause. The last line is one
JSON document.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from sides import HERE, build_environment, environment
from tinyreader.data import Example, load_examples
from tinyreader.integrations.transformers import QuestionAnsweringPipeline, pipeline
from tinyreader.integrations.transformers.decoding import Found, decode
from tinyreader.integrations.transformers.inputs import Pair, Parameters
from tinyreader.metrics import question_scores
from tinyreader.runtimes import Logits, Runtime
from tinyreader.spans import WindowLogits

PEER = "Transformers 4.57.6"
TOLERANCE = 1e-4
TIE = 1e-5
SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    {"top_k": 3},
    {"handle_impossible_answer": True},
    {"top_k": 3, "handle_impossible_answer": True},
    {"top_k": 3, "align_to_words": False, "max_answer_len": 30},
)
WINDOWED: tuple[dict[str, Any], ...] = tuple(
    {"max_seq_len": 96, "doc_stride": 48, **own}
    for own in ({}, {"top_k": 3, "handle_impossible_answer": True})
)
CAUSES = {
    "adds_windows": "one place in several windows, its scores added up",
    "merges_texts": "the same words at several places made one",
    "cuts_words": "a word cut by a window's end",
}

Job = tuple[list[Example], dict[str, Any]]
"""Questions, and the options they are asked with."""


@dataclass(frozen=True, slots=True)
class Case:
    """What a question gave: the peer's answers, and the logits of our windows with the text's words."""

    example: Example
    pair: Pair
    peer: list[tuple[Found, str]]
    parts: list[WindowLogits]
    words: Any


class Remembering(Runtime):
    """A runtime that computes a batch once, however many settings ask for it."""

    def __init__(self, runtime: Any) -> None:
        self.runtime, self.known = runtime, dict[bytes, Logits]()
        self.facts = runtime.facts

    def logits(self, input_ids: Any, mask: Any, segment_ids: Any) -> Logits:
        """The batch's logits, perhaps from memory."""
        key = str(input_ids.shape).encode() + input_ids.tobytes() + mask.tobytes()
        if key not in self.known:
            self.known[key] = self.runtime.logits(input_ids, mask, segment_ids)
        return self.known[key]


def peer_answers(
    python: Path, model: Path, jobs: Sequence[tuple[list[Example], dict[str, Any]]], threads: int
) -> dict[str, Any]:
    """What the peer prints for the jobs."""
    work = {
        "model": str(model.resolve()),
        "jobs": [
            {"pairs": [[p.question, p.context] for p in pairs], "options": options} for pairs, options in jobs
        ],
    }
    done = subprocess.run(
        [str(python), str(HERE / "pipeline_side.py")],
        input=json.dumps(work),
        env=environment(threads),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    answers: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answers


def cases(
    ours: QuestionAnsweringPipeline,
    examples: list[Example],
    options: dict[str, Any],
    answers: list[list[list[Any]]],
) -> Iterator[Case]:
    """Yield each question with the peer's answers and our logits."""
    pairs = [Pair(example.question, example.context) for example in examples]
    parameters = Parameters().changed(options)
    read = ours._read(pairs, 0, ours._cutter(parameters), parameters)
    for example, (_, pair, parts, words), found in zip(examples, read, answers, strict=True):
        peer = [(Found(score, start, end), text) for score, start, end, text in found]
        yield Case(example, pair, peer, parts, words)


def our_answers(case: Case, options: dict[str, Any], changes: Sequence[str]) -> list[Found]:
    """Our answers by our rules with these changes of them, named as in `CAUSES`."""
    rules = Parameters().changed(options).rules
    return decode(case.parts, case.words, case.pair.context, replace(rules, **dict.fromkeys(changes, True)))


def distance(found: Sequence[Found], case: Case) -> float:
    """The largest difference of scores, or infinity where places or texts differ other than by a tie's
    order.
    """
    if len(found) != len(case.peer):
        return float("inf")
    largest = 0.0
    for mine, (theirs, text) in zip(found, case.peer, strict=True):
        same = (mine.start, mine.end) == (theirs.start, theirs.end) and case.pair.context[
            mine.start : mine.end
        ] == text
        gap = abs(mine.score - theirs.score)
        if not same and gap > TIE:
            return float("inf")
        largest = max(largest, gap)
    return largest


def cause(case: Case, options: dict[str, Any]) -> str | None:
    """The least set of changes of our rules that gives the peer's answers, in words; None where no set
    does.
    """
    for size in range(1, len(CAUSES) + 1):
        for changes in combinations(CAUSES, size):
            if distance(our_answers(case, options, changes), case) <= TOLERANCE:
                return " and ".join(CAUSES[change] for change in changes)
    return None


def f1(answers: Sequence[tuple[Example, str]]) -> float:
    """The mean F1 of the answers to questions that have one, in percent."""
    scores = [question_scores(example, text)[1] for example, text in answers if example.answers]
    return 100 * sum(scores) / max(1, len(scores))


def compare(found: list[Case], options: dict[str, Any], listed: int) -> dict[str, Any]:
    """Prints what agrees and what does not, and gives it as plain data."""
    as_there = [distance(our_answers(case, options, list(CAUSES)), case) for case in found]
    as_here = [distance(our_answers(case, options, []), case) for case in found]
    causes = [
        None if gap <= TOLERANCE else cause(case, options) or "unexplained"
        for case, gap in zip(found, as_here, strict=True)
    ]
    equal_there, equal_here = ([gap for gap in gaps if gap <= TOLERANCE] for gaps in (as_there, as_here))
    mine = [(case, our_answers(case, options, [])[0]) for case in found]
    f1_here = f1([(case.example, case.pair.context[best.start : best.end]) for case, best in mine])
    f1_there = f1([(case.example, case.peer[0][1]) for case in found])
    above_one = sum(any(answer.score > 1 + TOLERANCE for answer, _ in case.peer) for case in found)
    report = {
        "options": options,
        "pairs": len(found),
        "windows": sum(len(case.parts) for case in found),
        "equal_by_its_rules": len(equal_there),
        "equal": len(equal_here),
        "largest_score_difference": max(equal_there, default=0.0),
        "f1_answerable": round(f1_here, 2),
        "peer_f1_answerable": round(f1_there, 2),
        "peer_scores_above_1": above_one,
        "causes": dict(Counter(c for c in causes if c)),
    }
    print(f"\n{options or 'defaults'}: {len(found)} pairs, {report['windows']} windows")
    print(
        f"  by its rules {len(equal_there)} equal, largest score difference "
        f"{report['largest_score_difference']:.1e}"
    )
    print(f"  by ours      {len(equal_here)} equal; {above_one} pairs have a score above 1 there")
    print(f"  F1 of the best answer, answerable questions: there {f1_there:.1f}, here {f1_here:.1f}")
    for reason, number in Counter(c for c in causes if c).most_common():
        print(f"    {number} x {reason}")
    shown = [(case, reason) for case, reason in zip(found, causes, strict=True) if reason]
    for case, reason in shown[:listed]:
        print(f"    {reason}: {case.pair.question!r}")
        print(
            f"      there {[(round(answer.score, 4), answer.start, answer.end, text) for answer, text in case.peer]}"
        )
        ours = our_answers(case, options, [])
        print(
            f"      here  {[(round(f.score, 4), f.start, f.end, case.pair.context[f.start : f.end]) for f in ours]}"
        )
    return report


def main() -> int:
    """Run both sides."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="a reader's directory")
    parser.add_argument("--data", type=Path, required=True, help="a SQuAD file")
    parser.add_argument("--pairs", type=int, default=400)
    parser.add_argument(
        "--windowed-pairs", type=int, default=150, help="pairs that are also read in small windows"
    )
    parser.add_argument(
        "--listed", type=int, default=5, help="differences shown for each setting; all are counted"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--env-dir", type=Path, default=Path("~/.cache/tinyreader-bench").expanduser())
    args = parser.parse_args()
    chosen = random.Random(0).sample(load_examples(args.data), args.pairs)
    jobs = [(chosen, options) for options in SETTINGS]
    jobs += [(chosen[: args.windowed_pairs], options) for options in WINDOWED]
    python = build_environment(args.env_dir, "transformers4", HERE / "peers" / "transformers4.txt", PEER)
    theirs = peer_answers(python, args.model, jobs, args.threads)
    print(f"{PEER} (torch {theirs['torch']}) gives the model {', '.join(theirs['inputs'])}")
    ours = pipeline("question-answering", model=args.model, threads=args.threads)
    ours.runtime = Remembering(ours.runtime)
    reports = [
        compare(list(cases(ours, own, options, answers)), options, args.listed)
        for (own, options), answers in zip(jobs, theirs["results"], strict=True)
    ]
    print(json.dumps({"model": args.model.name, "settings": reports}))
    failed = any(
        "unexplained" in report["causes"] or report["equal_by_its_rules"] < report["pairs"]
        for report in reports
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
