"""A question and its context become overlapping `Window`s of tokens, each token knowing its place in the
text.

Question and context are tokenised apart, without truncation, and put together by the tokenizer's own pair
template, so a context shared by many questions is tokenised once and no setting that came with a tokenizer
file can cut a text short.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal, TypeVar

import numpy as np
from tokenizers import Encoding, Tokenizer
from tokenizers.models import BPE

from tinyreader.arrays import Int32
from tinyreader.data import Example
from tinyreader.errors import DataError, ModelError, SettingsError
from tinyreader.storage import LRUCache

MIN_STEP = 16
"""Context tokens by which each window must at least move on from the one before; fewer would multiply
windows.
"""

LEAST_ROOM = MIN_STEP + 4
"""Tokens that a window needs beside its overlap: that step, a question of one token and three special tokens.
"""

SEGMENT_CHARACTERS = 100_000
"""Longer contexts are tokenised in parts of about this many code points: what the tokenizer returns is 100
times its text.
"""

REMEMBERED_CHARACTERS = 2_000_000
"""About so much of the contexts met last is kept tokenised, for the questions still to come on them."""

_CHUNK = 512  # examples tokenised together

_SINGLE_SPACE, _SPACE = re.compile(r"(?<=\S) (?=\S)"), re.compile(r"\s")

T = TypeVar("T")


class LongQuestionError(DataError):
    """A question leaves no room for the text. `fact` says so without the remedies, which depend on who
    asks.
    """

    def __init__(self, fact: str, remedies: str) -> None:
        super().__init__(f"{fact}. {remedies}")
        self.fact = fact


@dataclass(frozen=True, slots=True)
class WindowSettings:
    """How texts are cut: lengths are in tokens; `doc_stride` is the overlap of neighbouring windows.

    Each window moves on by at least `min_step`: a question that leaves less is too long.
    """

    max_seq_len: int = 384
    doc_stride: int = 128
    max_question_tokens: int | None = None
    on_long_question: Literal["error", "truncate"] = "error"
    min_step: int = MIN_STEP

    def __post_init__(self) -> None:
        if self.min_step < 1:
            raise SettingsError(f"min_step is {self.min_step}; it must be at least 1.")
        least = LEAST_ROOM - MIN_STEP + self.min_step
        if self.doc_stride < 0 or self.max_seq_len < self.doc_stride + least:
            raise SettingsError(
                f"max_seq_len {self.max_seq_len} with doc_stride {self.doc_stride} leaves no room for a "
                "question: "
                f"max_seq_len must be at least doc_stride + {least}, and doc_stride at least 0."
            )
        if self.max_question_tokens is not None and self.max_question_tokens < 1:
            raise SettingsError(f"max_question_tokens is {self.max_question_tokens}; it must be at least 1.")
        if self.on_long_question not in ("error", "truncate"):
            raise SettingsError(
                f'on_long_question is {self.on_long_question!r}; it must be "error" or "truncate".'
            )


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """One model input of n tokens: special tokens, the question, and context tokens [first, stop).

    `offsets` int32 [n, 2] are code points of the context (zeros elsewhere). `start` and `end` are the label's
    first and last token; both 0, the null position, where the window holds no whole answer.
    """

    example: int
    input_ids: Int32
    segment_ids: Int32
    offsets: Int32
    first: int
    stop: int
    start: int = 0
    end: int = 0

    def __len__(self) -> int:
        return len(self.input_ids)


@dataclass(slots=True)
class WindowCounts:
    """What became of the examples, so that nothing is lost in silence."""

    examples: int = 0
    windows: int = 0
    answerable_windows: int = 0
    truncated_questions: int = 0
    answers_outside_every_window: int = 0
    answers_without_tokens: int = 0


@dataclass(frozen=True, slots=True)
class PairTemplate:
    """The special tokens of the tokenizer's pair form: before the question, between, after the context."""

    before: tuple[tuple[int, int], ...]
    between: tuple[tuple[int, int], ...]
    after: tuple[tuple[int, int], ...]
    question_segment: int
    context_segment: int

    @property
    def n_special(self) -> int:
        return len(self.before) + len(self.between) + len(self.after)


