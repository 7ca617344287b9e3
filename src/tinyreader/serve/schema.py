"""What requests and answers look like, as pydantic models that refuse unknown names; and the limits of requests."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields
from itertools import pairwise
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from tinyreader.documents import Document
from tinyreader.reader import Question, ReaderSettings
from tinyreader.serve.problems import Problem, of_validation
from tinyreader.serve.settings import ServeSettings

M = TypeVar("M", bound=BaseModel)

Text = Annotated[str, StringConstraints(min_length=1)]
MAX_ID = 1000
"""Maximum number of characters of a document's name."""

Id = Annotated[str, StringConstraints(max_length=MAX_ID)]
Number = Annotated[int, Field(ge=-(2**53), le=2**53)]
Place = Annotated[int, Field(ge=0, le=2**53)]

MAX_SIGNS = 50_000
"""Maximum number of strings, commas and brackets of a body: each may become an error message of its own, and parsing a
few megabytes of them held the server for a minute.
"""

_NOT_BLANK = re.compile(r"\S")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class DocumentIn(_Strict):
    """A text to read; its id comes back with answers from it."""

    id: Id | None = Field(None, description="Default: the document's number, from 0.")
    text: Text = Field(description="The text.")
    pages: tuple[Place, ...] = Field(
        (), description="Where its pages begin, in code points, ascending; answers then have a page."
    )
    warnings: tuple[str, ...] = Field((), description="Not used: a converted file can be sent as it came.")


class QuestionIn(_Strict):
    """A question, with documents of its own if need be."""

    question: Text
    id: Id | Number | None = Field(None, description="Comes back with the reading.")
    documents: tuple[Text | DocumentIn, ...] | None = None
    context: Text | None = Field(None, description="A single document.")


class Options(_Strict):
    """The reader's settings for this request; the defaults are those of the server's model."""

    top_k: int | None = Field(None, ge=1, le=1000, description="Maximum number of answers.")
    score_threshold: float | None = Field(
        None, ge=0, le=1, description="Leave out answers with a lower score."
    )
    no_answer_threshold: float | None = Field(None, description="Maximum null odds of an answer, in logits.")
    max_answer_tokens: int | None = Field(
        None, ge=1, le=1000, description="Maximum length of an answer, in tokens."
    )
    max_overlap: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Maximum share of the shorter answer that two answers may have in common.",
    )
    word_boundaries: bool | None = Field(None, description="Widen answers to whole words.")
    on_long_question: Literal["error", "truncate"] | None = Field(
        None, description="What to do with a question that is too long."
    )
    passages: int | None = Field(
        None, ge=0, le=10_000, description="Number of passages to read; 0 reads everything."
    )
    max_seq_len: int | None = Field(
        None, ge=1, le=100_000, description="Maximum length of a window, in tokens."
    )
    doc_stride: int | None = Field(
        None, ge=0, le=100_000, description="Tokens that neighbouring windows share."
    )
    temperature: float | None = Field(None, gt=0, le=1e6, description="Of the score.")
    score_offset: float | None = Field(None, description="Of the score, in logits.")
    no_answer_temperature: float | None = Field(None, gt=0, le=1e6, description="Of the no-answer score.")
    no_answer_offset: float | None = Field(None, description="Of the no-answer score, in logits.")


OPTION_NAMES = tuple(field.name for field in fields(ReaderSettings))
"""Every setting of a reader is an option of a request."""


_READ_EXAMPLE: dict[str, Any] = {
    "question": "Who designed the bridge?",
    "documents": [{"id": "notes", "text": "The bridge, drawn up by Ada Rost, opened in 1911."}, "It rained."],
    "top_k": 3,
}
_HOSTED_EXAMPLE: dict[str, Any] = {
    "inputs": {"question": "Who drew it up?", "context": "It was drawn up by Ada Rost."},
    "parameters": {"top_k": 1},
}


class ReadBody(Options):
    """One question or several, about documents in the request or in the served folder."""

    model_config = ConfigDict(json_schema_extra={"examples": [_READ_EXAMPLE]})

    question: Text | None = None
    questions: tuple[Text | QuestionIn, ...] | None = None
    id: Id | Number | None = Field(None, description="Of the one question.")
    documents: tuple[Text | DocumentIn, ...] | None = Field(
        None,
        description="For all questions that have none of their own. Without documents, the served folder is asked.",
    )
    context: Text | None = Field(None, description="A single document.")
    stream: bool = Field(False, description="Send one reading a line, as they come (application/x-ndjson).")
    timeout_s: float | None = Field(None, ge=1, le=86400, description="Maximum time, in seconds.")

    @property
    def options(self) -> dict[str, Any]:
        """The reader's settings that the request changes, by name."""
        return {name: value for name in OPTION_NAMES if (value := getattr(self, name)) is not None}


class HostedInput(_Strict):
    """A question and its context."""

    question: Text
    context: Text


class HostedParameters(_Strict):
    """The hosted service's parameters, with its meanings and defaults."""

    top_k: int | None = Field(None, ge=1, le=1000)
    max_answer_len: int | None = Field(None, ge=1, le=1000)
    max_seq_len: int | None = Field(None, ge=1, le=100_000)
    doc_stride: int | None = Field(None, ge=0, le=100_000)
    max_question_len: int | None = Field(None, ge=1, le=100_000)
    handle_impossible_answer: bool | None = None
    align_to_words: bool | None = None


class HostedBody(_Strict):
    """A request as `InferenceClient.question_answering` sends it. `options` are the hosted service's and have no effect."""

    model_config = ConfigDict(json_schema_extra={"examples": [_HOSTED_EXAMPLE]})

    inputs: HostedInput | tuple[HostedInput, ...]
    parameters: HostedParameters | None = None
    options: dict[str, Any] | None = None


