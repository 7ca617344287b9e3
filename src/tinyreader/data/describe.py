"""Counts and lengths of a data set."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from tinyreader.data.example import Example, Fingerprint


@dataclass(frozen=True, slots=True)
class Quantiles:
    """How one quantity is spread: mean, least, 5 %, half, 95 %, most. All zero when there was nothing to
    count.
    """

    mean: float = 0.0
    least: int = 0
    p5: int = 0
    median: int = 0
    p95: int = 0
    most: int = 0

    @classmethod
    def of(cls, values: array[int]) -> Quantiles:
        """Return the quantiles of whole numbers; each is a number that occurs."""
        if not values:
            return cls()
        ordered, last = sorted(values), len(values) - 1
        least, p5, median, p95, most = (ordered[round(share * last)] for share in (0, 0.05, 0.5, 0.95, 1))
        return cls(round(sum(ordered) / len(ordered), 2), least, p5, median, p95, most)


@dataclass(frozen=True, slots=True)
class DataStats:
    """What a data set holds. Lengths of contexts are per paragraph, lengths of answers per gold answer.

    Characters are Unicode code points; words are separated by whitespace. `answers_per_question` counts
    answerable questions only. Questions without a title belong to the article that is their context.
    """

    n_questions: int
    n_answerable: int
    n_impossible: int
    n_articles: int
    n_paragraphs: int
    n_with_plausible: int
    answers_per_question: Quantiles
    questions_per_paragraph: Quantiles
    context_chars: Quantiles
    context_words: Quantiles
    question_chars: Quantiles
    question_words: Quantiles
    answer_chars: Quantiles
    answer_words: Quantiles
    fingerprint: str

    def as_dict(self) -> dict[str, object]:
        """Return everything as plain numbers and strings, ready for JSON."""
        return asdict(self)


def stats(examples: Iterable[Example]) -> DataStats:
    """Return counts, lengths and the fingerprint of `examples`, in one pass."""
    running = Fingerprint()
    articles: set[str] = set()
    questions_on: dict[str, int] = {}
    n_impossible = n_with_plausible = 0
    lengths = {
        name: array("q") for name in ("question_chars", "question_words", "answer_chars", "answer_words")
    }
    n_answers = array("q")
    for example in examples:
        running.update(example)
        articles.add(f"a:{example.title}" if example.title.strip() else f"c:{example.context}")
        questions_on[example.context] = questions_on.get(example.context, 0) + 1
        n_with_plausible += bool(example.plausible_answers)
        _add_lengths(lengths, "question", example.question)
        if example.is_impossible:
            n_impossible += 1
            continue
        n_answers.append(len(example.answers))
        for answer in example.answers:
            _add_lengths(lengths, "answer", answer.text)
    return DataStats(
        n_questions=n_impossible + len(n_answers),
        n_answerable=len(n_answers),
        n_impossible=n_impossible,
        n_articles=len(articles),
        n_paragraphs=len(questions_on),
        n_with_plausible=n_with_plausible,
        answers_per_question=Quantiles.of(n_answers),
        questions_per_paragraph=Quantiles.of(array("q", questions_on.values())),
        context_chars=Quantiles.of(array("q", map(len, questions_on))),
        context_words=Quantiles.of(array("q", (len(context.split()) for context in questions_on))),
        **{name: Quantiles.of(values) for name, values in lengths.items()},
        fingerprint=running.hexdigest(),
    )


def _add_lengths(lengths: dict[str, array[int]], what: str, text: str) -> None:
    lengths[f"{what}_chars"].append(len(text))
    lengths[f"{what}_words"].append(len(text.split()))
