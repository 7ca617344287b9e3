"""The forms in which questions and contexts are given to the pipeline: each becomes pairs, and says how
results go back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import GeneratorType
from typing import Any, Literal

from tinyreader.errors import DataError
from tinyreader.reader.reading import require_text


class InputError(DataError, ValueError):
    """A question, a context or their form is wrong; a `ValueError` too, as the pipeline's callers expect."""


class MissingKeyError(DataError, KeyError):
    """A dict lacks its question or its context; a `KeyError` too, as the pipeline's callers expect."""

    __str__ = Exception.__str__  # KeyError's own would quote the message


@dataclass(frozen=True, slots=True)
class Pair:
    """A question on a context."""

    question: str
    context: str


@dataclass(frozen=True, slots=True)
class SquadExample:
    """A question on a context by the names that Transformers' class has for them; a call takes it like a
    dict.
    """

    question_text: str
    context_text: str


@dataclass(frozen=True, slots=True)
class Given:
    """What a call was given: pairs, and whether one result, a list or a stream goes back."""

    pairs: Iterable[Pair]
    form: Literal["one", "list", "stream"]


_FORMS = (
    "give question= and context= (two texts, two lists of the same length, or a list of questions and one "
    "context), a dict "
    "with these keys, a list of such dicts, or a generator or data set of them"
)


def given(args: Sequence[Any], named: Mapping[str, Any]) -> Given:
    """The pairs of a call, by its positional arguments, or else by those named question and context, X, or
    data.

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
    """The sample of two texts, or, where the questions are a list, a list of samples. Raises `InputError`."""
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
            f"{len(question)} questions and {len(context)} contexts were given; the lists must be equally "
            "long."
        )
    rows = zip(question, context, strict=True)
    return _listed([pair_of({"question": q, "context": c}, number) for number, (q, c) in enumerate(rows)])


def _of(items: Any) -> Given:
    """What one object holds: a pair, several, or a stream of them."""
    if isinstance(items, Mapping) and isinstance(items.get("question"), list):
        return _named(items["question"], items.get("context"))
    if isinstance(items, Mapping) or hasattr(items, "question_text"):
        return _listed([pair_of(items, 0)])
    if isinstance(items, GeneratorType):
        return Given(_checked(items), "stream")
    if _is_dataset(items):
        return Given(_checked(_rows(items)), "stream")
    if isinstance(items, str) or not isinstance(items, Iterable):
        raise InputError(f"{items!r} is no question with a context; {_FORMS}.")
    return _listed([pair_of(item, number) for number, item in enumerate(items)])


def _listed(pairs: list[Pair]) -> Given:
    """A list of one gives no list: so it was, and code relies on it."""
    return Given(pairs, "one" if len(pairs) == 1 else "list")


def _checked(items: Iterable[Any]) -> Iterator[Pair]:
    return (pair_of(item, number) for number, item in enumerate(items))


def _is_dataset(items: Any) -> bool:
    """Whether it is a data set of torch or datasets, or made like one; neither needs to be installed to
    tell.
    """
    if any(kind.__module__.split(".")[0] in ("torch", "datasets") for kind in type(items).__mro__):
        return True
    return (
        hasattr(items, "__getitem__")
        and hasattr(items, "__len__")
        and not isinstance(items, Sequence | Mapping)
    )


def _rows(dataset: Any) -> Iterator[Any]:
    """The items of a data set; those that only give items by number are asked for each."""
    return (
        iter(dataset) if hasattr(dataset, "__iter__") else (dataset[number] for number in range(len(dataset)))
    )


def pair_of(item: Any, number: int) -> Pair:
    """The pair in a dict (other keys may stand beside), or in an object with `question_text` and
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
