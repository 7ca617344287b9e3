"""The read path: examples are cut into windows, an engine computes their logits, and the logits are decoded.

Everything that reads goes through `read_windows`, or through `window_logits` where it decodes by itself. Memory is
bounded: texts are taken in chunks of characters, windows in groups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import groupby, tee
from typing import TypeVar

import numpy as np
from tokenizers import Tokenizer

from tinyreader.arrays import Float32
from tinyreader.data import Example
from tinyreader.runtimes import Inputs, Runtime
from tinyreader.spans import Decoding, WindowLogits, decode, merged
from tinyreader.windows import Window, Windower, WindowSettings, chunks, padded_length

T = TypeVar("T")

CHUNK_CHARACTERS = 400_000
"""About this much text is cut into windows and sorted by length together."""

GROUP_WINDOWS = 1024
"""Maximum number of windows held at a time: with their logits, about 10 MB."""

_ITEM_CHARACTERS = (
    100  # what an item counts for beside its text, so that a stream of empty ones comes out too
)
_CACHED_WINDOWERS = 8  # each holds a copy of the tokenizer, and a server's clients choose the lengths


def windower_cache(tokenizer: Tokenizer) -> Callable[[WindowSettings], Windower]:
    """A function that makes the tokenizer's windower for given settings and keeps the last few of them.

    Copying a tokenizer takes longer than reading a paragraph. Threads may share the function.
    """
    return lru_cache(_CACHED_WINDOWERS)(partial(Windower, tokenizer))


def in_chunks(items: Iterable[T], size: Callable[[T], int]) -> Iterator[list[T]]:
    """Yield the items, whose `size` is in characters, in lists of about `CHUNK_CHARACTERS`, at least one each.

    A list is given out as soon as it is full, so that a live stream is not read further than necessary.
    """
    chunk: list[T] = []
    total = 0
    for item in items:
        own = size(item) + _ITEM_CHARACTERS
        if chunk and total + own > CHUNK_CHARACTERS:
            yield chunk
            chunk, total = [], 0
        chunk.append(item)
        total += own
        if total >= CHUNK_CHARACTERS:
            yield chunk
            chunk, total = [], 0
    if chunk:
        yield chunk


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """The maximum size of a batch: `tokens` with padding, and `windows` (None: no limit); at least one window."""

    tokens: int = 2048
    windows: int | None = None


DEFAULT_LIMITS = BatchLimits()


def read_windows(
    examples: Iterable[Example],
    windower: Windower,
    runtime: Runtime,
    *,
    max_answer_tokens: int | None = 30,
    n_best: int = 20,
    max_spans: int | None = None,
    limits: BatchLimits = DEFAULT_LIMITS,
) -> Iterator[Decoding]:
    """Yield the decoding of each example, in order. Windows are batched by length across examples.

    `n_best` spans are taken from each window, of up to `max_answer_tokens` (None: a whole window), and the
    best `max_spans` of them kept (None: all). Raises `DataError` for a question that leaves no room for the
    context.
    """
    for chunk in in_chunks(examples, lambda example: len(example.question) + len(example.context)):
        logits = window_logits(windower.windows(chunk), runtime, windower.settings.max_seq_len, limits)
        for _, own in groupby(logits, key=lambda pair: pair[0].example):
            found: list[Decoding] = []
            for group in chunks(own, GROUP_WINDOWS):  # of a long text only the spans are kept
                found += [
                    decode([one], max_answer_tokens=max_answer_tokens or len(window), n_best=n_best)
                    for window, one in group
                ]
                n_spans = sum(len(decoding.spans) for decoding in found)
                found = [merged(found, n_spans if max_spans is None else max_spans)]
            yield found[0]


def window_logits(
    windows: Iterable[Window], runtime: Runtime, max_length: int, limits: BatchLimits = DEFAULT_LIMITS
) -> Iterator[tuple[Window, WindowLogits]]:
    """Yield each window with its logits, in order, holding at most `GROUP_WINDOWS` of them.

    `max_length` is the length in tokens that padding may reach, as in `run_windows`.
    """
    for group in chunks(windows, GROUP_WINDOWS):
        for window, (start, end) in zip(group, run_windows(group, runtime, max_length, limits), strict=True):
            yield window, WindowLogits(start, end, window.first, window.stop, window.offsets)


@dataclass(frozen=True, slots=True)
class Prediction:
    """The best span for a question, and `null_odds`: null score minus the span's, larger means less
    answerable.

    `text` is the slice [start, end) of the context in code points; empty, with no place, where the context
    has no token.
    """

    id: str
    text: str
    start: int
    end: int
    score: float
    null_odds: float

    def answer(self, threshold: float) -> str:
        """The answer, or "" where the null odds exceed `threshold`."""
        return "" if self.null_odds > threshold else self.text


def predict(
    examples: Iterable[Example],
    windower: Windower,
    runtime: Runtime,
    *,
    max_answer_tokens: int = 30,
    limits: BatchLimits = DEFAULT_LIMITS,
) -> Iterator[Prediction]:
    """Yield the prediction of each example, in order."""
    asked, given = tee(examples)
    decodings = read_windows(
        given, windower, runtime, max_answer_tokens=max_answer_tokens, n_best=1, max_spans=1, limits=limits
    )
    for decoding, example in zip(decodings, asked, strict=True):
        if not decoding.spans:
            yield Prediction(example.id, "", 0, 0, decoding.null_score, decoding.null_odds)
            continue
        best = decoding.spans[0]
        text = best.text(example.context)
        yield Prediction(example.id, text, best.start, best.end, best.score, decoding.null_odds)


def run_windows(
    windows: Sequence[Window], runtime: Runtime, max_length: int, limits: BatchLimits = DEFAULT_LIMITS
) -> list[tuple[Float32, Float32]]:
    """Unpadded start and end logits, each float32 [n], of each window of n tokens, in the order given.

    A batch holds windows of similar lengths, padded to the longest of them, rounded as `padded_length` does
    up to `max_length`.
    """
    results: list[tuple[Float32, Float32]] = [(_EMPTY, _EMPTY)] * len(windows)
    plan = list(_plan([len(w) for w in windows], max_length, limits))
    inputs = (_padded([windows[i] for i in rows], length, runtime.facts.pad_id) for rows, length in plan)
    for (rows, _), (starts, ends) in zip(plan, runtime.stream(inputs), strict=True):
        for line, row in enumerate(rows):
            n = len(windows[row])
            results[row] = (starts[line, :n], ends[line, :n])
    return results


def padded_batches(
    windows: Sequence[Window], pad_id: int, max_length: int, limits: BatchLimits
) -> Iterator[Inputs]:
    """Yield all windows in the batches that `run_windows` computes, the longest windows first."""
    for rows, length in _plan([len(w) for w in windows], max_length, limits):
        yield _padded([windows[i] for i in rows], length, pad_id)


_EMPTY = np.zeros(0, np.float32)


def _plan(lengths: Sequence[int], max_length: int, limits: BatchLimits) -> Iterator[tuple[list[int], int]]:
    """Yield the windows of each batch and the length it is padded to, the longest first."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    begin = 0
    while begin < len(order):
        longest = padded_length(lengths[order[begin]], max_length)
        n = max(1, min(limits.tokens // longest, limits.windows or len(order)))
        rows = order[begin : begin + n]
        begin += len(rows)
        yield rows, longest


def _padded(windows: Sequence[Window], length: int, pad_id: int) -> Inputs:
    ids = np.full((len(windows), length), pad_id, dtype=np.int64)
    mask, segments = np.zeros_like(ids), np.zeros_like(ids)
    for line, window in enumerate(windows):
        n = len(window)
        ids[line, :n], mask[line, :n], segments[line, :n] = window.input_ids, 1, window.segment_ids
    return ids, mask, segments
