"""`Reader`: questions and documents in, readings out, with the windows of all of them batched by length."""

from __future__ import annotations

import heapq
import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from tinyreader.data import Example
from tinyreader.documents import Document
from tinyreader.errors import DataError
from tinyreader.model_files import STARTER, model_directory
from tinyreader.passages import Passage, PassageIndex, joined
from tinyreader.reader.reading import (
    Documents,
    FoundAnswer,
    Question,
    Reading,
    described,
    documents_of,
    require_text,
)
from tinyreader.reader.settings import ReaderSettings, read_settings
from tinyreader.runtimes import PrecisionName, Runtime
from tinyreader.runtimes.engines import Engine, open_engine
from tinyreader.runtimes.reading import in_chunks, read_windows, windower_cache
from tinyreader.spans import Decoding, Span, merged, thin
from tinyreader.tokenizer import load_tokenizer
from tinyreader.windows import Windower

log = logging.getLogger(__name__)

_SPANS = 20  # spans taken from each window
_KEPT_SPANS = 1000  # spans of a text from which answers that do not overlap are selected
_WORD = re.compile(r"\w")


class Reader:
    """Answers questions from documents with verbatim spans. Made by `from_pretrained`, or from a tokenizer and
    a runtime.
    """

    def __init__(
        self, tokenizer: Tokenizer, runtime: Runtime, settings: ReaderSettings | None = None
    ) -> None:
        self.tokenizer, self.runtime = tokenizer, runtime
        self.settings = settings or ReaderSettings()
        self._windowers = windower_cache(tokenizer)
        runtime.facts.require_length(self.settings.max_seq_len)
        runtime.facts.require_tokenizer(tokenizer)

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path = STARTER,
        *,
        engine: Engine = "auto",
        precision: PrecisionName = "auto",
        threads: int | None = None,
        revision: str | None = None,
        **settings: Any,
    ) -> Reader:
        """The reader of a directory or Hub id (by default the starter in the package); `settings` override those
        stored beside the model.

        `engine` is "openvino" (no torch needed), "onnx" (the `onnx` extra), "torch" (the `train` extra), or
        "auto": OpenVINO where it knows the architecture, else torch. `precision` is "fp32", "bf16", "int8"
        (once `tinyreader export` has measured its ranges), or "auto": bf16 where the processor computes in
        it, else fp32. `reader.engine` and `reader.precision` say what was chosen. Raises `ModelError` for
        what is not a question-answering model and `SettingsError` for settings that do not fit it.
        """
        directory = model_directory(model, revision)
        runtime = open_engine(directory, engine, precision, threads)
        tokenizer = load_tokenizer(directory)
        stored = read_settings(directory)
        if settings.get("max_seq_len") is None:
            stored = stored.fitted(runtime.facts.max_tokens)
        return cls(tokenizer, runtime, stored.changed(settings))

    @property
    def engine(self) -> str:
        """The engine that computes: "openvino", "onnx" or "torch"."""
        return self.runtime.facts.engine

    @property
    def precision(self) -> str:
        """The number format of the arithmetic: "fp32", "bf16" or "int8"."""
        return self.runtime.facts.precision

    def read(self, question: str, documents: Documents, **changes: Any) -> Reading:
        """The answers in the documents; `changes` override settings (`ReaderSettings`) for this call.

        Documents are a text, a `pathlib.Path` of a text, Markdown, HTML, PDF or DOCX file, a `Document`, a
        pair (id, text), or any number of these. Each is read in full, or, with `passages=20`, only the 20
        passages that share most words with the question (the `search` extra).
        """
        (reading,) = self.read_many([(question, documents)], **changes)
        return reading

    def read_many(
        self, questions: Iterable[Question | tuple[str, Documents]], **changes: Any
    ) -> Iterator[Reading]:
        """Yield a reading for each question (a `Question`, or a pair of question and documents), in order.

        The input may be an endless stream: memory is bounded whatever the number of questions and the length
        of documents. Windows of similar length are batched across both. Threads may read at the same time. Raises
        `DataError` for an empty question or one that leaves no room for the text.
        """
        given: object = questions
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise DataError(
                f"what is to be read is {described(given)}; give any number of Questions or pairs (question, "
                "documents), as a list or a stream"
            )
        settings = self.settings.changed(changes)
        return self._readings(questions, self._windower(settings), settings)

    def check_question(self, question: str, label: str = "0") -> None:
        """Raises `DataError`, with the label, where the question is longer than the settings allow."""
        self._windower(self.settings).check_question(Example(label, question, ""))

    def _readings(
        self,
        questions: Iterable[Question | tuple[str, Documents]],
        windower: Windower,
        settings: ReaderSettings,
    ) -> Iterator[Reading]:
        n_best = max(_SPANS, settings.top_k)
        for chunk in in_chunks(_steps(questions, settings.passages), _size):
            n_cut = windower.counts.truncated_questions
            examples = [
                Example(asked.label, asked.question.text, passage.text)
                for asked, passage in chunk
                if passage is not None
            ]
            decodings = read_windows(
                examples,
                windower,
                self.runtime,
                max_answer_tokens=settings.max_answer_tokens,
                n_best=n_best,
                max_spans=max(_KEPT_SPANS, 2 * n_best),
            )
            for asked, passage in chunk:
                if passage is None:
                    yield asked.reading(settings)
                else:
                    asked.add(_answers(next(decodings), passage, settings), settings.top_k)
            if windower.counts.truncated_questions > n_cut:  # by choice, but never silently
                log.warning(
                    "questions of more than %d tokens were cut to that length", windower.max_question_tokens
                )

    def _windower(self, settings: ReaderSettings) -> Windower:
        self.runtime.facts.require_length(settings.max_seq_len)
        return self._windowers(settings.windows)


