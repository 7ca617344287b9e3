"""What both sides of a benchmark work on: windows or whole paragraphs, a vocabulary, vectors, models with
random weights.

Windows are written as SQuAD paragraphs that fit `max_seq_len` whole, so that both sides train on the same
ones, one feature each, whatever their own rules for cutting are.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import BertWordPieceTokenizer

DOC_STRIDE = 128
MAX_QUESTION_TOKENS = (
    64  # what Haystack 1 keeps of a question; a longer one would give the sides different windows
)
WARM_UP = "The quick brown fox jumps over the lazy dog, and the dog does not mind at all."


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of a BERT encoder; heads of 64 as in BERT-base, or one head where the width is no multiple of
    64.
    """

    layers: int
    width: int

    @classmethod
    def parse(cls, text: str) -> Shape:
        """The shape that a text such as 12l-768d stands for."""
        layers, width = text.removesuffix("d").split("l-")
        return cls(int(layers), int(width))

    @property
    def heads(self) -> int:
        """Number of attention heads."""
        return 1 if self.width % 64 else self.width // 64

    @property
    def intermediate(self) -> int:
        """Width of the feed-forward layers."""
        return 4 * self.width


@dataclass(frozen=True, slots=True)
class Window:
    """A SQuAD paragraph and its length in tokens: a question with a piece of its context, or a paragraph as
    it came.
    """

    paragraph: dict[str, Any]
    n_tokens: int


def make_tokenizer(folder: Path, data: Path, source: Path | None) -> BertWordPieceTokenizer:
    """A WordPiece tokenizer over folder/vocab.txt, which is source's, or learned from the data where source
    is None.
    """
    path = folder / "vocab.txt"
    if source is not None:
        path.write_bytes((source / "vocab.txt").read_bytes())
    else:
        learner = BertWordPieceTokenizer(lowercase=True)
        texts = (text for question, context in questions(data) for text in (question["question"], context))
        learner.train_from_iterator(texts, vocab_size=30_522, show_progress=False)
        learner.save_model(str(folder))
    return BertWordPieceTokenizer(str(path), lowercase=True)


def questions(data: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """Each question of a SQuAD file with its context."""
    for article in json.loads(data.read_text("utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                yield question, paragraph["context"]


def sample_paragraphs(
    data: Path, tokenizer: BertWordPieceTokenizer, *, n: int, max_tokens: int, seed: int
) -> list[Window]:
    """The first n paragraphs of the file in a seeded random order, with all of their questions.

    A paragraph of more than max_tokens is passed over: Haystack 1 would rewrite the beginning of it only.
    """
    pool = [p for article in json.loads(data.read_text("utf-8"))["data"] for p in article["paragraphs"]]
    random.Random(seed).shuffle(pool)
    sample: list[Window] = []
    for paragraph in pool:
        n_tokens = len(tokenizer.encode(paragraph["context"]))
        if n_tokens <= max_tokens:
            sample.append(Window(paragraph, n_tokens))
        if len(sample) == n:
            return sample
    raise SystemExit(f"{data} has only {len(sample)} fitting paragraphs of the {n} asked for: ask for fewer")


def sample_windows(
    data: Path, tokenizer: BertWordPieceTokenizer, *, n: int, max_seq_len: int, seed: int
) -> list[Window]:
    """The first n windows of the file's questions in a seeded random order."""
    pool = list(questions(data))
    random.Random(seed).shuffle(pool)
    windows: list[Window] = []
    for question, context in pool:
        if len(tokenizer.encode(question["question"], add_special_tokens=False)) <= MAX_QUESTION_TOKENS:
            windows.extend(cut(question, context, tokenizer, max_seq_len))
        if len(windows) >= n:
            return windows[:n]
    raise SystemExit(f"{data} has only {len(windows)} windows of the {n} asked for: ask for fewer steps")


def cut(
    question: dict[str, Any], context: str, tokenizer: BertWordPieceTokenizer, max_seq_len: int
) -> Iterator[Window]:
    """The windows of a question, each a paragraph of its own that fits into max_seq_len tokens."""
    text = question["question"]
    tokenizer.enable_truncation(max_length=max_seq_len, stride=DOC_STRIDE, strategy="only_second")
    whole = tokenizer.encode(text, context)
    tokenizer.no_truncation()
    for n, part in enumerate([whole, *whole.overflowing]):
        places = [place for place, side in zip(part.offsets, part.sequence_ids, strict=True) if side == 1]
        first, last = places[0][0], places[-1][1]
        while len(tokenizer.encode(text, context[first:last])) > max_seq_len:
            last -= 1  # a word cut in two can become more tokens than it was
        answers = [
            {"text": answer["text"], "answer_start": answer["answer_start"] - first}
            for answer in question["answers"]
            if first <= answer["answer_start"] and answer["answer_start"] + len(answer["text"]) <= last
        ]
        asked = {
            "id": f"{question['id']}-{n}",
            "question": text,
            "answers": answers,
            "is_impossible": not answers,
        }
        piece = context[first:last]
        yield Window({"context": piece, "qas": [asked]}, len(tokenizer.encode(text, piece)))


def write_squad(path: Path, windows: list[Window]) -> None:
    """Write the windows as a SQuAD 2.0 file."""
    paragraphs = [window.paragraph for window in windows]
    path.write_text(
        json.dumps({"version": "v2.0", "data": [{"title": "sample", "paragraphs": paragraphs}]}), "utf-8"
    )


def write_model(
    folder: Path, shape: Shape, vocab: Path, *, seed: int, kind: str = "BertForQuestionAnswering"
) -> None:
    """Write a BERT model of the shape and the Transformers class with random weights, and its tokenizer."""
    import torch
    import transformers
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=len(vocab.read_text("utf-8").splitlines()),
        hidden_size=shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.intermediate,
    )
    getattr(transformers, kind)(config).save_pretrained(folder)
    (folder / "vocab.txt").write_bytes(vocab.read_bytes())
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 512}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")


def write_vectors(
    path: Path, data: Path, tokenizer: BertWordPieceTokenizer, *, n_words: int, width: int, seed: int
) -> None:
    """Write random word vectors in GloVe's text format: half of the words are the data's most frequent, half
    made up.

    Made-up words are of letters, in which Tinyreader searches; Haystack 1 searches in everything.
    """
    counts: Counter[str] = Counter()
    for article in json.loads(data.read_text("utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            text = tokenizer.normalizer.normalize_str(paragraph["context"])
            counts.update(word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text))
    words = [word for word, _ in counts.most_common(n_words // 2)]
    letters = str.maketrans("0123456789", "bcdfghjklm")
    words += [f"qx{str(number).translate(letters)}" for number in range(n_words - len(words))]
    draw = np.random.default_rng(seed)
    numbers = np.array([f"{value / 10_000:.4f}" for value in range(-9999, 10_000)], dtype=object)
    with path.open("w", encoding="utf-8") as file:
        for word in words:
            file.write(f"{word} {' '.join(numbers[draw.integers(len(numbers), size=width)])}\n")