@dataclass(frozen=True, slots=True, eq=False)
class _Context:
    ids: Int32
    offsets: Int32


class Windower:
    """Cuts examples into windows with one tokenizer; threads may share it. `counts` tells what happened so
    far.
    """

    def __init__(self, tokenizer: Tokenizer, settings: WindowSettings | None = None) -> None:
        self.settings = settings or WindowSettings()
        self.tokenizer = unbounded(tokenizer)
        self.counts = WindowCounts()
        self._template = pair_template(self.tokenizer)
        self._trims = offsets_hold_spaces(self.tokenizer)
        self._recent: LRUCache[str, _Context] = LRUCache(REMEMBERED_CHARACTERS)
        room = (
            self.settings.max_seq_len
            - self._template.n_special
            - self.settings.doc_stride
            - self.settings.min_step
        )
        self.max_question_tokens = min(room, self.settings.max_question_tokens or room)
        if self.max_question_tokens < 1:
            raise SettingsError(
                f"max_seq_len {self.settings.max_seq_len} leaves no room for a question beside "
                f"{self._template.n_special} special tokens and doc_stride {self.settings.doc_stride}; "
                "raise max_seq_len or lower doc_stride."
            )

    def windows(self, examples: Iterable[Example]) -> Iterator[Window]:
        """The windows of each example, in order; `Window.example` counts the examples of this call from 0."""
        index = 0
        for chunk in chunks(examples, _CHUNK):
            questions = self.tokenizer.encode_batch([e.question for e in chunk], add_special_tokens=False)
            contexts = self._encode_contexts(chunk)
            for example, question in zip(chunk, questions, strict=True):
                ids = self._question_ids(example, question.ids)
                yield from self._cut(index, example, ids, contexts[example.context])
                index += 1

    def check_question(self, example: Example) -> None:
        """Raises `DataError` where the question is longer than the settings allow; counts nothing."""
        ids = self.tokenizer.encode(example.question, add_special_tokens=False).ids
        if len(ids) > self.max_question_tokens and self.settings.on_long_question == "error":
            raise self._too_long(example, len(ids))

    def _encode_contexts(self, chunk: list[Example]) -> dict[str, _Context]:
        """The contexts of a chunk, tokenised, those that were met a short while ago from memory."""
        texts = list(dict.fromkeys(e.context for e in chunk))
        contexts = {text: kept for text in texts if (kept := self._recent.get(text)) is not None}
        new = [text for text in texts if text not in contexts]
        short = [text for text in new if len(text) <= SEGMENT_CHARACTERS]
        for text, encoding in zip(
            short, self.tokenizer.encode_batch(short, add_special_tokens=False), strict=True
        ):
            contexts[text] = self._context([(0, text, encoding)])
        for text in new:
            if len(text) > SEGMENT_CHARACTERS:
                contexts[text] = self._context(self._encoded_parts(text))
        for text in new:
            if len(text) <= REMEMBERED_CHARACTERS:
                self._recent.put(text, contexts[text], len(text))
        return contexts

    def _encoded_parts(self, text: str) -> Iterator[tuple[int, str, Encoding]]:
        """Yield the parts of a long text with their places; a few are tokenised at the same time."""
        for group in chunks(segments(text, SEGMENT_CHARACTERS), 4):
            parts = [text[begin:end] for begin, end in group]
            encoded = self.tokenizer.encode_batch(parts, add_special_tokens=False)
            yield from zip((begin for begin, _ in group), parts, encoded, strict=True)

    def _context(self, parts: Iterable[tuple[int, str, Encoding]]) -> _Context:
        """Ids and offsets of a text that was tokenised in parts, each with its place in the text."""
        ids, offsets = [], []
        for place, text, encoding in parts:
            own = np.array(encoding.offsets, dtype=np.int32).reshape(-1, 2)
            if self._trims:
                trim_spaces(text, own)
            if not text.isascii():
                take_in_marks(text, own)
            ids.append(np.array(encoding.ids, dtype=np.int32))
            offsets.append(own + np.int32(place))
        return _Context(np.concatenate(ids), np.concatenate(offsets))

    def _question_ids(self, example: Example, ids: list[int]) -> list[int]:
        if len(ids) <= self.max_question_tokens:
            return ids
        if self.settings.on_long_question == "error":
            raise self._too_long(example, len(ids))
        self.counts.truncated_questions += 1
        return ids[: self.max_question_tokens]

    def _too_long(self, example: Example, n_tokens: int) -> LongQuestionError:
        s, limit = self.settings, self.max_question_tokens
        if limit == s.max_question_tokens:
            reason, remedy = f"max_question_tokens allows {limit}", "raise max_question_tokens"
        else:
            reason = f"at most {limit} fit beside the context with max_seq_len {s.max_seq_len} and doc_stride {s.doc_stride}"
            remedy = "raise max_seq_len, lower doc_stride"
        return LongQuestionError(
            f"question {example.id!r} has {n_tokens} tokens; {reason}",
            f'Shorten it, {remedy}, or set on_long_question = "truncate".',
        )

    def _cut(self, index: int, example: Example, question: list[int], context: _Context) -> Iterator[Window]:
        t, counts = self._template, self.counts
        head = [i for i, _ in t.before] + question + [i for i, _ in t.between]
        head_segments = (
            [s for _, s in t.before] + [t.question_segment] * len(question) + [s for _, s in t.between]
        )
        tail, tail_segments = [i for i, _ in t.after], [s for _, s in t.after]
        room = self.settings.max_seq_len - len(head) - len(tail)
        label = self._label(example, context)
        counts.examples += 1
        labelled = False
        for a, b in _pieces(len(context.ids), room, room - self.settings.doc_stride):
            first, stop = len(head), len(head) + b - a
            offsets = np.zeros((stop + len(tail), 2), dtype=np.int32)
            offsets[first:stop] = context.offsets[a:b]
            inside = label is not None and a <= label[0] and label[1] < b
            start, end = (
                (label[0] - a + first, label[1] - a + first) if label is not None and inside else (0, 0)
            )
            counts.windows += 1
            counts.answerable_windows += inside
            labelled |= inside
            yield Window(
                example=index,
                input_ids=np.concatenate([head, context.ids[a:b], tail]).astype(np.int32),
                segment_ids=np.array(
                    head_segments + [t.context_segment] * (b - a) + tail_segments, dtype=np.int32
                ),
                offsets=offsets,
                first=first,
                stop=stop,
                start=start,
                end=end,
            )
        if label is not None and not labelled:
            counts.answers_outside_every_window += 1

    def _label(self, example: Example, context: _Context) -> tuple[int, int] | None:
        """First and last context token of the first gold answer, or None where there is no answer or no
        token.
        """
        if not example.answers:
            return None
        answer = example.answers[0]
        starts, ends = context.offsets[:, 0], context.offsets[:, 1]
        covers = np.flatnonzero((ends > answer.start) & (starts < answer.end) & (ends > starts))
        if not len(covers):
            self.counts.answers_without_tokens += 1
            return None
        return int(covers[0]), int(covers[-1])


