"""`ExtractiveReader`, the Haystack component, on Tinyreader's engines: for haystack-ai 2 and 3, without
torch.

Constructor and `run` are those of Haystack 2's reader of that name, and so are answers and scores wherever
that one was right.
"""

# No `from __future__ import annotations`: Haystack releases before 2.17 do not evaluate the annotations of `run`.

import asyncio
import inspect
import logging
import math
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

from tinyreader.errors import DataError, MissingExtraError, SettingsError, did_you_mean
from tinyreader.integrations.haystack.loading import LoadedModel, model_request
from tinyreader.integrations.haystack.search import Choices, Found, Place, Text, search
from tinyreader.reader.reading import require_text
from tinyreader.reader.settings import logistic
from tinyreader.runtimes import PrecisionName
from tinyreader.runtimes.engines import Engine
from tinyreader.windows import LongQuestionError

try:
    from haystack import Document, ExtractedAnswer, component, default_from_dict, default_to_dict
    from haystack.utils import ComponentDevice, Secret, deserialize_secrets_inplace
except ModuleNotFoundError as error:
    raise MissingExtraError("tinyreader.integrations.haystack", "haystack") from error

__all__ = ["ExtractiveReader"]

log = logging.getLogger(__name__)

DEFAULT_ANSWERS_PER_SEQ = 20

# The module's lock, not the component's: pipelines copy components, and locks cannot be copied.
_LOADING = threading.Lock()

_PLAIN_PARAMETERS = (
    "top_k",
    "score_threshold",
    "max_seq_length",
    "stride",
    "max_batch_size",
    "answers_per_seq",
    "no_answer",
    "calibration_factor",
    "overlap_threshold",
    "engine",
    "precision",
    "threads",
    "no_answer_from",
    "context_chars",
)
"""The constructor's parameters that are plain data already, by the names of their attributes."""


