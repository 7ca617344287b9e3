"""Whether an engine gives the answers of the original: the questions it is tried on, its answers and logits,
and how far they may differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from tinyreader.arrays import Float32
from tinyreader.data import Example, load_examples
from tinyreader.errors import DataError
from tinyreader.metrics import question_scores
from tinyreader.reader.settings import ReaderSettings
from tinyreader.runtimes import Inputs, Runtime
from tinyreader.runtimes.reading import BatchLimits, padded_batches, window_logits
from tinyreader.sample import encyclopaedia
from tinyreader.spans import answer, decode
from tinyreader.windows import Window, Windower

MIN_QUESTIONS_PER_KIND = 50
"""With at least this many answerable and unanswerable questions, the two kinds have equal weight in F1."""

_PARAGRAPHS = 6


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """Answers to a trial's questions ("" for none), and start and end logits, float32 [n] each, of its
    windows.
    """

    answers: tuple[str, ...]
    logits: tuple[tuple[Float32, Float32], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """Questions with their windows, cut once and then run through every engine and every int8 plan."""

    examples: tuple[Example, ...]
    windows: tuple[Window, ...]
    settings: ReaderSettings

    @property
    def has_answers(self) -> bool:
        """Whether any question has a reference answer, so that F1 can be computed."""
        return any(example.answers for example in self.examples)

    def run(self, runtime: Runtime) -> Outcome:
        """The runtime's logits for every window, and the answers decoded from them."""
        read = window_logits(self.windows, runtime, self.settings.max_seq_len)
        answers, logits = [""] * len(self.examples), []
        for number, group in groupby(read, key=lambda one: one[0].example):
            parts = [part for _, part in group]
            logits += [(part.start, part.end) for part in parts]
            decoding = decode(parts, max_answer_tokens=self.settings.max_answer_tokens, n_best=1)
            context = self.examples[number].context
            answers[number] = answer(decoding, context, self.settings.no_answer_threshold)
        return Outcome(tuple(answers), tuple(logits))

    def first_windows(self, n_windows: int) -> Trial:
        """A trial of the first questions only: as many whole questions as it takes for `n_windows`."""
        n = 0
        for count, window in enumerate(self.windows):
            if count >= n_windows and window.example > n:
                break
            n = window.example
        return Trial(
            self.examples[: n + 1],
            tuple(window for window in self.windows if window.example <= n),
            self.settings,
        )

    def batches(self, pad_id: int, max_tokens: int = 1024) -> Iterator[Inputs]:
        """The windows in small batches of similar lengths."""
        return padded_batches(self.windows, pad_id, self.settings.max_seq_len, BatchLimits(max_tokens))


def make_trial(examples: Sequence[Example], tokenizer: Tokenizer, settings: ReaderSettings) -> Trial:
    """The trial of these questions. A question that is too long is truncated: engines are compared with each
    other, so that costs nothing.
    """
    if not examples:
        raise DataError("there is no question to try the engines on; give data with at least one")
    cut = replace(settings.windows, on_long_question="truncate")
    windows = tuple(Windower(tokenizer, cut).windows(examples))
    return Trial(tuple(examples), windows, settings)


