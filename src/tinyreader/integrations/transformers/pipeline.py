"""`pipeline("question-answering", ...)`: Transformers' call forms, parameters and output on Tinyreader's
engines.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import groupby, islice
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from tokenizers import Tokenizer

from tinyreader.arrays import Int32
from tinyreader.data import Example
from tinyreader.errors import SettingsError
from tinyreader.integrations.transformers.decoding import decode, word_places
from tinyreader.integrations.transformers.inputs import (
    InputError,
    Pair,
    ParameterError,
    Parameters,
    SquadExample,
    given,
    require_whole,
    sample_of,
)
from tinyreader.integrations.transformers.models import (
    TokenizerHandle,
    device_name,
    model_of,
    open_runtime,
    tokenizer_of,
)
from tinyreader.model_files import STARTER
from tinyreader.runtimes import Runtime
from tinyreader.runtimes.engines import Engine
from tinyreader.runtimes.reading import in_chunks, window_logits, windower_cache
from tinyreader.spans import WindowLogits
from tinyreader.windows import (
    SEGMENT_CHARACTERS,
    Window,
    Windower,
    WindowSettings,
    offsets_hold_spaces,
    segments,
    take_in_marks,
    trim_spaces,
    unbounded,
)

log = logging.getLogger(__name__)

TASK = "question-answering"
DEFAULT_LENGTH, DEFAULT_STRIDE = 384, 128

_INPUTS = ("question", "context", "X", "data")
_NO_EFFECT = (
    "args_parser",
    "binary_output",
    "code_revision",
    "feature_extractor",
    "image_processor",
    "modelcard",
    "num_workers",
    "processor",
    "use_fast",
)


class Answer(TypedDict):
    """An answer of the pipeline: `context[start:end] == answer`, in code points; "" at 0 is "no answer"."""

    score: float
    start: int
    end: int
    answer: str


Result = Answer | list[Answer]
"""One answer, or, with `top_k` above 1, a list of them, best first."""


class Cutter:
    """Cuts pairs into windows of at most `max_seq_len` tokens that share `doc_stride` of them.

    Transformers accepts any overlap that lets a window advance by one token, and does not check it for a
    context that fits into one window; so does this.
    """

    def __init__(
        self, windower: Callable[[WindowSettings], Windower], max_seq_len: int, doc_stride: int
    ) -> None:
        self.max_seq_len, self.doc_stride = max_seq_len, doc_stride
        try:
            self._single = windower(WindowSettings(max_seq_len, 0, min_step=1))
        except SettingsError as error:
            raise ParameterError(
                f"max_seq_len is {max_seq_len}, which leaves no room for a question and a context"
            ) from error
        try:
            self._sliding: Windower | None = windower(WindowSettings(max_seq_len, doc_stride, min_step=1))
        except SettingsError:  # with this overlap no window could advance
            self._sliding = None

    def cut(self, pairs: Iterable[Pair], first: int = 0) -> Iterator[Window]:
        """Yield the windows of the pairs, in order; `Window.example` counts pairs from `first`.

        Raises `InputError` for a question that is too long for its context.
        """
        for is_long, group in groupby(enumerate(pairs, first), lambda item: self._is_long(item[1].question)):
            items = [(number, Example(str(number), pair.question, pair.context)) for number, pair in group]
            if is_long or self._sliding is None:
                yield from (replace(self._only_window(example), example=number) for number, example in items)
                continue
            for window in self._sliding.windows([example for _, example in items]):
                yield replace(window, example=items[0][0] + window.example)

    def words(self, windows: Sequence[Window], places: Int32) -> list[Int32]:
        """For each window of a text, the rows of `places` [n_tokens, 2] that belong to its context tokens."""
        sizes = [window.stop - window.first for window in windows]
        step = sizes[0] - self.doc_stride  # of several windows, all but the last are as long as the first
        return [places[number * step : number * step + size] for number, size in enumerate(sizes)]

    def _only_window(self, example: Example) -> Window:
        """The window of an example whose question is so long that a second window could not advance."""
        if (n_tokens := self._n_tokens(example.question)) > self._single.max_question_tokens:
            raise InputError(
                f"the question of item {example.id} has {n_tokens} tokens, which leaves nothing of a window "
                f"of {self.max_seq_len} (max_seq_len) to its context. Shorten it, or raise max_seq_len."
            )
        window, *others = islice(self._single.windows([example]), 2)
        if others:
            raise InputError(
                f"the question of item {example.id} leaves room for {window.stop - window.first} tokens of "
                f"its context in a window of {self.max_seq_len} (max_seq_len): windows that share "
                f"{self.doc_stride} (doc_stride) would never move on. Shorten the question, raise max_seq_len "
                "or lower doc_stride."
            )
        return window

    def _is_long(self, question: str) -> bool:
        """Whether the question leaves no window room to advance. A short one is not tokenised to find out."""
        if self._sliding is None:
            return True
        limit = self._sliding.max_question_tokens
        return len(question.encode()) > limit and self._n_tokens(question) > limit

    def _n_tokens(self, question: str) -> int:
        return len(self._single.tokenizer.encode(question, add_special_tokens=False).ids)


def word_finder(tokenizer: Tokenizer) -> Callable[[str], Int32]:
    """A function that gives the place of each token's word in a text, int32 [n_tokens, 2], in code points.

    It remembers the last text, since several questions are often asked of one. Threads may share it.
    """
    tokenizer = unbounded(tokenizer)
    has_spaces = offsets_hold_spaces(tokenizer)

    @lru_cache(1)
    def places(text: str) -> Int32:
        found = []
        for begin, end in segments(text, SEGMENT_CHARACTERS):  # the parts that windows are made from
            part = text[begin:end]
            encoding = tokenizer.encode(part, add_special_tokens=False)
            offsets = np.array(encoding.offsets, dtype=np.int32).reshape(-1, 2)
            if has_spaces:
                trim_spaces(part, offsets)
            if not part.isascii():
                take_in_marks(part, offsets)
            found.append(word_places(encoding.word_ids, offsets) + np.int32(begin))
        return np.concatenate(found)

    return places


class QuestionAnsweringPipeline:
    """Answers questions from contexts; threads may share it. Made by `pipeline`."""

    def __init__(
        self,
        model: Any,
        tokenizer: TokenizerHandle,
        runtime: Runtime,
        parameters: Parameters,
        batch_size: int | None = None,
    ) -> None:
        self.model, self.tokenizer, self.runtime, self.parameters = model, tokenizer, runtime, parameters
        require_whole("batch_size", batch_size, 1)
        self.batch_size = batch_size
        self.task = TASK
        self._windower = windower_cache(tokenizer.tokenizer)
        self._word_places = word_finder(tokenizer.tokenizer)

    def __repr__(self) -> str:
        name = getattr(self.model, "name_or_path", type(self.model).__name__)
        facts = self.runtime.facts
        return f"{type(self).__name__}({str(name)!r}, engine={facts.engine!r}, precision={facts.precision!r})"

    def __call__(
        self, *args: Any, batch_size: int | None = None, num_workers: int | None = None, **named: Any
    ) -> Result | list[Result] | Iterator[Result]:
        """The answers in the contexts: a result for one pair, a list for several, an iterator for a generator
        or a data set.

        A result is one answer, or a list of answers if `top_k` is above 1. Beside the inputs it takes the
        names of `Parameters`. `batch_size` is the maximum number of pairs that are taken ahead from a stream;
        if it is left out, that is one, then two, four and so on. Raises `InputError`, `MissingKeyError` and
        `ParameterError`.
        """
        inputs = {name: named.pop(name) for name in _INPUTS if name in named}
        parameters = self.parameters.changed(named)
        cutter = self._cutter(parameters)
        pairs, form = (found := given(args, inputs)).pairs, found.form
        require_whole("batch_size", batch_size, 1)
        size = self.batch_size if batch_size is None else batch_size
        pairs = _with_words(pairs, parameters)
        if form == "stream":
            return self._results(_growing(pairs, size), cutter, parameters)
        results = list(self._results(in_chunks(list(pairs), _characters), cutter, parameters))
        return results[0] if form == "one" else results

    @staticmethod
    def create_sample(
        question: str | list[str], context: str | list[str]
    ) -> SquadExample | list[SquadExample]:
        """A question with its context as one object that a call takes; for a list of questions, a list of
        them, with one context for all or one for each. Raises `InputError` for what is not a text and for
        lists of unequal length.
        """
        return sample_of(question, context)

    def _results(
        self, chunks: Iterable[list[Pair]], cutter: Cutter, parameters: Parameters
    ) -> Iterator[Result]:
        """Yield the result of each pair; the windows of a chunk are batched by length."""
        first = 0
        for chunk in chunks:
            for number, pair, windows, words in self._read(chunk, first, cutter, parameters):
                found = decode(windows, words, pair.context, parameters.rules)
                if not found:
                    raise _wordless(number)
                answers = [
                    Answer(score=f.score, start=f.start, end=f.end, answer=pair.context[f.start : f.end])
                    for f in found
                ]
                yield answers[0] if parameters.top_k == 1 else answers
            first += len(chunk)

    def _read(
        self, pairs: Sequence[Pair], first: int, cutter: Cutter, parameters: Parameters
    ) -> Iterator[tuple[int, Pair, list[WindowLogits], list[Int32]]]:
        """Yield each pair, counted from `first`, with its windows' logits and the places of their words."""
        read = window_logits(cutter.cut(pairs, first), self.runtime, cutter.max_seq_len)
        for number, group in groupby(read, key=lambda one: one[0].example):
            own, pair = list(group), pairs[number - first]
            words: list[Int32] = []
            if parameters.align_to_words:
                words = cutter.words([window for window, _ in own], self._word_places(pair.context))
            yield number, pair, [logits for _, logits in own], words

    def _cutter(self, parameters: Parameters) -> Cutter:
        """The cutter for the lengths asked for, or for the default ones, within what the model takes."""
        limit = self.runtime.facts.max_tokens or 2**31
        length, stride = parameters.max_seq_len, parameters.doc_stride
        if length is None:
            length = min(DEFAULT_LENGTH, self.tokenizer.model_max_length or DEFAULT_LENGTH, limit)
        elif length > limit:
            log.warning(
                "max_seq_len is %d, but the model takes at most %d tokens: windows are that long",
                length,
                limit,
            )
            length = limit
        stride = min(length // 2, DEFAULT_STRIDE) if stride is None else stride
        if stride > length:
            raise ParameterError(
                f"doc_stride is {stride}, but max_seq_len {length}; windows cannot share more than they hold."
            )
        return Cutter(self._windower, length, stride)


def pipeline(
    task: str | None = None,
    model: Any = None,
    config: Any = None,
    tokenizer: Any = None,
    *,
    framework: str | None = None,
    revision: str | None = None,
    device: Any = None,
    device_map: Any = None,
    dtype: Any = None,
    torch_dtype: Any = None,
    model_kwargs: Mapping[str, Any] | None = None,
    pipeline_class: Any = None,
    batch_size: int | None = None,
    token: Any = None,
    trust_remote_code: bool | None = None,
    engine: Engine = "auto",
    threads: int | None = None,
    **options: Any,
) -> QuestionAnsweringPipeline:
    """The question-answering pipeline of a model: a directory, a Hub id, a handle, or a model object of
    Transformers; without one, of the reader in the package.

    `options` are the defaults of its calls, by the names of `Parameters`. It reads on the CPU unless `device`
    names another; `dtype` is as in `AutoModelForQuestionAnswering.from_pretrained`. Raises `ParameterError`
    for other tasks and unsupported options, `ModelError` if it is not a question-answering model.
    """
    if task not in (None, TASK):
        raise ParameterError(f'task is {task!r}; this pipeline only answers questions: "{TASK}".')
    if framework not in (None, "pt"):
        raise ParameterError(f'framework is {framework!r}; it must be "pt" or left out.')
    if config is not None and not isinstance(config, str | Path):
        raise ParameterError(
            "config is an object; the model is read with the config.json beside its weights."
        )
    if pipeline_class not in (None, QuestionAnsweringPipeline):
        raise ParameterError("pipeline_class cannot be given here; there is one kind of pipeline.")
    if model_kwargs is not None and not isinstance(model_kwargs, Mapping):
        raise ParameterError(f"model_kwargs is {model_kwargs!r}; it must be a dict.")
    parameters = Parameters().changed(
        {name: value for name, value in options.items() if name not in _NO_EFFECT}
    )
    hub = {"revision": revision, "token": token, "trust_remote_code": trust_remote_code}
    of_model = {"dtype": torch_dtype if dtype in (None, "auto") else dtype, **(model_kwargs or {})}
    opened = model_of(STARTER if model is None else model, **hub, **of_model, engine=engine, threads=threads)
    reads_with = tokenizer_of(tokenizer, opened, **hub)
    runtime = open_runtime(opened, reads_with, device_name(device, device_map))
    return QuestionAnsweringPipeline(opened, reads_with, runtime, parameters, batch_size)


def _with_words(pairs: Iterable[Pair], parameters: Parameters) -> Iterator[Pair]:
    """Yield the pairs; raise `InputError` at a blank context if "no answer" is not allowed."""
    for number, pair in enumerate(pairs):
        if not parameters.handle_impossible_answer and not pair.context.strip():
            raise _wordless(number)
        yield pair


def _wordless(number: int) -> InputError:
    return InputError(
        f"the context of item {number} has no words, so nothing in it can be an answer. Leave it out, or set "
        "handle_impossible_answer=True, which gives an empty answer."
    )


def _characters(pair: Pair) -> int:
    return len(pair.question) + len(pair.context)


def _growing(pairs: Iterable[Pair], max_size: int | None) -> Iterator[list[Pair]]:
    """Yield chunks of one pair, two, four and so on, up to `max_size`, so that the first results of a stream
    come at once.

    An error of the stream is raised after the pairs before it.
    """
    rest = iter(pairs)
    size = 1
    failure: Exception | None = None
    while failure is None:
        chunk: list[Pair] = []
        try:
            for pair in islice(rest, size if max_size is None else min(size, max_size)):
                chunk.append(pair)
        except Exception as error:  # whatever the caller's own generator raises
            failure = error
        if not chunk:
            break
        yield from in_chunks(chunk, _characters)
        size = min(2 * size, 1024)
    if failure is not None:
        raise failure
