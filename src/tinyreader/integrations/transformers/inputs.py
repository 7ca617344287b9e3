"""What a call of the pipeline takes: questions with contexts, in all their forms, and parameters, with the
names, defaults and limits of Transformers 4.57.6.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from numbers import Integral
from types import GeneratorType
from typing import Any, Literal

from tinyreader.errors import DataError, SettingsError, did_you_mean
from tinyreader.integrations.transformers.decoding import Rules
from tinyreader.reader.reading import require_text


class InputError(DataError, ValueError):
    """A question, a context or their form is wrong; also a `ValueError`, as callers of the pipeline expect."""


class MissingKeyError(DataError, KeyError):
    """A dict lacks its question or its context; also a `KeyError`, as callers of the pipeline expect."""

    __str__ = Exception.__str__  # KeyError's own would quote the message


class ParameterError(SettingsError, ValueError):
    """A parameter is wrong; also a `ValueError`, as callers of the pipeline expect."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Lengths are in tokens; `doc_stride` is the overlap of neighbouring windows.

    `max_seq_len` None is 384 or what the model and its tokenizer allow, and `doc_stride` None is 128 or half
    of `max_seq_len`. `decoding` chooses the rules by which answers are merged: "places" (each place is one
    answer, with the score of its best window) or "transformers-4" (equal words anywhere are one answer, the
    scores of all windows added up). `padding` and `max_question_len` change no answer; with fast tokenizers
    the latter never did.
    """

    top_k: int = 1
    max_answer_len: int = 15
    max_seq_len: int | None = None
    doc_stride: int | None = None
    max_question_len: int = 64
    handle_impossible_answer: bool = False
    align_to_words: bool = True
    padding: bool | str = "do_not_pad"
    decoding: Literal["places", "transformers-4"] = "places"

    def __post_init__(self) -> None:
        for name in ("top_k", "max_answer_len", "max_seq_len", "max_question_len"):
            require_whole(name, getattr(self, name), 1)
        require_whole("doc_stride", self.doc_stride, 0)
        if self.decoding not in ("places", "transformers-4"):
            raise ParameterError(f'decoding is {self.decoding!r}; it must be "places" or "transformers-4".')

    def changed(self, given: Mapping[str, Any]) -> Parameters:
        """These parameters with those given, by name, that are not None; `topk` is the old name of `top_k`."""
        given = dict(given)
        top_k = given.pop("topk", None)
        if given.get("top_k") is None:
            given["top_k"] = top_k
        known = [field.name for field in fields(self)]
        for name in given:
            if name not in known:
                raise ParameterError(
                    f"{name} is not a parameter of this pipeline.{did_you_mean(name, known)} It takes "
                    f"{', '.join(known)}."
                )
        return replace(self, **{name: value for name, value in given.items() if value is not None})

    @property
    def rules(self) -> Rules:
        """The part of them that decoding needs."""
        is_old = self.decoding == "transformers-4"
        return Rules(
            self.top_k,
            self.max_answer_len,
            bool(self.handle_impossible_answer),
            bool(self.align_to_words),
            adds_windows=is_old,
            merges_texts=is_old,
            cuts_words=is_old,
        )


def require_whole(name: str, value: object, least: int) -> None:
    """Raise `ParameterError` unless the value is a whole number (numpy's count too), or None."""
    if value is not None and (
        isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least
    ):
        raise ParameterError(f"{name} is {value!r}; it must be a whole number, at least {least}.")


@dataclass(frozen=True, slots=True)
class Pair:
    """A question on a context."""

    question: str
    context: str


@dataclass(frozen=True, slots=True)
class SquadExample:
    """A question on a context, with the attributes of Transformers' class; a call takes it like a dict."""

    question_text: str
    context_text: str


@dataclass(frozen=True, slots=True)
class Given:
    """The pairs of a call, and whether it returns one result, a list or a stream."""

    pairs: Iterable[Pair]
    form: Literal["one", "list", "stream"]


_FORMS = (
    "give question= and context= (two texts, two lists of the same length, or a list of questions and one "
    "context), a dict with these keys, a list of such dicts, or a generator or data set of them"
)


def given(args: Sequence[Any], named: Mapping[str, Any]) -> Given:
    """The pairs in a call's positional arguments, or else in those named question and context, X, or data.

    Lists are checked at once, streams item by item. Raises `InputError` and `MissingKeyError`.
    """
    if args:
        return _positional(args)
    for name in ("X", "data"):
        if named.get(name) is not None:
            return _of(named[name])
    if "question" not in named or "context" not in named:
        raise InputError(f"the call names {', '.join(named) or 'nothing'}; {_FORMS}.")
    return _named(named["question"], named["context"])


def sample_of(question: Any, context: Any) -> SquadExample | list[SquadExample]:
    """The sample of two texts, or the samples of a list of questions. Raises `InputError`."""
    samples = [SquadExample(pair.question, pair.context) for pair in _named(question, context).pairs]
    return samples if isinstance(question, list) else samples[0]


def _positional(args: Sequence[Any]) -> Given:
    if len(args) == 1:
        return _of(args[0])
    if len(args) == 2 and all(isinstance(part, str) for part in args):
        return _listed([pair_of({"question": args[0], "context": args[1]}, 0)])
    return _of(list(args))


def _named(question: Any, context: Any) -> Given:
    """Two texts, two lists, or questions on one context."""
    if isinstance(question, str) and isinstance(context, str):
        question, context = [question], [context]
    elif isinstance(question, list) and isinstance(context, str):
        context = [context] * len(question)
    if not isinstance(question, list) or not isinstance(context, list):
        kinds = f"question is a {type(question).__name__} and context a {type(context).__name__}"
        raise InputError(f"{kinds}; {_FORMS}. To ask one question of several contexts, repeat it in a list.")
    if len(question) != len(context):
        raise InputError(
            f"{len(question)} questions and {len(context)} contexts were given; the lists must have the same "
            "length."
        )
    rows = zip(question, context, strict=True)
    return _listed([pair_of({"question": q, "context": c}, number) for number, (q, c) in enumerate(rows)])


def _of(items: Any) -> Given:
    """The pairs in one object: one, several, or a stream of them."""
    if isinstance(items, Mapping) and isinstance(items.get("question"), list):
        return _named(items["question"], items.get("context"))
    if isinstance(items, Mapping) or hasattr(items, "question_text"):
        return _listed([pair_of(items, 0)])
    if isinstance(items, GeneratorType):
        return Given(_checked(items), "stream")
    if _is_dataset(items):
        return Given(_checked(_rows(items)), "stream")
    if isinstance(items, str) or not isinstance(items, Iterable):
        raise InputError(f"{items!r} is not a question with a context; {_FORMS}.")
    return _listed([pair_of(item, number) for number, item in enumerate(items)])


def _listed(pairs: list[Pair]) -> Given:
    """One pair gives one result, even from a list: Transformers did so, and code relies on it."""
    return Given(pairs, "one" if len(pairs) == 1 else "list")


def _checked(items: Iterable[Any]) -> Iterator[Pair]:
    return (pair_of(item, number) for number, item in enumerate(items))


def _is_dataset(items: Any) -> bool:
    """Whether it is a data set of torch or datasets, or works like one; neither package is imported."""
    if any(kind.__module__.split(".")[0] in ("torch", "datasets") for kind in type(items).__mro__):
        return True
    return (
        hasattr(items, "__getitem__")
        and hasattr(items, "__len__")
        and not isinstance(items, Sequence | Mapping)
    )


def _rows(dataset: Any) -> Iterator[Any]:
    """The items of a data set, by index if it cannot be iterated."""
    return (
        iter(dataset) if hasattr(dataset, "__iter__") else (dataset[number] for number in range(len(dataset)))
    )


def pair_of(item: Any, number: int) -> Pair:
    """The pair in a dict, whose other keys are ignored, or in an object with `question_text` and
    `context_text`.
    """
    if isinstance(item, Mapping):
        for name in ("question", "context"):
            if name not in item:
                raise MissingKeyError(
                    f"item {number} has no {name!r}; it has {', '.join(map(str, item)) or 'nothing'}."
                )
        question, context = item["question"], item["context"]
    elif hasattr(item, "question_text") and hasattr(item, "context_text"):
        question, context = item.question_text, item.context_text
    else:
        raise InputError(f"item {number} is of type {type(item).__name__}; {_FORMS}.")
    for name, value in (("question", question), ("context", context)):
        if value is None or not isinstance(value, str):
            raise InputError(
                f"the {name} of item {number} is {'None' if value is None else type(value).__name__}, not a "
                "text."
            )
        if not value:
            raise InputError(f"the {name} of item {number} is empty.")
        try:
            require_text(value, f"the {name} of item {number}")
        except DataError as error:
            raise InputError(str(error)) from None
    return Pair(question, context)