@component
class ExtractiveReader:
    """Answers a query with verbatim pieces of documents, each with its score and place.

    An answer's score is the logistic function of `calibration_factor` times the sum of its start and end
    logit, so answers can be compared across documents. With `no_answer`, one more answer, whose data is None,
    means that there is none. Its score is the chance that all others are wrong (`no_answer_from="product"`),
    or, with `no_answer_from="model"`, the model's own null logit on the same scale: it goes before the best
    answer if the model finds the query unanswerable.
    """

    def __init__(
        self,
        model: Path | str = "deepset/roberta-base-squad2-distilled",
        device: ComponentDevice | None = None,
        token: Secret | None = Secret.from_env_var(["HF_API_TOKEN", "HF_TOKEN"], strict=False),  # noqa: B008 - read late
        top_k: int = 20,
        score_threshold: float | None = None,
        max_seq_length: int = 384,
        stride: int = 128,
        max_batch_size: int | None = None,
        answers_per_seq: int | None = None,
        no_answer: bool = True,
        calibration_factor: float = 0.1,
        overlap_threshold: float | None = 0.01,
        model_kwargs: dict[str, Any] | None = None,
        *,
        engine: Engine = "auto",
        precision: PrecisionName | None = None,
        threads: int | None = None,
        no_answer_from: Literal["product", "model"] = "product",
        context_chars: int = 120,
    ) -> None:
        """The model is loaded by `warm_up`, or by the first `run`.

        The parameters before the star mean what they do in Haystack. `engine` is "openvino", "onnx", "torch"
        or "auto". `precision` is "fp32", "bf16", "int8" or "auto" (bf16 where this machine computes in it);
        None takes the one of `model_kwargs`, else fp32. An answer's `context` is the answer with up to
        `context_chars` characters on each side. Batches are limited by their tokens, and by `max_batch_size`
        windows if that is set. Raises `SettingsError` for a value that cannot be used.
        """
        self.model_name_or_path = str(model)
        self.device, self.token = device, token
        self.top_k, self.score_threshold = top_k, score_threshold
        self.max_seq_length, self.stride = max_seq_length, stride
        self.max_batch_size, self.answers_per_seq = max_batch_size, answers_per_seq
        self.no_answer, self.no_answer_from = no_answer, no_answer_from
        self.calibration_factor, self.overlap_threshold = calibration_factor, overlap_threshold
        self.engine, self.precision, self.threads = engine, precision, threads
        self.context_chars = context_chars
        if no_answer_from not in ("product", "model"):
            raise SettingsError(f'no_answer_from is {no_answer_from!r}; it must be "product" or "model".')
        if not isinstance(context_chars, int) or isinstance(context_chars, bool) or context_chars < 0:
            raise SettingsError(f"context_chars is {context_chars!r}; it must be a whole number, at least 0.")
        if not isinstance(calibration_factor, int | float) or not math.isfinite(calibration_factor):
            raise SettingsError(f"calibration_factor is {calibration_factor!r}; it must be a finite number.")
        if device is not None and not isinstance(device, ComponentDevice):
            raise SettingsError(
                f"device is {device!r}; give a ComponentDevice, such as ComponentDevice.from_str('cpu'), or None."
            )
        if token is not None and not isinstance(token, Secret):
            raise SettingsError(
                "token is not a Haystack Secret; give Secret.from_env_var(NAME) or Secret.from_token(...)."
            )
        if model_kwargs is not None and not isinstance(model_kwargs, Mapping):
            raise SettingsError(f"model_kwargs is {model_kwargs!r}; it must be a dict, or None.")
        self.model_kwargs = dict(model_kwargs or {})
        self._request = model_request(
            self.model_name_or_path,
            None if device is None else device.first_device.to_torch_str(),
            self.model_kwargs,
            engine,
            precision,
            threads,
        )
        self._model: LoadedModel | None = None
        component.set_output_types(self, answers=list[ExtractedAnswer])

    def to_dict(self) -> dict[str, Any]:
        """The component as plain data, for `from_dict` and for pipelines as YAML. A token is stored as the name
        of its environment variable.
        """
        data: dict[str, Any] = default_to_dict(
            self,
            model=self.model_name_or_path,
            model_kwargs={name: _plain(value) for name, value in self.model_kwargs.items()} or None,
            **{name: getattr(self, name) for name in _PLAIN_PARAMETERS},
        )
        data["init_parameters"]["token"] = self.token.to_dict() if self.token else None
        data["init_parameters"]["device"] = self.device.to_dict() if self.device else None
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "ExtractiveReader":
        """The component from the data of `to_dict`, which is not changed."""
        parameters = dict(data.get("init_parameters", {}))
        deserialize_secrets_inplace(parameters, keys=["token"])
        if isinstance(parameters.get("device"), dict):
            parameters["device"] = ComponentDevice.from_dict(parameters["device"])
        made: ExtractiveReader = default_from_dict(cls, {**data, "init_parameters": parameters})
        return made

    def warm_up(self) -> None:
        """Load the model, unless that was done. Raises `ModelError` if it cannot be used."""
        self._load()

    def run(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        score_threshold: float | None = None,
        max_seq_length: int | None = None,
        stride: int | None = None,
        max_batch_size: int | None = None,
        answers_per_seq: int | None = None,
        no_answer: bool | None = None,
        overlap_threshold: float | None = None,
    ) -> dict[str, Any]:
        """{"answers": the answers in the documents, best first}.

        Parameters that are not None override the constructor's for this call; 0 and False are values. A
        document whose content is None is left out with a warning. Raises `DataError` for a query that is
        empty or leaves no room for the text.
        """
        found = self.run_many(
            [query],
            [documents],
            top_k=top_k,
            score_threshold=score_threshold,
            max_seq_length=max_seq_length,
            stride=stride,
            max_batch_size=max_batch_size,
            answers_per_seq=answers_per_seq,
            no_answer=no_answer,
            overlap_threshold=overlap_threshold,
        )
        return {"answers": found["answers"][0]}

    async def run_async(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The same as `run`, in a thread, so that the event loop stays free."""
        return await asyncio.to_thread(self.run, *args, **kwargs)

    # Haystack reads the inputs off the signatures, and requires that those of `run` and `run_async` are equal.
    run_async.__signature__ = inspect.signature(run)  # type: ignore[attr-defined]

    def run_many(
        self, queries: Sequence[str], documents: Sequence[Sequence[Document]], **parameters: Any
    ) -> dict[str, list[list[ExtractedAnswer]]]:
        """{"answers": the answers to each query in its own documents}, with the windows of all queries batched
        together. `parameters` are those of `run`, by name.
        """
        _require_queries(queries, documents)
        readable = [_readable(number, own) for number, own in enumerate(documents)]
        asked = self._choices(parameters)
        model = self._load()
        choices = asked.fitted(model.runtime.facts.max_tokens)
        if choices != asked:
            log.warning(
                "%s takes at most %d tokens: max_seq_length is %d instead of %d, stride %d",
                self.model_name_or_path,
                choices.max_seq_length,
                choices.max_seq_length,
                asked.max_seq_length,
                choices.stride,
            )
        texts = (
            text for number, query in enumerate(queries) for text in _texts(number, query, readable[number])
        )
        try:
            found = search(texts, model.windower(choices.windows), model.runtime, choices, len(queries))
        except LongQuestionError as error:
            raise DataError(
                f"{error.fact}. Shorten the query, raise max_seq_length or lower stride."
            ) from None
        return {
            "answers": [
                self._answers(query, own, of_query, choices, model.no_answer_threshold)
                for query, own, of_query in zip(queries, readable, found, strict=True)
            ]
        }

    def _load(self) -> LoadedModel:
        with _LOADING:
            if self._model is None:
                self._model = self._request.load(self.token.resolve_value() if self.token else None)
            return self._model

    def _choices(self, parameters: Mapping[str, Any]) -> Choices:
        """The constructor's choices with the parameters that are not None."""
        names = [field.name for field in fields(Choices)]
        for name in parameters:
            if name not in names:
                raise SettingsError(
                    f"{name} is not a parameter of run_many.{did_you_mean(name, names)} "
                    f"It takes {', '.join(names)}."
                )
        own = {name: getattr(self, name) for name in names}
        if own["answers_per_seq"] is None:
            own["answers_per_seq"] = DEFAULT_ANSWERS_PER_SEQ
        return Choices(**own | {name: value for name, value in parameters.items() if value is not None})

    def _answers(
        self,
        query: str,
        documents: Sequence[Document],
        found: Found,
        choices: Choices,
        no_answer_threshold: float,
    ) -> list[ExtractedAnswer]:
        """The answers as Haystack's own objects, best first, the no-answer among them if it is asked for."""
        factor, pages = self.calibration_factor, _pages(documents, found.places)
        answers = [
            _answer(
                query,
                documents[place.document],
                place,
                logistic(factor * place.logit),
                page,
                self.context_chars,
            )
            for place, page in zip(found.places, pages, strict=True)
        ]
        if choices.no_answer and documents:
            if self.no_answer_from == "product" or found.null_odds == math.inf:
                score = math.prod((1.0 - answer.score for answer in answers), start=1.0)
            else:
                score = logistic(factor * (found.best_logit + found.null_odds - no_answer_threshold))
            answers.append(ExtractedAnswer(query=query, score=score, meta={}))
        answers.sort(key=lambda answer: -answer.score)
        if choices.score_threshold is not None:
            answers = [answer for answer in answers if answer.score >= choices.score_threshold]
        return answers


def _require_queries(queries: Any, documents: Any) -> None:
    """Raise `DataError` unless these are texts to ask, and one list of documents for each."""
    for name, given in (("queries", queries), ("documents", documents)):
        if isinstance(given, str) or not isinstance(given, Sequence):
            raise DataError(
                f"{name} is of type {type(given).__name__}; give a list with one entry for each query."
            )
    if len(queries) != len(documents):
        raise DataError(
            f"{len(queries)} queries came with {len(documents)} lists of documents; give one list for each."
        )
    for number, query in enumerate(queries):
        require_text(query, f"query {number}")
        if not query.strip():
            raise DataError(f"query {number} is empty; ask something")


def _readable(query: int, documents: Any) -> list[Document]:
    """The documents of a query that have a text; the others are named in a warning. Raises `DataError` for
    items that are not documents.
    """
    if isinstance(documents, str | Document | Mapping) or not isinstance(documents, Iterable):
        kind = type(documents).__name__
        raise DataError(
            f"the documents of query {query} are of type {kind}; give a list of Haystack's Document."
        )
    readable = []
    for number, document in enumerate(documents):
        if not isinstance(document, Document):
            kind = type(document).__name__
            raise DataError(
                f"document {number} of query {query} is of type {kind}; give Haystack's "
                "Document(content=text)."
            )
        if document.content is None:
            log.warning("document %s has no text and is left out", document.id)
            continue
        require_text(document.content, f"document {document.id}")
        readable.append(document)
    return readable


def _texts(query_number: int, query: str, documents: Sequence[Document]) -> Iterator[Text]:
    """Yield the texts to read for a query: that of each document, unless it is blank or came before."""
    seen = set()
    for number, document in enumerate(documents):
        if (document.id, document.content) not in seen and document.content.strip():
            seen.add((document.id, document.content))
            yield Text(query_number, number, query, document.content)


def _answer(
    query: str, document: Document, place: Place, score: float, page: int | None, context_chars: int
) -> ExtractedAnswer:
    """The answer at the place, with its surroundings as `context`."""
    text, begin = document.content, max(0, place.start - context_chars)
    return ExtractedAnswer(
        query=query,
        score=score,
        data=text[place.start : place.end],
        document=document,
        context=text[begin : place.end + context_chars],
        document_offset=ExtractedAnswer.Span(place.start, place.end),
        context_offset=ExtractedAnswer.Span(place.start - begin, place.end - begin),
        meta={} if page is None else {"answer_page_number": page},
    )


def _pages(documents: Sequence[Document], places: Sequence[Place]) -> list[int | None]:
    """The page of each place: the document's `page_number` plus the form feeds before the place, or None."""
    firsts: dict[int, int | None] = {}
    for number in sorted({place.document for place in places}):
        page = documents[number].meta.get("page_number")
        if page is not None and not isinstance(page, int):
            log.warning(
                "document %s has page_number %r, which is not an int: its answers get no page",
                documents[number].id,
                page,
            )
            page = None
        firsts[number] = page
    return [
        None
        if (first := firsts[place.document]) is None
        else first + documents[place.document].content.count("\f", 0, place.start)
        for place in places
    ]


def _plain(value: Any) -> Any:
    """A value of `model_kwargs` as plain data: a torch dtype becomes its name."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    kind = type(value)
    return str(value) if (kind.__module__, kind.__name__) == ("torch", "dtype") else value
