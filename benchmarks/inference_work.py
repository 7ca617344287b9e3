"""What every side of inference.py works on: a reader's directory, question-context pairs, a long document,
many short ones.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from workload import Shape, make_tokenizer, questions, write_model

Pair = tuple[str, str]

PAGE_WORDS = 450


@dataclass(frozen=True, slots=True)
class Work:
    """Questions with their contexts, asked in bulk, and others that come one at a time; a question with a
    long text and with many texts.
    """

    pairs: tuple[Pair, ...]
    singles: tuple[Pair, ...]
    question: str
    book: str
    documents: tuple[str, ...]

    @property
    def n_pages(self) -> float:
        """Pages of the long text."""
        return len(self.book.split()) / PAGE_WORDS


def make_work(data: Path, *, n_pairs: int, n_singles: int, n_pages: int, n_documents: int, seed: int) -> Work:
    """A seeded sample of the file's questions; its paragraphs, in their order, make the long text and the
    many texts.

    A file with fewer paragraphs than are needed is gone through again. Questions of no words are left out: no
    peer takes them.
    """
    asked = [
        (question["question"], context)
        for question, context in questions(data)
        if question["question"].strip()
    ]
    paragraphs = list(dict.fromkeys(context for _, context in asked))
    order = random.Random(seed)
    if len(asked) < n_pairs + n_singles:
        raise SystemExit(
            f"{data} has {len(asked)} questions, which is too few: give --pairs {len(asked) - n_singles} at "
            "most"
        )
    sample = order.sample(asked, n_pairs + n_singles)
    book: list[str] = []
    n_words = 0
    while n_words < n_pages * PAGE_WORDS:
        book.append(paragraphs[len(book) % len(paragraphs)])
        n_words += len(book[-1].split())
    documents = [paragraphs[number % len(paragraphs)] for number in range(n_documents)]
    return Work(
        tuple(sample[:n_pairs]),
        tuple(sample[n_pairs:]),
        order.choice(asked)[0],
        "\n\n".join(book),
        tuple(documents),
    )


def write_sample(path: Path) -> None:
    """Write the embedded sample's held-out articles as a SQuAD file: data for machines that have none."""
    from tinyreader.data.write import write_squad
    from tinyreader.sample import encyclopaedia

    write_squad(encyclopaedia(n_articles=1, n_held_out=400).held_out, path)


def random_reader(directory: Path, shape: Shape, data: Path, *, seed: int) -> Path:
    """The directory with a BERT reader of the shape, written once: random weights, a vocabulary learned from
    the data.

    Weights are drawn so that it behaves like a trained one as far as speed and rounding go: biases and the
    scales of norms differ, attention has its favourites, and logits are spread over several units.
    """
    if not (directory / "model.safetensors").exists():
        partial = directory.with_name(f"{directory.name}.{os.getpid()}")
        partial.mkdir(parents=True)
        make_tokenizer(partial, data, None)
        write_model(partial, shape, partial / "vocab.txt", seed=seed)
        enliven(partial / "model.safetensors", seed)
        shutil.rmtree(directory, ignore_errors=True)
        partial.rename(directory)
    return directory


def enliven(path: Path, seed: int) -> None:
    """Redraws, in the file, what a fresh model has at 0 or 1, and widens embeddings, queries, keys and the
    answer head.
    """
    from safetensors.numpy import load_file, save_file

    draw = np.random.default_rng(seed)
    weights = load_file(path)
    for name, values in weights.items():
        noise = draw.standard_normal(values.shape, np.float32)
        if "LayerNorm.weight" in name:
            weights[name] = 1 + np.float32(0.1) * noise
        elif name.endswith("bias"):
            weights[name] = np.float32(0.05) * noise
        elif any(part in name for part in ("word_embeddings", ".query.", ".key.", "qa_outputs")):
            weights[name] = values * np.float32(4 if "qa_outputs" in name else 2)
    save_file(weights, path, metadata={"format": "pt"})


def shape_of(model: Path) -> Shape:
    """The shape of a BERT-like model, for counting its arithmetic; its feed-forward layers are four widths
    wide.
    """
    config: dict[str, Any] = json.loads((model / "config.json").read_text("utf-8"))
    shape = Shape(config["num_hidden_layers"], config["hidden_size"])
    if config.get("intermediate_size") != shape.intermediate:
        raise SystemExit(
            f"{model}: its arithmetic is not counted here (intermediate_size is not 4 x hidden_size)"
        )
    return shape


def window_lengths(model: Path, pairs: tuple[Pair, ...]) -> list[int]:
    """The tokens of each window that the pairs make, without padding."""
    from tinyreader.data import Example
    from tinyreader.tokenizer import load_tokenizer
    from tinyreader.windows import Windower

    examples = [Example(str(number), question, context) for number, (question, context) in enumerate(pairs)]
    return [len(window) for window in Windower(load_tokenizer(model)).windows(examples)]
