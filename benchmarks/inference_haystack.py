"""Haystack's side of inference.py: the extractive reader of transformers-haystack."""

from __future__ import annotations

from typing import Any

from haystack import Document
from haystack_integrations.components.readers.transformers import TransformersExtractiveReader

from inference_side import Found, Pair

PACKAGES = ["transformers-haystack", "haystack-ai", "transformers", "tokenizers", "torch"]


class ExtractiveSide:
    """The reader takes one question a call, so many questions are as many calls."""

    def __init__(self, reader: Any) -> None:
        self.reader = reader
        self.batch_size: int | None = None

    def one(self, question: str, context: str) -> Found:
        """The answer to one question on one text."""
        return self.documents(question, [context])

    def bulk(self, pairs: list[Pair]) -> list[Found]:
        """The answers to many questions, each on its own text, in order."""
        return [self.one(question, context) for question, context in pairs]

    def documents(self, question: str, documents: list[str]) -> Found:
        """The best answer to one question in many texts."""
        given = [Document(content=text, meta={"number": number}) for number, text in enumerate(documents)]
        found = self.reader.run(query=question, documents=given, max_batch_size=self.batch_size)["answers"]
        best = max((answer for answer in found if answer.data is not None), key=lambda answer: answer.score)
        return (best.document.meta["number"], best.document_offset.start, best.document_offset.end)


def open_side(model: str, settings: dict[str, Any], threads: int) -> ExtractiveSide:
    """The component as its documentation makes one; with `dtype`, the weights in that type."""
    import torch

    torch.set_num_threads(threads)
    kwargs = {"dtype": getattr(torch, settings["dtype"])} if "dtype" in settings else None
    reader = TransformersExtractiveReader(model=model, model_kwargs=kwargs)
    reader.warm_up()
    return ExtractiveSide(reader)
