"""Transformers' side of inference.py: the question-answering pipeline of 4.57, as documented or at its
best.
"""

from __future__ import annotations

from typing import Any

from inference_side import Found, Pair

PACKAGES = ["transformers", "tokenizers", "torch"]


class PipelineSide:
    """A question-answering pipeline; `by_length` sends texts of like lengths together, the longest first."""

    def __init__(self, pipe: Any, *, by_length: bool) -> None:
        self.pipe, self.by_length = pipe, by_length
        self.batch_size: int | None = None

    def one(self, question: str, context: str) -> Found:
        """The answer to one question on one text."""
        return (0, *self._place(self.pipe(question=question, context=context, **self._options())))

    def bulk(self, pairs: list[Pair]) -> list[Found]:
        """The answers to many questions, each on its own text, in order."""
        return [(0, *self._place(result)) for result in self._results(pairs)]

    def documents(self, question: str, documents: list[str]) -> Found:
        """The best answer to one question in many texts."""
        results = self._results([(question, document) for document in documents])
        best = max(range(len(results)), key=lambda number: results[number]["score"])
        return (best, *self._place(results[best]))

    def _results(self, pairs: list[Pair]) -> list[Any]:
        order = list(range(len(pairs)))
        if self.by_length:
            order.sort(key=lambda number: -sum(map(len, pairs[number])))
        given = [{"question": pairs[number][0], "context": pairs[number][1]} for number in order]
        found = self.pipe(given, **self._options())
        found = [found] if isinstance(found, dict) else found  # a list of one gives no list
        results: list[Any] = [None] * len(pairs)
        for number, result in zip(order, found, strict=True):
            results[number] = result
        return results

    def _options(self) -> dict[str, int]:
        return {} if self.batch_size is None else {"batch_size": self.batch_size}

    @staticmethod
    def _place(result: Any) -> tuple[int, int]:
        return int(result["start"]), int(result["end"])


def open_side(model: str, settings: dict[str, Any], threads: int) -> PipelineSide:
    """The pipeline as its documentation makes one; with `dtype`, the weights in that type."""
    import torch
    from transformers import pipeline

    torch.set_num_threads(threads)
    options = {"dtype": getattr(torch, settings["dtype"])} if "dtype" in settings else {}
    pipe = pipeline("question-answering", model=model, tokenizer=model, **options)
    return PipelineSide(pipe, by_length=settings.get("by_length", False))
