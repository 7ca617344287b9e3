"""Start and end probabilities over the tokens of a text: where a reader sees the answer begin and end."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np

from tinyreader.arrays import Float64, Floats
from tinyreader.data import Example
from tinyreader.reader import Reader
from tinyreader.report.record import Question
from tinyreader.report.slices import Failure
from tinyreader.runtimes.reading import window_logits
from tinyreader.spans import WindowLogits, decode
from tinyreader.windows import Window, Windower


def chosen_rows(
    questions: Sequence[Question], worst: Sequence[Failure], lost: Sequence[Failure], n: int
) -> list[int]:
    """Row numbers of up to `n` questions to look at: what distillation lost and the worst of every kind by
    turns, then one that was answered right.
    """
    picked: list[int] = []
    by_kind: dict[str, list[int]] = {}
    for failure in worst:
        by_kind.setdefault(failure.kind, []).append(failure.row)
    lines = [[failure.row for failure in lost], *by_kind.values()]
    for turn in range(max(map(len, lines), default=0)):
        picked += [line[turn] for line in lines if turn < len(line)]
    right = [n for n, q in enumerate(questions) if q.exact == 1.0 and q.answered]
    picked = list(dict.fromkeys(picked))[: max(0, n - 1)]
    return [*picked, *right[:1]][:n]


def probabilities(reader: Reader, examples: Sequence[Example]) -> list[dict[str, Any]]:
    """For each example the window that the best span (else the first) was read from: `tokens` [m, 2], code
    points of the context; `start` and `end` [m], the probability of each token; `null_start` and `null_end`,
    that of "no answer".

    Probabilities are over the null position and the context tokens of that window, as in training.
    """
    settings = reader.settings
    windows = Windower(reader.tokenizer, settings.windows).windows(examples)
    logits = window_logits(windows, reader.runtime, settings.max_seq_len)
    views = []
    for _, group in groupby(logits, key=lambda pair: pair[0].example):
        own = list(group)
        parts = [one for _, one in own]
        spans = decode(parts, max_answer_tokens=settings.max_answer_tokens, n_best=1).spans
        views.append(_view(*own[spans[0].window if spans else 0]))
    return views


def _view(window: Window, logits: WindowLogits) -> dict[str, Any]:
    inside = slice(window.first, window.stop)
    begins, ends = _softmax(logits.start, inside), _softmax(logits.end, inside)
    return {
        "tokens": window.offsets[inside].tolist(),
        "start": [round(float(p), 4) for p in begins[1:]],
        "end": [round(float(p), 4) for p in ends[1:]],
        "null_start": round(float(begins[0]), 4),
        "null_end": round(float(ends[0]), 4),
    }


def _softmax(logits: Floats, inside: slice) -> Float64:
    """Probabilities over the null position, first, and the context tokens."""
    values = np.concatenate([logits[:1], logits[inside]]).astype(np.float64)
    values = np.exp(values - values.max())
    result: Float64 = values / values.sum()
    return result
