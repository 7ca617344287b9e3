"""Splitting by article, so that no context is on both sides."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence

from tinyreader.data.example import Example
from tinyreader.errors import DataError, SettingsError


def split_by_article(
    examples: Iterable[Example], held_out: float | int, seed: int
) -> tuple[list[Example], list[Example]]:
    """Return (train, held out), each in the order of `examples`, with no article and no context on both
    sides.

    `held_out` is a share of the questions (a float between 0 and 1) or a number of them (an int), met as
    closely as whole articles allow, with at least one article on each side. Articles that share a context stay
    together; a question without a title belongs to the article that is its context. Which articles are held
    out depends on `seed` and on what the articles are called, not on their order.
    """
    examples = list(examples)
    target = _target(held_out, len(examples))
    article_of = group_articles(examples)
    chosen = _choose(article_of, target, seed)
    train = [example for example, article in zip(examples, article_of, strict=True) if article not in chosen]
    aside = [example for example, article in zip(examples, article_of, strict=True) if article in chosen]
    return train, aside


def group_articles(examples: Sequence[Example]) -> list[str]:
    """Return for each example the name of its article: the same for all that share a title or a context.

    The name is the least of the article's titles, as `a:...`, or where it has none, the least of its
    contexts, `c:...`.
    """
    parent: dict[str, str] = {}

    def root(node: str) -> str:
        above = parent.setdefault(node, node)
        while above != node:
            parent[node] = parent[above]
            node, above = above, parent[above]
        return node

    nodes = []
    for example in examples:
        title = example.title.strip()
        nodes.append(root(f"c:{example.context}"))
        if title:
            low, high = sorted((nodes[-1], root(f"a:{title}")))
            parent[high] = low
    return [root(node) for node in nodes]


def _choose(article_of: Sequence[str], target: float, seed: int) -> set[str]:
    """Return the articles to hold out, in an order drawn from `seed`.

    First each that fits into what is left of `target`, then one more if that comes closer to it.
    """
    sizes = Counter(article_of)
    if len(sizes) < 2:
        raise DataError(f"cannot be split by article: all {len(article_of)} questions belong to one article")
    drawn = sorted(sizes, key=lambda article: _draw(article, seed))
    chosen: set[str] = set()
    missing = target
    for article in drawn:
        if sizes[article] <= missing:
            chosen.add(article)
            missing -= sizes[article]
    others = [article for article in drawn if article not in chosen]
    nearest = min(others, key=lambda article: abs(missing - sizes[article]))
    if not chosen or (abs(missing - sizes[nearest]) < missing and len(others) > 1):
        chosen.add(nearest)
    return chosen


def _draw(article: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}\n{article}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _target(held_out: float | int, n_examples: int) -> float:
    """Return the number of questions to hold out."""
    if isinstance(held_out, bool) or not isinstance(held_out, int | float):
        raise SettingsError(
            f"held_out is {held_out!r}; give a share between 0 and 1 or a number of questions"
        )
    if isinstance(held_out, float):
        if not 0 < held_out < 1:
            raise SettingsError(f"held_out is {held_out}; a share lies between 0 and 1, both excluded")
        return held_out * n_examples
    if not 0 < held_out < n_examples:
        raise SettingsError(
            f"held_out is {held_out}; give more than 0 and less than all {n_examples} questions"
        )
    return held_out
