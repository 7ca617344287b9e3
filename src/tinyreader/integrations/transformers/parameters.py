"""The pipeline's parameters: names, defaults and limits of Transformers 4.57.6."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from numbers import Integral
from typing import Any, Literal

from tinyreader.errors import SettingsError
from tinyreader.integrations.transformers.decoding import Rules


class ParameterError(SettingsError, ValueError):
    """A parameter is wrong; a `ValueError` too, as the pipeline's callers expect."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Lengths are in tokens; `doc_stride` is the overlap of neighbouring windows.

    Left None, `max_seq_len` is 384 or what the model and its tokenizer allow, and `doc_stride` 128 or half of
    that. `decoding` says whose rules merge answers: "places" (each place is an answer of its own, with its
    best window's score) or "transformers-4" (equal words anywhere are one answer, the scores of all windows
    added up). `padding` and `max_question_len` change no answer: the second had no effect with fast
    tokenizers either.
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
            _require_whole(name, getattr(self, name), 1)
        _require_whole("doc_stride", self.doc_stride, 0)
        if self.decoding not in ("places", "transformers-4"):
            raise ParameterError(f'decoding is {self.decoding!r}; it must be "places" or "transformers-4".')

    def changed(self, given: Mapping[str, Any]) -> Parameters:
        """These parameters with those given that are not None, by name; `topk` is the old name of `top_k`."""
        given = dict(given)
        old = given.pop("topk", None)
        if given.get("top_k") is None:
            given["top_k"] = old
        known = [field.name for field in fields(self)]
        for name in given:
            if name not in known:
                raise ParameterError(
                    f"{name} is no parameter of this pipeline; there are: {', '.join(known)}."
                )
        return replace(self, **{name: value for name, value in given.items() if value is not None})

    @property
    def rules(self) -> Rules:
        """What the decoding needs of them."""
        as_there = self.decoding == "transformers-4"
        return Rules(
            self.top_k,
            self.max_answer_len,
            bool(self.handle_impossible_answer),
            bool(self.align_to_words),
            adds_windows=as_there,
            merges_texts=as_there,
            cuts_words=as_there,
        )


def _require_whole(name: str, value: Any, least: int) -> None:
    """Raises `ParameterError` unless it is a whole number, numpy's among them, or None."""
    if value is not None and (
        isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least
    ):
        raise ParameterError(f"{name} is {value!r}; it must be a whole number, at least {least}.")
