"""`Reader`: questions and documents in, readings out; the windows of all of them batched together by
length.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from tokenizers import Tokenizer

from tinyreader.data import Example
from tinyreader.errors import DataError, ModelError, SettingsError
from tinyreader.model_files import STARTER, model_directory
from tinyreader.passages import Passage
from tinyreader.reader.engines import Engine, PrecisionName, open_engine
from tinyreader.reader.reading import Documents, FoundAnswer, Question, Reading, described
from tinyreader.reader.settings import ReaderSettings, read_settings
from tinyreader.reader.tasks import Chunk, chunks_of
from tinyreader.runtimes import Runtime
from tinyreader.runtimes.batches import run_windows
from tinyreader.spans import Decoding, Span, WindowLogits, decode, merged, thin
from tinyreader.tokenizer import load_tokenizer
from tinyreader.windows import Windower, WindowSettings, chunks

GROUP_WINDOWS = 1024
"""At most so many windows of a text are held at a time, with their logits about 10 MB."""

log = logging.getLogger(__name__)

_SPANS = 20  # the best spans of a window that are looked at
_KEPT_WINDOWERS = 8  # copies of the tokenizer, one for each choice of lengths
_KEPT_SPANS = 1000  # the best spans of a text from which answers that do not overlap are chosen
_WORD = re.compile(r"\w")


class Reader:
    """Answers questions from documents with verbatim spans. Made by `from_pretrained`, or of a tokenizer and
    a runtime.
    """

    def __init__(
        self, tokenizer: Tokenizer, runtime: Runtime, settings: ReaderSettings | None = None
    ) -> None:
        self.tokenizer, self.runtime = tokenizer, runtime
        self.settings = settings or ReaderSettings()
        self._windowers: dict[tuple[int, int, Literal["error", "truncate"]], Windower] = {}
        self._require_length(self.settings.max_seq_len)
        rows, largest = getattr(runtime, "vocab_size", None), max(tokenizer.get_vocab().values())
        if rows is not None and largest >= rows:
            raise ModelError(
                f"the tokenizer gives ids up to {largest}, but the model embeds {rows} tokens: they do not "
                "belong together"
            )

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
        """The reader of a directory or Hub id, or the one in the package; `settings` go over those stored
        beside the model.

        `engine` is "openvino" (no torch needed), "onnx" (the `onnx` extra), "torch" (the `train` extra), or
        "auto": OpenVINO where it knows the architecture, else torch. `precision` is "fp32", "bf16", "int8"
        (once `tinyreader export` has measured its ranges), or "auto": bf16 where the processor computes in
        it, else fp32. `reader.engine` and `reader.precision` say what was picked. Raises `ModelError` for
        what is no question-answering model and `SettingsError` for settings that do not fit it.
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

    @property
    def engine(self) -> str:
        """The engine that computes: "openvino", "onnx" or "torch"; "" for a runtime that does not say."""
        return str(getattr(self.runtime, "engine", ""))

    @property
    def precision(self) -> str:
        """The number format of the arithmetic: "fp32", "bf16" or "int8"; "" for a runtime that does not
        say.
        """
        return str(getattr(self.runtime, "precision", ""))

    def read(self, question: str, documents: Documents, **changes: Any) -> Reading:
        """What the documents answer; `changes` are settings for this call, by name (`ReaderSettings`).

        Documents are a text, a `pathlib.Path` of a text, Markdown, HTML, PDF or DOCX file, a `Document`, a
        pair (id, text), or any number of these. Each is read to its end, or, with `passages=20`, the 20
        passages that share most words with the question (the `search` extra).
        """
        (reading,) = self.read_many([(question, documents)], **changes)
        return reading

    def read_many(
        self, questions: Iterable[Question | tuple[str, Documents]], **changes: Any
    ) -> Iterator[Reading]:
        """A reading for each question (a `Question`, or a pair of question and documents), in order; a stream
        in, a stream out.

        Windows of like length are computed together across questions and documents; memory does not grow with
        the stream nor with a document's windows. Several threads may read at the same time. Raises
        `DataError` for an empty question or one that leaves no room for the text.
        """
        given: object = questions
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise DataError(
                f"what is to be read is {described(given)}; give any number of Questions or pairs (question, "
                "documents), as a "
                "list or a stream"
            )
        settings = self.settings.changed(changes)
        return self._readings(questions, self._windower(settings), settings)

    def check_question(self, question: str, label: str = "0") -> None:
        """Raises `DataError`, naming the question by its label, where it is longer than these settings
        allow.
        """
        self._windower(self.settings).check_question(Example(label, question, ""))

    def _readings(
        self,
        questions: Iterable[Question | tuple[str, Documents]],
        windower: Windower,
        settings: ReaderSettings,
    ) -> Iterator[Reading]:
        for chunk in chunks_of(questions, settings):
            self._read_chunk(chunk, windower, settings)
            for work in chunk.finished():
                yield work.reading(settings)

    def _read_chunk(self, chunk: Chunk, windower: Windower, settings: ReaderSettings) -> None:
        """Reads the texts of a chunk and leaves what was found with their questions.

        Of a long text only so many windows are held at a time, and of what was read only its best spans.
        """
        examples = [Example(work.label, work.question.text, passage.text) for work, passage in chunk.tasks]
        limits = {"max_answer_tokens": settings.max_answer_tokens, "n_best": max(_SPANS, settings.top_k)}
        most = max(_KEPT_SPANS, 2 * limits["n_best"])
        found: dict[int, Decoding] = {}
        n_cut = windower.counts.truncated_questions
        for group in chunks(windower.windows(examples), GROUP_WINDOWS):
            parts: dict[int, list[Decoding]] = {}
            for window, (start, end) in zip(
                group, run_windows(group, self.runtime, most=settings.max_seq_len), strict=True
            ):
                logits = WindowLogits(start, end, window.first, window.stop, window.offsets)
                parts.setdefault(window.example, []).append(decode([logits], **limits))
            for number, decodings in parts.items():
                found[number] = merged([found[number], *decodings] if number in found else decodings, most)
        if windower.counts.truncated_questions > n_cut:  # only by choice, but never in silence
            log.warning(
                "questions of more than %d tokens were cut to that length", windower.max_question_tokens
            )
        for number, (work, passage) in enumerate(chunk.tasks):
            work.add(_answers(found[number], passage, settings), settings.top_k)

    def _windower(self, settings: ReaderSettings) -> Windower:
        """The windower of these settings, made once: copying a tokenizer takes longer than reading a
        paragraph.
        """
        key = (settings.max_seq_len, settings.doc_stride, settings.on_long_question)
        found = self._windowers.get(key)
        if found is None:
            self._require_length(settings.max_seq_len)
            found = Windower(
                self.tokenizer, WindowSettings(settings.max_seq_len, settings.doc_stride, None, key[2])
            )
            found = self._windowers.setdefault(key, found)
            for old in list(self._windowers)[
                :-_KEPT_WINDOWERS
            ]:  # a server's clients choose the lengths: memory has a bound
                self._windowers.pop(old, None)
        return found

    def _require_length(self, max_seq_len: int) -> None:
        most = getattr(self.runtime, "max_tokens", None)
        if most is not None and max_seq_len > most:
            raise SettingsError(f"max_seq_len is {max_seq_len}, but this model takes at most {most} tokens.")


def _answers(decoding: Decoding, passage: Passage, settings: ReaderSettings) -> Iterator[FoundAnswer]:
    """Yield the passage's answers, best first, thinned as the settings say."""
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