class AnswerOut(BaseModel):
    """`document.text[start:end] == text`, in code points."""

    text: str
    score: float
    document: str
    start: int
    end: int
    page: int | None
    line: int
    null_odds: float
    before: str
    after: str


class ReadingOut(BaseModel):
    """What the documents answer."""

    id: str | int | None
    question: str
    has_answer: bool
    no_answer_score: float
    answers: list[AnswerOut]


class ReadingsOut(BaseModel):
    """A reading for each of several questions, in their order."""

    readings: list[ReadingOut]


class DocumentOut(BaseModel):
    """A document's text. It can be sent among the documents of a question as it is."""

    id: str
    text: str
    pages: list[int] = Field(
        description="Where its pages begin, in code points; empty for a text without pages."
    )
    warnings: list[str] = Field([], description="What of the file was not read; absent where all was.")


class HostedAnswerOut(BaseModel):
    """An answer as the hosted service gives it."""

    answer: str
    score: float
    start: int
    end: int


def parse(model: type[M], body: bytes) -> M:
    """The body as that model; raises `Problem` with the places of invalid values."""
    if _has_too_many_signs(body):
        raise Problem(
            "limit",
            f"It has more than {MAX_SIGNS:,} strings, commas and brackets. Split it into several requests.",
            where="the body",
            limit=MAX_SIGNS,
        )
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        names = ("DocumentIn", "QuestionIn", "HostedInput", "tuple[HostedInput, ...]")
        raise of_validation(error, (*names, "constrained-str", "constrained-int")) from None


def questions_of(body: ReadBody, settings: ServeSettings) -> tuple[list[Question], bool]:
    """The questions asked, and whether there is a single one. Documents are None where the served folder is asked.

    Raises `Problem`, with place and limit, for what is too much.
    """
    if (body.question is None) == (body.questions is None):
        raise Problem("wrong-value", "Give either question or questions.", where="question")
    shared = _documents(body.documents, body.context, "", settings)
    if body.question is not None:
        return [Question(_question(body.question, "question", settings), shared, body.id)], True  # type: ignore[arg-type]
    if body.id is not None:
        raise Problem("wrong-value", "id belongs to a single question; put ids into questions.", where="id")
    given = body.questions or ()
    _check_limit(len(given), settings.max_questions, "questions", "questions")
    asked = []
    for number, item in enumerate(given):
        at = f"questions[{number}]"
        if isinstance(item, str):
            asked.append(Question(_question(item, at, settings), shared))  # type: ignore[arg-type]
            continue
        own = _documents(item.documents, item.context, f"{at}.", settings)
        text = _question(item.question, f"{at}.question", settings)
        asked.append(Question(text, shared if own is None else own, item.id))  # type: ignore[arg-type]
    return asked, False


def check_hosted(inputs: Sequence[HostedInput], settings: ServeSettings) -> None:
    """Raises `Problem` for what is too much."""
    _check_limit(len(inputs), settings.max_questions, "inputs", "inputs")
    for number, item in enumerate(inputs):
        _question(item.question, f"inputs[{number}].question", settings)
        _check_limit(
            len(item.context), settings.max_document_characters, f"inputs[{number}].context", "characters"
        )


def _has_too_many_signs(body: bytes) -> bool:
    """Whether a body has more than `MAX_SIGNS`; what stands inside strings does not count."""
    if len(body) <= MAX_SIGNS:
        return False
    parts = (
        body.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"', 2 * MAX_SIGNS)
    )  # every second one is a string
    outside = sum(part.count(sign) for part in parts[::2] for sign in (b",", b"[", b"{"))
    return len(parts) // 2 + outside > MAX_SIGNS


def _documents(
    given: Sequence[str | DocumentIn] | None, context: str | None, at: str, settings: ServeSettings
) -> tuple[Document, ...] | None:
    if given is not None and context is not None:
        raise Problem("wrong-value", "Give either documents or context.", where=f"{at}context")
    if given is None:
        if context is None:
            return None
        _check_limit(len(context), settings.max_document_characters, f"{at}context", "characters")
        return (Document("0", context),)
    _check_limit(len(given), settings.max_documents, f"{at}documents", "documents")
    documents: dict[str, Document] = {}
    for number, item in enumerate(given):
        text = item if isinstance(item, str) else item.text
        name = str(number) if isinstance(item, str) or item.id is None else item.id
        _check_limit(len(text), settings.max_document_characters, f"{at}documents[{number}]", "characters")
        if name in documents:
            raise Problem("wrong-value", "Two documents have the same id.", where=f"{at}documents[{number}]")
        pages = () if isinstance(item, str) else item.pages
        _check_pages(pages, len(text), f"{at}documents[{number}].pages", settings)
        documents[name] = Document(name, text, pages)
    return tuple(documents.values())


def _check_pages(pages: tuple[int, ...], n: int, at: str, settings: ServeSettings) -> None:
    _check_limit(len(pages), settings.max_pages, at, "pages")
    if any(a > b for a, b in pairwise(pages)) or (pages and pages[-1] > n):
        raise Problem("wrong-value", f"{at} must be ascending places in the text.", where=at)


def _question(text: str, at: str, settings: ServeSettings) -> str:
    _check_limit(len(text), settings.max_question_characters, at, "characters")
    if not _NOT_BLANK.search(text):
        raise Problem("cannot-read", f"{at} is blank; ask something.", where=at)
    return text


def _check_limit(n: int, limit: int, at: str, what: str) -> None:
    if n > limit:
        raise Problem("limit", f"{at} has {n:,} {what}; the maximum is {limit:,}.", where=at, limit=limit)
