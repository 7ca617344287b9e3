"""Where a reader fails: its scores by kind of question, and its worst mistakes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyreader.metrics import bootstrap_interval
from tinyreader.report.record import Question

Label = Callable[[Question], str | None]

EDGES = {
    "answer length, words": (1, 2, 4, 8, 16),
    "context length, tokens": (100, 150, 200, 300, 500),
    "windows": (1, 2, 4),
}
"""The upper end of each bin; one more, open bin follows."""

MIN_FOR_INTERVAL = 10
"""Slices with fewer questions get no interval: resampling them says too little."""

FIFTHS = ("first fifth", "second", "third", "fourth", "last fifth")
ANSWERABLE, UNANSWERABLE = "has an answer", "has none"

WRONG_SPAN, FALSE_ANSWER, MISSED = "wrong words", "answered the unanswerable", "gave no answer"


@dataclass(frozen=True, slots=True)
class Failure:
    """A question that went wrong: its row in the data, and the kind of mistake."""

    row: int
    kind: str


def by_slices(questions: Sequence[Question], samples: int = 1000) -> dict[str, list[dict[str, Any]]]:
    """Scores of each slice, by dimension: slice, n, exact and f1 in percent, f1_interval (None for few
    questions), answered (the share) and, with a teacher's predictions, teacher_f1. The dimensions answer
    length and position leave out unanswerable questions.
    """
    return {
        name: list(_slices(questions, label, order, samples)) for name, label, order in _dimensions(questions)
    }


def failures(questions: Sequence[Question], n: int = 60) -> list[Failure]:
    """The `n` worst mistakes, the most confident first: nothing of the answer was right."""
    return _most_confident([row for row, q in enumerate(questions) if q.f1 == 0.0], questions, n)


def lost(questions: Sequence[Question], n: int = 60) -> list[Failure]:
    """Lost in distillation: the teacher exactly right and nothing right here, the most confident first."""
    rows = [row for row, q in enumerate(questions) if q.teacher_exact == 1.0 and q.f1 == 0.0]
    return _most_confident(rows, questions, n)


def mistake(question: Question) -> str:
    """The kind of mistake of a question that went wrong."""
    if not question.answerable:
        return FALSE_ANSWER
    return WRONG_SPAN if question.answered else MISSED


def mistakes(questions: Sequence[Question]) -> dict[str, int]:
    """The number of questions with F1 0, by kind of mistake, and of those that are partly right."""
    counts = dict.fromkeys((WRONG_SPAN, FALSE_ANSWER, MISSED), 0)
    for question in questions:
        if question.f1 == 0.0:
            counts[mistake(question)] += 1
    return counts | {"partly right": sum(q.f1 > 0.0 and q.exact == 0.0 for q in questions)}


def with_teacher(questions: Sequence[Question]) -> dict[str, int]:
    """The number of questions that both, only the teacher, only this reader or neither had exactly right; empty
    without a teacher.
    """
    if not questions or questions[0].teacher_exact is None:
        return {}
    counts = dict.fromkeys(("both right", "only the teacher", "only this reader", "neither"), 0)
    for q in questions:
        theirs = q.teacher_exact == 1.0
        counts[
            ("both right" if theirs else "only this reader")
            if q.exact == 1.0
            else ("only the teacher" if theirs else "neither")
        ] += 1
    return counts


def _most_confident(rows: list[int], questions: Sequence[Question], n: int) -> list[Failure]:
    rows.sort(key=lambda row: -questions[row].confidence)
    return [Failure(row, mistake(questions[row])) for row in rows[:n]]


def _dimensions(questions: Sequence[Question]) -> Iterator[tuple[str, Label, list[str]]]:
    words = [word for word, _ in Counter(q.question_word for q in questions).most_common()]
    yield "question word", lambda q: q.question_word, words
    yield "answerable", lambda q: ANSWERABLE if q.answerable else UNANSWERABLE, [ANSWERABLE, UNANSWERABLE]
    for name, value in _NUMBERS.items():
        edges = EDGES[name]
        yield name, _binned(value, edges), _bin_names(edges)
    yield "position of the answer", _fifth, list(FIFTHS)


_NUMBERS: dict[str, Callable[[Question], int | None]] = {
    "answer length, words": lambda q: q.answer_words,
    "context length, tokens": lambda q: q.context_tokens,
    "windows": lambda q: q.windows,
}


def _slices(
    questions: Sequence[Question], label: Label, order: Sequence[str], samples: int
) -> Iterator[dict[str, Any]]:
    members: dict[str, list[Question]] = {name: [] for name in order}
    for question in questions:
        name = label(question)
        if name is not None:
            members[name].append(question)
    for name, inside in members.items():
        if not inside:
            continue
        f1 = 100.0 * np.array([q.f1 for q in inside])
        spread = list(bootstrap_interval(f1, samples=samples)) if len(inside) >= MIN_FOR_INTERVAL else None
        scores: dict[str, Any] = {
            "slice": name,
            "n": len(inside),
            "exact": 100.0 * float(np.mean([q.exact for q in inside])),
            "f1": float(f1.mean()),
            "f1_interval": spread,
            "answered": float(np.mean([q.answered for q in inside])),
        }
        if inside[0].teacher_f1 is not None:
            scores["teacher_f1"] = 100.0 * float(np.mean([q.teacher_f1 for q in inside]))
        yield scores


def _binned(value: Callable[[Question], int | None], edges: Sequence[int]) -> Label:
    names = _bin_names(edges)

    def label(question: Question) -> str | None:
        number = value(question)
        return None if number is None else names[int(np.searchsorted(edges, number))]

    return label


def _bin_names(edges: Sequence[int]) -> list[str]:
    """Names of the bins up to each edge and of the open one: 1, 2, 3-4, 5-8, 9 or more."""
    names, low = [], 1
    for edge in edges:
        names.append(str(edge) if edge == low else f"{low}-{edge}")
        low = edge + 1
    return [*names, f"{low} or more"]


def _fifth(question: Question) -> str | None:
    return None if question.position is None else FIFTHS[min(4, int(5 * question.position))]
