"""A small invented encyclopaedia to learn from without any download, and a tokenizer for it."""
from __future__ import annotations
from dataclasses import dataclass
from random import Random
from tinyreader.data.example import Answer, Example
from tinyreader.sample.articles import Article, written
from tinyreader.sample.kinds import kinds
from tinyreader.sample.names import Names, divided_names

@dataclass(frozen=True, slots=True)
class Encyclopaedia:
    train: tuple[Example, ...]
    held_out: tuple[Example, ...]

def encyclopaedia(n_articles: int = 3000, n_held_out: int = 150, seed: int = 0) -> Encyclopaedia:
    rng = Random(seed)
    tn, hn = divided_names(rng, 0.15)
    return Encyclopaedia(_side("train", n_articles, tn, rng), _side("held-out", n_held_out, hn, rng))

def _side(side, n, names, rng):
    out=[]; taken=set(); ks=kinds()
    for i in range(n):
        a = written(ks[i % len(ks)], names, rng, taken)
        for j,(q,ans) in enumerate(a.questions):
            out.append(Example(id=f"{side}-{i:05d}-{j}", question=q, context=a.text, answers=(ans,) if ans else (), title=a.title))
    return tuple(out)
