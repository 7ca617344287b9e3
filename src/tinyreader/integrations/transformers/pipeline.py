"""`pipeline("question-answering", ...)`: Transformers' call forms, parameters and output on Tinyreader's
engines.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from numbers import Integral
from pathlib import Path
from typing import Any, TypedDict

from tinyreader.integrations.transformers.cutting import Cutter
from tinyreader.integrations.transformers.decoding import decode
from tinyreader.integrations.transformers.inputs import InputError, Pair, SquadExample, given, sample_of
from tinyreader.integrations.transformers.models import (
    TokenizerHandle,
    device_name,
    model_of,
    open_runtime,
    tokenizer_of,
)
from tinyreader.integrations.transformers.parameters import ParameterError, Parameters
from tinyreader.model_files import STARTER
from tinyreader.runtimes import Runtime
from tinyreader.runtimes.engines import Engine
from tinyreader.runtimes.reading import run_windows
from tinyreader.spans import WindowLogits

log = logging.getLogger(__name__)

TASK = "question-answering"
USUAL_LENGTH, USUAL_STRIDE = 384, 128
CHUNK_CHARACTERS = 400_000
"""About so much text is cut into windows and sorted together: memory does not grow with what is read."""

_KEPT_CUTTERS = 8  # copies of the tokenizer, one for each choice of lengths
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
    """An answer as the pipeline gives it: `context[start:end] == answer`, in code points; "" at 0 is "no
    answer".
    """

    score: float
    start: int
    end: int
    answer: str


Result = Answer | list[Answer]
"""One answer, or several, best first."""


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
        self.batch_size = _checked_size(batch_size)
        self.task = TASK
        self._cutters: dict[tuple[int, int], Cutter] = {}

    def __call__(
        self, *args: Any, batch_size: int | None = None, num_workers: int | None = None, **named: Any
    ) -> Result | list[Result] | Iterator[Result]:
        """What the contexts answer: of one pair a result, of several a list, of a generator or data set an
        iterator.

        A result is one answer, or a list where `top_k` is above 1 and more than one was found. Beside the
        inputs it takes the names of `Parameters`. `batch_size` is how many pairs of a stream are taken ahead
        at most: left out, one, then two, four and so on. Raises `InputError`, `MissingKeyError` and
        `ParameterError`.
        """
        inputs = {name: named.pop(name) for name in _INPUTS if name in named}
        parameters = self.parameters.changed(named)
        cutter = self._cutter(parameters)
        pairs, form = (found := given(args, inputs)).pairs, found.form
        size = _checked_size(batch_size) or self.batch_size
        pairs = _with_words(pairs, parameters)
        if form == "stream":
            return self._results(_growing(pairs, size), cutter, parameters)
        pairs = list(pairs)
        results = list(self._results(_by_characters(pairs), cutter, parameters))
        return results[0] if form == "one" else results

    @staticmethod
    def create_sample(
        question: str | list[str], context: str | list[str]
    ) -> SquadExample | list[SquadExample]:
        """A question with its context as one object that a call takes; of a list of questions, a list of
        them.

        One context, or one for each question. Raises `InputError` for what is no text and for lists of
        unequal length.
        """
        return sample_of(question, context)

    def _results(
        self, chunks: Iterable[list[Pair]], cutter: Cutter, parameters: Parameters
    ) -> Iterator[Result]:
        """Yield the result of each pair; the windows of a chunk are batched by length."""
        number = 0
        for chunk in chunks:
            yield from self._read(chunk, number, cutter, parameters)
            number += len(chunk)

    def _read(
        self, pairs: list[Pair], first: int, cutter: Cutter, parameters: Parameters
    ) -> Iterator[Result]:
        windows = cutter.cut(pairs, first)
        flat = [window for own in windows for window in own]
        logits = iter(run_windows(flat, self.runtime, cutter.max_seq_len))
        for number, (pair, own) in enumerate(zip(pairs, windows, strict=True), first):
            parts = [WindowLogits(*next(logits), w.first, w.stop, w.offsets) for w in own]
            words = cutter.words(own, pair.context) if parameters.align_to_words else []
            found = decode(parts, words, pair.context, parameters.rules)
            if not found:
                raise _wordless(number)
            answers = [
                Answer(score=f.score, start=f.start, end=f.end, answer=pair.context[f.start : f.end])
                for f in found
            ]
            yield answers[0] if len(answers) == 1 else answers

    def _cutter(self, parameters: Parameters) -> Cutter:
        """The cutter for the lengths asked for, or for the usual ones, within what the model takes."""
        most = self.runtime.facts.max_tokens or 2**31
        length, stride = parameters.max_seq_len, parameters.doc_stride
        if length is None:
            length = min(USUAL_LENGTH, self.tokenizer.model_max_length or USUAL_LENGTH, most)
        elif length > most:
            log.warning(
                "max_seq_len is %d, but the model takes at most %d tokens: windows are as long as that",
                length,
                most,
            )
            length = most
        stride = min(length // 2, USUAL_STRIDE) if stride is None else stride
        if stride > length:
            raise ParameterError(
                f"doc_stride is {stride}, but max_seq_len {length}; windows cannot share more than they hold."
            )
        found = self._cutters.get((length, stride))
        if found is None:
            found = self._cutters.setdefault(
                (length, stride), Cutter(self.tokenizer.tokenizer, length, stride)
            )
            for old in list(self._cutters)[:-_KEPT_CUTTERS]:
                self._cutters.pop(old, None)
        return found


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
    Transformers.

    Without one it is the reader in the package.

    `options` are the defaults of its calls, by the names of `Parameters`. It reads on the CPU unless `device`
    names another; `dtype` is as in `AutoModelForQuestionAnswering.from_pretrained`. Raises `ParameterError`
    for other tasks and for what cannot be followed, `ModelError` for what is no question-answering model.
    """
    if task not in (None, TASK):
        raise ParameterError(f'task is {task!r}; this pipeline answers questions only: "{TASK}".')
    if framework not in (None, "pt"):
        raise ParameterError(f'framework is {framework!r}; it must be "pt" or left out.')
    if config is not None and not isinstance(config, str | Path):
        raise ParameterError(
            "config is an object; the model is read as the config.json beside its weights says."
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
    """Yield the pairs; `InputError` at a blank context where there must be an answer."""
    for number, pair in enumerate(pairs):
        if not parameters.handle_impossible_answer and not pair.context.strip():
            raise _wordless(number)
        yield pair


def _wordless(number: int) -> InputError:
    return InputError(
        f"the context of item {number} has no words, so nothing in it can be an answer. Leave it out, or set "
        "handle_impossible_answer=True, which gives an empty answer."
    )


def _by_characters(pairs: Iterable[Pair]) -> Iterator[list[Pair]]:
    """Yield chunks of about `CHUNK_CHARACTERS`."""
    chunk: list[Pair] = []
    size = 0
    for pair in pairs:
        if chunk and size + len(pair.context) > CHUNK_CHARACTERS:
            yield chunk
            chunk, size = [], 0
        chunk.append(pair)
        size += len(pair.context) + len(pair.question)
    if chunk:
        yield chunk


def _growing(pairs: Iterable[Pair], most: int | None) -> Iterator[list[Pair]]:
    """Yield chunks of one pair, two, four and so on, up to `most`, so that a stream's first results come at
    once.

    An error of the stream is raised after the pairs before it.
    """
    rest = iter(pairs)
    size = 1
    failure: Exception | None = None
    while failure is None:
        chunk: list[Pair] = []
        try:
            for pair in islice(rest, size if most is None else min(size, most)):
                chunk.append(pair)
        except Exception as error:  # whatever the caller's own generator raises
            failure = error
        if not chunk:
            break
        yield from _by_characters(chunk)
        size = min(2 * size, 1024)
    if failure is not None:
        raise failure


def _checked_size(batch_size: int | None) -> int | None:
    given: object = batch_size
    if given is not None and (isinstance(given, bool) or not isinstance(given, Integral) or given < 1):
        raise ParameterError(f"batch_size is {batch_size!r}; it must be a whole number, at least 1.")
    return batch_size