def padded_length(longest: int, most: int) -> int:
    """The length that a batch is padded to: its longest window's, rounded up to a multiple of 8 but not
    beyond `most`.

    Engines prepare their products anew for each shape they meet (oneDNN compiles and keeps code for it:
    seconds and gigabytes over the lengths of a data set); an eighth of the shapes costs 2 % more padding.
    """
    return max(longest, min(most, -(-longest // 8) * 8))


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Consecutive lists of `size` items, the last one perhaps shorter; reads no further than it must."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def _pieces(n_tokens: int, room: int, step: int) -> Iterator[tuple[int, int]]:
    """Token ranges that cover `n_tokens`, each at most `room` long, each `step` after the one before."""
    start = 0
    while start + room < n_tokens:
        yield start, start + room
        start += step
    yield start, n_tokens


def segments(text: str, size: int) -> Iterator[tuple[int, int]]:
    """Yield the parts of a long text, each up to about `size`, cut before single spaces between words.

    There no tokenizer joins what stands on both sides, so the tokens are those of the whole text; where a
    part has no such place, it is cut before white space of another kind, or else after `size` code points.
    """
    begin = 0
    while len(text) - begin > size:
        where = (text, begin + size // 2, begin + size)
        found = _SINGLE_SPACE.search(*where) or _SPACE.search(*where)
        end = found.start() if found else begin + size
        yield begin, end
        begin = end
    yield begin, len(text)


def unbounded(tokenizer: Tokenizer) -> Tokenizer:
    """A copy that does not truncate, pad, draw lots, or take texts for special tokens; the caller's own is
    left alone.
    """
    try:
        copy = Tokenizer.from_str(tokenizer.to_str())
    except Exception as error:  # the tokenizers package raises nothing more special
        raise ModelError(
            f"this tokenizer cannot be copied ({error}). Use one whose parts all stand in a tokenizer.json."
        ) from None
    copy.no_truncation()
    copy.no_padding()
    copy.encode_special_tokens = True  # "[SEP]" in a text is text
    if isinstance(copy.model, BPE):
        copy.model.dropout = None
    return copy


def pair_template(tokenizer: Tokenizer) -> PairTemplate:
    """The template of a (question, context) pair, read off an encoded pair."""
    known = next((sign for sign in "aA1.的" if tokenizer.encode(sign, add_special_tokens=False).ids), "a")
    pair = tokenizer.encode(known, known)
    ids, segments, sequence = pair.ids, pair.type_ids, pair.sequence_ids
    question = [i for i, s in enumerate(sequence) if s == 0]
    context = [i for i, s in enumerate(sequence) if s == 1]
    if not question or not context or question[-1] > context[0]:
        raise ModelError(
            "this tokenizer does not put a question before its context; such readers are not supported."
        )
    special = list(zip(ids, segments, strict=True))
    template = PairTemplate(
        before=tuple(special[: question[0]]),
        between=tuple(special[question[-1] + 1 : context[0]]),
        after=tuple(special[context[-1] + 1 :]),
        question_segment=segments[question[0]],
        context_segment=segments[context[0]],
    )
    if not template.before:
        raise ModelError(
            "this tokenizer puts no special token before the question, so there is no null position to say "
            '"no answer" with. Give it a post-processor such as [CLS] question [SEP] context [SEP].'
        )
    return template


def offsets_hold_spaces(tokenizer: Tokenizer) -> bool:
    text = "one two  three\nfour"
    offsets = tokenizer.encode(text, add_special_tokens=False).offsets
    return any(text[a:b] != text[a:b].strip() for a, b in offsets)


def trim_spaces(text: str, offsets: Int32) -> None:
    """Shrinks, in place, offsets that begin or end with white space, as SentencePiece's do."""
    for row, (a, b) in enumerate(offsets.tolist()):
        piece = text[a:b]
        if piece and (piece[0].isspace() or piece[-1].isspace()):
            left = len(piece) - len(piece.lstrip())
            offsets[row] = (a + left, a + max(left, len(piece.rstrip())))


def take_in_marks(text: str, offsets: Int32) -> None:
    """Lengthens, in place, offsets that stop short of combining marks: normalisers drop these, an answer must
    not.
    """
    change = np.zeros(len(text) + 1, dtype=np.int32)
    np.add.at(change, offsets[:, 0], 1)
    np.add.at(change, offsets[:, 1], -1)
    in_a_token = np.cumsum(change) > 0
    reach = np.arange(
        len(text) + 1, dtype=np.int32
    )  # for each end of a token, the end after the marks dropped there
    for place in range(len(text) - 1, -1, -1):
        if text[place] >= "\u0300" and not in_a_token[place] and unicodedata.category(text[place]) == "Mn":
            reach[place] = reach[place + 1]
    wide = offsets[:, 0] < offsets[:, 1]
    offsets[wide, 1] = reach[offsets[wide, 1]]
