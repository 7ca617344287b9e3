"""What adapting gains: a reader adapted to questions on one kind of document, scored on other documents of that kind.

    python benchmarks/adapt_gain.py [--model MODEL] [--questions 200] [--work runs/adapt]

benchmarks/leases has 44 tenancy documents with 601 questions, written for this. Every other document is for learning, until
there are enough questions; all the rest is the test, on which nothing is chosen. Prints F1 before and after, each reader with
its own threshold, on the test and on the everyday set (which `adapt` itself never sees), with paired 95 % intervals.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tinyreader.adapt import AdaptSettings, adapt
from tinyreader.data import Example, load_examples
from tinyreader.metrics import paired_bootstrap, question_scores
from tinyreader.model_files import STARTER
from tinyreader.progress import Progress
from tinyreader.reader import Reader

HERE = Path(__file__).parent


def main() -> None:
    options = arguments()
    documents: dict[str, list[Example]] = {}
    for example in load_examples(HERE / "leases" / "leases.json.gz"):
        documents.setdefault(example.context, []).append(example)
    even = list(documents.values())[::2]
    learn: list[Example] = []
    for own in even:
        if len(learn) < options.questions:
            learn += own
    test = [example for own in list(documents.values())[1::2] for example in own]
    everyday = load_examples(HERE / "everyday" / "everyday.json")
    began = time.monotonic()
    outcome = adapt(learn, options.work, AdaptSettings(model=options.model), Progress())
    minutes = (time.monotonic() - began) / 60
    print(
        f"{len(learn)} questions to learn from, {minutes:.1f} minutes; adapt's own report: {outcome.as_dict()}"
    )
    result: dict[str, object] = {"n_learned": len(learn), "minutes": round(minutes, 2)}
    for name, examples in (("leases", test), ("everyday", everyday)):
        before, after = (f1(model, examples) for model in (options.model, str(options.work)))
        found = paired_bootstrap(after, before)
        print(
            f"{name}: {len(examples)} questions, F1 {before.mean():.1f} -> {after.mean():.1f}, "
            f"{found.mean:+.1f} [{found.low:+.1f}, {found.high:+.1f}]"
        )
        result[name] = [before.mean(), after.mean(), found.low, found.high]
    print(json.dumps(result))


def f1(model: str, examples: Sequence[Example]) -> npt.NDArray[np.float64]:
    """The F1 [n] in percent of what the reader says, an answer or that there is none."""
    reader = Reader.from_pretrained(model)
    readings = reader.read_many((example.question, example.context) for example in examples)
    says = ("" if reading.answer is None else reading.answer.text for reading in readings)
    return np.array([100 * question_scores(e, text)[1] for e, text in zip(examples, says, strict=True)])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=STARTER)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--work", type=Path, default=Path("runs/adapt"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
