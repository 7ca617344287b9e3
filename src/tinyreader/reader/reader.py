"""`Reader`: questions and documents in, readings out; the windows of all of them batched together by length."""

from __future__ import annotations

import heapq
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from tinyreader.data import Example
from tinyreader.errors import DataError, ModelError, SettingsError
from tinyreader.model_files import model_directory
from tinyreader.reader.engines import Engine, PrecisionName, open_engine
from tinyreader.reader.reading import Document, Documents, FoundAnswer, Reading, documents_of
from tinyreader.reader.settings import ReaderSettings, read_settings
from tinyreader.runtimes import Runtime
from tinyreader.runtimes.batches import run_windows
from tinyreader.spans import Decoding, Span, WindowLogits, decode, thin
from tinyreader.tokenizer import load_tokenizer
from tinyreader.windows import Windower, WindowSettings

CHUNK_CHARACTERS = 400_000
"""About so much text is cut into windows and sorted together: memory does not grow with what is read."""

_SPANS = 20
_WORD = re.compile(r"\w")


class Reader:
    """Answers questions from documents with verbatim spans. Made by `from_pretrained`, or of a tokenizer and a runtime."""

    def __init__(self, tokenizer: Tokenizer, runtime: Runtime, settings: ReaderSettings | None = None) -> None:
        self.tokenizer, self.runtime = tokenizer, runtime
        self.settings = settings or ReaderSettings()
        most = getattr(runtime, "max_tokens", None)
        if most is not None and self.settings.max_seq_len > most:
            raise SettingsError(f"max_seq_len is {self.settings.max_seq_len}, but this model takes at most {most} tokens.")
        rows, largest = getattr(runtime, "vocab_size", None), max(tokenizer.get_vocab().values())
        if rows is not None and largest >= rows:
            raise ModelError(
                f"the tokenizer gives ids up to {largest}, but the model embeds {rows} tokens: they do not belong together"
            )

    @classmethod
    def from_pretrained(
        cls, model: str | Path, *, engine: Engine = "auto", precision: PrecisionName = "auto",
        threads: int | None = None, revision: str | None = None, **settings: Any,
    ) -> Reader:  # fmt: skip
        """The reader of a directory or Hub id; `settings` go over those stored beside the model.

        `engine` is "openvino" (no torch needed), "torch", or "auto": OpenVINO where it knows the architecture, else torch.
        Raises `ModelError` for what is no question-answering model and `SettingsError` for settings that do not fit it.
        """
        directory = model_directory(model, revision)
        runtime = open_engine(directory, engine, precision, threads)
        tokenizer = load_tokenizer(directory)
        stored = read_settings(directory)
        most = getattr(runtime, "max_tokens", None)
        if most is not None and "max_seq_len" not in settings and stored.max_seq_len > most:
            shorter = {"max_seq_len": most, "doc_stride": min(stored.doc_stride, most // 3)}
            stored = stored.changed(shorter)
        return cls(tokenizer, runtime, stored.changed(settings))

    def read(self, question: str, documents: Documents, **changes: Any) -> Reading:
        """What the documents answer; `changes` are settings for this call, by name (`ReaderSettings`).

        Documents are a text, a `pathlib.Path` of a text file, a `Document`, a pair (id, text), or a sequence of these. Each is
        read to its end.
        """
        (reading,) = self.read_many([(question, documents)], **changes)
        return reading

    def read_many(self, pairs: Iterable[tuple[str, Documents]], **changes: Any) -> Iterator[Reading]:
        """Yield a reading for each (question, documents), in order; a stream in, a stream out.

        Windows of like length are computed together across questions and documents. Raises `DataError` for an empty question
        or one that leaves no room for the text.
        """
        settings = self.settings.changed(changes)
        windower = Windower(
            self.tokenizer,
            WindowSettings(settings.max_seq_len, settings.doc_stride, None, settings.on_long_question),
        )
        for chunk in _chunks(pairs):
            self._read_chunk(chunk, windower, settings)
            for work in chunk.finished():
                yield work.reading(settings)

    def _read_chunk(self, chunk: _Chunk, windower: Windower, settings: ReaderSettings) -> None:
        """Reads the documents of a chunk and leaves what was found with their questions."""
        examples = [Example(f"{n}", work.question, document.text) for n, (work, document) in enumerate(chunk.tasks)]
        windows = list(windower.windows(examples))
        logits = run_windows(windows, self.runtime, most=settings.max_seq_len)
        parts: list[list[WindowLogits]] = [[] for _ in examples]
        for window, (start, end) in zip(windows, logits, strict=True):
            parts[window.example].append(WindowLogits(start, end, window.first, window.stop, window.offsets))
        n_best = max(_SPANS, settings.top_k)
        for (work, document), own in zip(chunk.tasks, parts, strict=True):
            decoding = decode(own, max_answer_tokens=settings.max_answer_tokens, n_best=n_best)
            work.add(_answers(decoding, document, settings), settings.top_k)


@dataclass(slots=True)
class _Work:
    """A question whose documents are being read: the best answers so far, best first."""

    question: str
    best: list[FoundAnswer] = field(default_factory=list)

    def add(self, found: Iterable[FoundAnswer], top_k: int) -> None:
        self.best = heapq.nsmallest(top_k, [*self.best, *found], key=lambda a: a.null_odds)  # stable: earlier ones first

    def reading(self, settings: ReaderSettings) -> Reading:
        best = self.best[0] if self.best else None
        return Reading(
            self.question,
            tuple(answer for answer in self.best if answer.score >= settings.score_threshold),
            1.0 if best is None else 1.0 - best.score,
            best is not None and best.null_odds <= settings.no_answer_threshold and best.score >= settings.score_threshold,
        )


@dataclass(slots=True)
class _Chunk:
    """Documents that are read together, each with its question, and the questions in the order they were asked."""

    tasks: list[tuple[_Work, Document]] = field(default_factory=list)
    works: list[_Work] = field(default_factory=list)
    is_last_open: bool = False

    def finished(self) -> Sequence[_Work]:
        """The questions all of whose documents have been read."""
        return self.works[:-1] if self.is_last_open else self.works


def _chunks(pairs: Iterable[tuple[str, Documents]]) -> Iterator[_Chunk]:
    """Yield chunks of about `CHUNK_CHARACTERS`; a question with many documents goes on in the next one."""
    chunk, size = _Chunk(), 0
    for number, (question, documents) in enumerate(pairs):
        if not isinstance(question, str) or not question.strip():
            raise DataError(f"question {number} is empty; ask something")
        work = _Work(question)
        chunk.works.append(work)
        for document in documents_of(documents):
            if size and size + len(document.text) > CHUNK_CHARACTERS:
                chunk.is_last_open = True
                yield chunk
                chunk, size = _Chunk(works=[work]), 0
            chunk.tasks.append((work, document))
            size += len(document.text) + len(question)
    yield chunk


def _answers(decoding: Decoding, document: Document, settings: ReaderSettings) -> Iterator[FoundAnswer]:
    """Yield the document's answers, best first, thinned as the settings say."""
    for span in thin(decoding.spans, settings.max_overlap)[: settings.top_k]:
        start, end = _whole_words(document.text, span) if settings.word_boundaries else (span.start, span.end)
        odds = decoding.null_score - span.score
        yield FoundAnswer(document.text[start:end], _score(odds / settings.temperature), start, end, document, odds)


def _score(odds: float) -> float:
    """The logistic function of -odds, 0 to 1, without overflow."""
    return 1.0 / (1.0 + math.exp(odds)) if odds < 700 else 0.0


def _whole_words(text: str, span: Span) -> tuple[int, int]:
    """The span widened to the ends of the words it cuts through."""
    start, end = span.start, span.end
    while start > 0 and _WORD.match(text[start]) and _WORD.match(text[start - 1]):
        start -= 1
    while end < len(text) and _WORD.match(text[end - 1]) and _WORD.match(text[end]):
        end += 1
    return start, end
