"""From a stream of questions to chunks of texts that are read together, each with its question."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tinyreader.documents import Document
from tinyreader.errors import DataError
from tinyreader.passages import Passage, PassageIndex, joined
from tinyreader.reader.reading import Documents, FoundAnswer, Question, Reading, documents_of, require_text
from tinyreader.reader.settings import ReaderSettings

CHUNK_CHARACTERS = 400_000
"""About so much text is cut into windows and sorted together: memory does not grow with what is read."""

_QUESTION_COST = (
    100  # code points that a question counts for beside its text: streams without a text have an end too
)


@dataclass(slots=True)
class Work:
    """A question whose documents are being read: the best answers so far, best first. `label` names it in
    errors.
    """

    question: Question
    label: str
    best: list[FoundAnswer] = field(default_factory=list)

    def add(self, found: Iterable[FoundAnswer], top_k: int) -> None:
        """Takes in what another text answers."""
        self.best = heapq.nsmallest(
            top_k, [*self.best, *found], key=lambda a: a.null_odds
        )  # stable: earlier ones first

    def reading(self, settings: ReaderSettings) -> Reading:
        """What was found."""
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


@dataclass(slots=True)
class Chunk:
    """Texts that are read together, each with its question, and the questions in the order they were
    asked.
    """

    tasks: list[tuple[Work, Passage]] = field(default_factory=list)
    works: list[Work] = field(default_factory=list)
    is_last_open: bool = False

    def finished(self) -> Sequence[Work]:
        """The questions all of whose documents have been read."""
        return self.works[:-1] if self.is_last_open else self.works


def chunks_of(
    questions: Iterable[Question | tuple[str, Documents]], settings: ReaderSettings
) -> Iterator[Chunk]:
    """Yield chunks of about `CHUNK_CHARACTERS`; a question with many documents goes on in the next one.

    Blank documents have no answer and are left out.
    """
    chunk, size, picker = Chunk(), 0, _Picker()
    for number, item in enumerate(questions):
        work = _work(number, item)
        length = len(work.question.text)
        if size >= CHUNK_CHARACTERS:
            yield chunk
            chunk, size = Chunk(), 0
        chunk.works.append(work)
        size += length + _QUESTION_COST
        for passage in picker.passages(work.question, settings.passages):
            cost = passage.end - passage.start + length
            if chunk.tasks and size + cost > CHUNK_CHARACTERS:
                chunk.is_last_open = True
                yield chunk
                chunk, size = Chunk(works=[work]), 0
            chunk.tasks.append((work, passage))
            size += cost
    yield chunk


def _work(number: int, item: Question | tuple[str, Documents]) -> Work:
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
    return Work(item, label)


class _Picker:
    """The texts to read for a question. The index of the documents met last is kept: many questions may be
    asked of them.
    """

    def __init__(self) -> None:
        self._documents: tuple[Document, ...] = ()
        self._index: PassageIndex | None = None

    def passages(self, question: Question, n: int) -> Iterator[Passage]:
        """Yield every document whole, or, with `n` above 0, the `n` passages that share most with the
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