@dataclass(slots=True)
class _Asked:
    """A question whose documents are being read: the best answers so far, best first. `label` names it in
    errors.
    """

    question: Question
    label: str
    best: list[FoundAnswer] = field(default_factory=list)

    def add(self, found: Iterable[FoundAnswer], top_k: int) -> None:
        """Adds what another text answers; of equal answers those found first stand first."""
        self.best = heapq.nsmallest(top_k, [*self.best, *found], key=lambda answer: answer.null_odds)

    def reading(self, settings: ReaderSettings) -> Reading:
        """The reading, once all documents have been read."""
        best = self.best[0] if self.best else None
        return Reading(
            self.question.text,
            tuple(answer for answer in self.best if answer.score >= settings.score_threshold),
            1.0 if best is None else settings.no_answer_score(best.null_odds),
            best is not None
            and best.null_odds <= settings.no_answer_threshold
            and best.score >= settings.score_threshold,
            self.question.id,
        )


def _steps(
    questions: Iterable[Question | tuple[str, Documents]], n_passages: int
) -> Iterator[tuple[_Asked, Passage | None]]:
    """Yield each question with each text to read for it, then with None: its texts are complete.

    Blank documents have no answer and are left out.
    """
    selector = _PassageSelector()
    for number, item in enumerate(questions):
        asked = _asked(number, item)
        for passage in selector.passages(asked.question, n_passages):
            yield asked, passage
        yield asked, None


def _size(step: tuple[_Asked, Passage | None]) -> int:
    """The characters of a step's question and text."""
    asked, passage = step
    return 0 if passage is None else len(asked.question.text) + passage.end - passage.start


def _asked(number: int, item: Question | tuple[str, Documents]) -> _Asked:
    if isinstance(item, tuple) and len(item) == 2:
        item = Question(*item)
    if not isinstance(item, Question):
        raise DataError(
            f"question {number} is of type {type(item).__name__}; give a Question or a pair (question, "
            "documents)"
        )
    if isinstance(item.id, bool) or not isinstance(item.id, str | int | None):
        raise DataError(f"the id of question {number} is {item.id!r}; it must be a text, an integer or None")
    label = str(number) if item.id is None else str(item.id)
    require_text(item.text, f"question {label}")
    if not item.text.strip():
        raise DataError(f"question {label} is empty; ask something")
    return _Asked(item, label)


class _PassageSelector:
    """Selects the texts to read for a question. The index of the last documents is kept: many questions may
    be asked of them.
    """

    def __init__(self) -> None:
        self._documents: tuple[Document, ...] = ()
        self._index: PassageIndex | None = None

    def passages(self, question: Question, n: int) -> Iterator[Passage]:
        """Yield every document whole, or, with `n` above 0, the `n` passages that share most words with the
        question.
        """
        if n == 0:
            for document in documents_of(question.documents):
                if document.text and not document.text.isspace():
                    yield Passage(document, 0, len(document.text))
            return
        documents = tuple(documents_of(question.documents))
        if self._index is None or documents != self._documents:
            self._documents, self._index = documents, PassageIndex(documents)
        yield from joined(self._index.best(question.text, n))


def _answers(decoding: Decoding, passage: Passage, settings: ReaderSettings) -> Iterator[FoundAnswer]:
    """Yield the passage's answers, best first, without those that overlap better ones too much."""
    text, shift = passage.document.text, passage.start
    if settings.word_boundaries:  # before thinning: two halves of a word become the same answer
        widened = tuple(_whole_words(passage.text, span) for span in decoding.spans)
        decoding = merged([Decoding(widened, decoding.null_score)], len(widened))
    for span in thin(decoding.spans, settings.max_overlap, settings.top_k):
        start, end, odds = span.start + shift, span.end + shift, decoding.null_score - span.score
        yield FoundAnswer(text[start:end], settings.score(odds), start, end, passage.document, odds)


def _whole_words(text: str, span: Span) -> Span:
    """The span widened to the ends of the words it cuts through."""
    start, end = span.start, span.end
    while start > 0 and _WORD.match(text[start]) and _WORD.match(text[start - 1]):
        start -= 1
    while end < len(text) and _WORD.match(text[end - 1]) and _WORD.match(text[end]):
        end += 1
    return replace(span, start=start, end=end)