def sample_examples(n: int = 48) -> tuple[Example, ...]:
    """Questions on the sample encyclopaedia, with contexts of one to six paragraphs and no reference answers.

    A reader that was not trained on these texts need not answer them well; two engines must still agree.
    """
    source = encyclopaedia(n_articles=8, n_held_out=max(8, n // 2), seed=5).held_out
    contexts = list(dict.fromkeys(example.context for example in source))
    made = []
    for number, example in enumerate(source[:: max(1, len(source) // n)][:n]):
        others = [contexts[(7 * number + k) % len(contexts)] for k in range(number % _PARAGRAPHS)]
        context = "\n".join([*others[: number % 3], example.context, *others[number % 3 :]])
        made.append(replace(example, context=context, answers=()))
    return tuple(made)


def trial_questions(source: str | None, n: int) -> list[Example]:
    """At most `n` questions, evenly spread over a data set; generated ones, at most 96, without a data set."""
    if source is None:
        return list(sample_examples(min(n, 96)))
    examples = load_examples(source)
    return [examples[i * len(examples) // n] for i in range(n)] if len(examples) > n else list(examples)


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a network may be from the original. All limits apply; `logit` None sets no limit on logits.

    `equal_answers` is the minimum share of equal answers, `logit` the maximum difference of a logit, and `f1`
    the maximum loss in points, where the data has reference answers. F1 alone would not do: on a few thousand
    questions a small change can be luck, while equal answers are evidence.
    """

    equal_answers: float
    logit: float | None = None
    f1: float = 0.5


TOLERANCES = {
    "fp32": Tolerance(equal_answers=0.995, logit=0.02, f1=0.05),
    "bf16": Tolerance(equal_answers=0.95),
    "int8": Tolerance(equal_answers=0.96),
    "packed": Tolerance(equal_answers=0.95),
}
"""The default for each precision, and for packed weights."""


@dataclass(frozen=True, slots=True)
class Parity:
    """How a network compares with the original on real windows.

    F1 is in points, with answerable and unanswerable questions weighted equally (int8 tends to shift the null
    score, which data with few unanswerable questions would hide), and None where the data has no answers.
    """

    questions: int
    windows: int
    largest_logit_difference: float
    mean_logit_difference: float
    equal_answers: float
    f1_original: float | None
    f1: float | None

    @property
    def f1_change(self) -> float | None:
        """The network's F1 minus the original's, in points."""
        return None if self.f1 is None or self.f1_original is None else self.f1 - self.f1_original

    def as_dict(self) -> dict[str, Any]:
        """The figures as plain data, `f1_change` included."""
        return {**asdict(self), "f1_change": self.f1_change}

    def failures(self, tolerance: Tolerance) -> list[str]:
        """One sentence for each limit that is exceeded."""
        found = []
        change = self.f1_change
        if not np.isfinite(self.largest_logit_difference):
            found.append("logits are not finite")
        elif tolerance.logit is not None and self.largest_logit_difference > tolerance.logit:
            found.append(
                f"a logit differs by {self.largest_logit_difference:.3g}; at most {tolerance.logit:g} is "
                "allowed"
            )
        if change is not None and change < -tolerance.f1:
            found.append(f"F1 falls by {-change:.2f} points; at most {tolerance.f1:g} is allowed")
        if self.equal_answers < tolerance.equal_answers:
            found.append(
                f"{self.equal_answers:.1%} of the answers are equal; at least {tolerance.equal_answers:.1%} "
                "is required"
            )
        return found


def compare(trial: Trial, original: Outcome, other: Outcome) -> Parity:
    """How the other outcome of the trial compares with the original's."""
    pairs = [
        (a, b)
        for one, two in zip(original.logits, other.logits, strict=True)
        for a, b in zip(one, two, strict=True)
    ]
    # In fp64, so that the difference of logits near fp32's limits does not overflow.
    differences = np.concatenate([np.abs(np.subtract(a, b, dtype=np.float64)) for a, b in pairs])
    equal = sum(a == b for a, b in zip(original.answers, other.answers, strict=True))
    return Parity(
        questions=len(trial.examples),
        windows=len(trial.windows),
        largest_logit_difference=float(differences.max()),
        mean_logit_difference=float(differences.mean()),
        equal_answers=equal / len(trial.examples),
        f1_original=balanced_f1(trial.examples, original.answers) if trial.has_answers else None,
        f1=balanced_f1(trial.examples, other.answers) if trial.has_answers else None,
    )


def balanced_f1(examples: Sequence[Example], answers: Sequence[str]) -> float:
    """The answers' F1 in points: the average of the means over answerable and over unanswerable questions.

    With fewer than `MIN_QUESTIONS_PER_KIND` of either kind it is the plain mean, since a handful of questions
    would otherwise decide half of the figure.
    """
    scores = np.array([question_scores(e, answer)[1] for e, answer in zip(examples, answers, strict=True)])
    impossible = np.array([e.is_impossible for e in examples])
    kinds = [scores[impossible], scores[~impossible]]
    if min(map(len, kinds)) < MIN_QUESTIONS_PER_KIND:
        return 100 * float(scores.mean())
    return 100 * float(np.mean([kind.mean() for kind in kinds]))
