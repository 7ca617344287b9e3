"""How often the passage that answers is among the best k of a collection: BM25 over plain words, over
folded and stemmed ones, and fused with static word-piece vectors.

    python benchmarks/passage_recall.py DATA [DATA ...] [--encoder DIR] [--questions 3000]

DATA is SQuAD-format data; all its contexts are one collection, cut into passages. With --encoder (a BERT-like sentence
encoder, [train]) each word piece gets the encoder's mean output for that piece alone, reduced to 256 dimensions, in the way
of model2vec; a question's piece counts by its rarity times its best cosine in the passage, added to BM25's score.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
import numpy.typing as npt

from tinyreader.data import Example, load_examples
from tinyreader.documents import Document
from tinyreader.passages import passages_of, query_words, words_of

KS = (1, 5, 20, 100)
WEIGHT = 0.8  # of the vectors' score beside BM25's, both scaled to a maximum of 1
MIN_COSINE = 0.5
WIDTH = 256


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="+")
    parser.add_argument("--encoder", type=Path)
    parser.add_argument("--questions", type=int, default=3000)
    options = parser.parse_args()
    for data in options.data:
        texts, questions = collection(load_examples(data), options.questions)
        print(
            f"\n{Path(data).name}: {len(texts)} passages, {len(questions)} questions; recall at {KS}, percent"
        )
        plain = bm25(
            texts, questions, lambda text: text.casefold().split(), lambda text: text.casefold().split()
        )
        show("BM25, words in lower case", plain, questions)
        ours = bm25(texts, questions, words_of, query_words)
        show("BM25, folded and stemmed (what ask uses)", ours, questions)
        if options.encoder is not None:
            near = nearness(options.encoder, texts, [question for question, _ in questions])
            fused = [
                own / max(own.max(), 1e-9) + WEIGHT * other for own, other in zip(ours, near, strict=True)
            ]
            show("the same, fused with static vectors", fused, questions)


def collection(examples: Sequence[Example], n_questions: int) -> tuple[list[str], list[tuple[str, set[int]]]]:
    """The passages of all contexts, and questions with the numbers of the passages that hold their answer."""
    texts: list[str] = []
    held: dict[str, list[tuple[int, int, int]]] = {}
    for context in dict.fromkeys(one.context for one in examples):
        cut = list(passages_of(Document("", context)))
        held[context] = [(len(texts) + n, one.start, one.end) for n, one in enumerate(cut)]
        texts += [one.text for one in cut]
    questions = []
    for one in examples:
        gold = {n for n, a, b in held[one.context] if any(a <= x.start and x.end <= b for x in one.answers)}
        if gold:
            questions.append((one.question, gold))
    order = np.random.default_rng(0).permutation(len(questions))[:n_questions]
    return texts, [questions[n] for n in order]


def lower_words(text: str) -> list[str]:
    """The words in lower case, and nothing else done to them."""
    return re.findall(r"\w+", text.casefold())


def bm25(
    texts: Sequence[str],
    questions: Sequence[tuple[str, set[int]]],
    split: Callable[[str], list[str]],
    split_question: Callable[[str], list[str]],
) -> list[Any]:
    """The scores [passages] of each question."""
    vocabulary: dict[str, int] = {}
    ids = [[vocabulary.setdefault(word, len(vocabulary)) for word in split(text)] for text in texts]
    index = bm25s.BM25()
    index.index((ids, dict(vocabulary)), show_progress=False)
    known = (
        [vocabulary[w] for w in dict.fromkeys(split_question(q)) if w in vocabulary] for q, _ in questions
    )
    return [index.get_scores(words) if words else np.zeros(len(texts)) for words in known]


def nearness(encoder: Path, texts: Sequence[str], questions: Sequence[str]) -> list[Any]:
    """How near each passage is to each question by static vectors: rarity times best cosine, from 0 to 1."""
    import torch
    from transformers import AutoModel

    from tinyreader.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(encoder)
    size = tokenizer.get_vocab_size()
    model = AutoModel.from_pretrained(encoder).eval()
    first, last = tokenizer.encode("").ids
    rows = torch.tensor([[first, piece, last] for piece in range(size)])
    with torch.no_grad():
        parts = [model(rows[n : n + 1024]).last_hidden_state.mean(1) for n in range(0, size, 1024)]
    pieces = unit((table := torch.cat(parts).numpy()) - table.mean(0))
    pieces = unit(pieces @ np.linalg.svd(pieces, full_matrices=False)[2][:WIDTH].T)
    encode = tokenizer.encode_batch
    held = [np.unique(each.ids) for each in encode(list(texts), add_special_tokens=False)]
    counts = np.bincount(np.concatenate(held), minlength=size)
    rarity = np.log(1 + len(texts) / (counts + 0.5))
    names = {number: name for name, number in tokenizer.get_vocab().items()}
    content = np.array([query_words(names[n]) != [] and names[n].isalnum() for n in range(size)])
    scores = []
    for asked in encode(list(questions), add_special_tokens=False):
        own = np.array([piece for piece in dict.fromkeys(asked.ids) if content[piece]], dtype=np.int64)
        cosine = pieces[own] @ pieces.T
        cosine[cosine < MIN_COSINE] = 0
        best = np.stack([cosine[:, passage].max(axis=1, initial=0.0) for passage in held], axis=1)
        scores.append(rarity[own] @ best / max(rarity[own].sum(), 1e-9))
    return scores


def unit(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The rows at length 1."""
    scaled: npt.NDArray[np.float32] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return scaled


def show(name: str, scores: Sequence[Any], questions: Sequence[tuple[str, set[int]]]) -> None:
    """A line with the share of questions whose gold passage is among the best k."""
    ranks = []
    for own, (_, gold) in zip(scores, questions, strict=True):
        place = np.empty(len(own), dtype=np.int64)
        place[np.argsort(-own, kind="stable")] = np.arange(len(own))
        ranks.append(min(place[n] for n in gold))
    print(f"{name:<45}" + "".join(f"{100 * np.mean(np.array(ranks) < k):7.1f}" for k in KS))


if __name__ == "__main__":
    main()
