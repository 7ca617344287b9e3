"""Splitting by article."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_samples import example_lists
from tinyreader.data import Example, split_by_article
from tinyreader.data.split import group_articles
from tinyreader.errors import DataError, SettingsError


def articles(*sizes: int) -> list[Example]:
    """Return examples of articles with so many questions each, two to a context."""
    return [
        Example(f"{title}-{n}", "Why?", f"context {title}-{n // 2}", title=f"title {title}")
        for title, size in enumerate(sizes)
        for n in range(size)
    ]


def contexts(examples: Sequence[Example]) -> set[str]:
    """Return the contexts."""
    return {example.context for example in examples}


def titles(examples: Sequence[Example]) -> set[str]:
    """Return the titles that are not empty."""
    return {example.title for example in examples if example.title.strip()}


def two_articles() -> st.SearchStrategy[list[Example]]:
    """Examples of two articles or more: those that were drawn, and one of an article of its own (filtering
    would drop most).
    """
    own = Example("an id of its own", "Why?", "a context of its own", title="a title of its own")
    return example_lists(min_size=1).map(lambda examples: [*examples, own])


@given(examples=two_articles(), share=st.floats(0.01, 0.99), seed=st.integers(0, 3))
@settings(max_examples=80, deadline=None)
def test_nothing_is_on_both_sides(examples: list[Example], share: float, seed: int) -> None:
    """No context and no title is on both sides, nothing is lost, neither side is empty, the order stays."""
    assert len(set(group_articles(examples))) > 1
    train, held_out = split_by_article(examples, share, seed)
    assert train
    assert held_out
    assert not contexts(train) & contexts(held_out)
    assert not titles(train) & titles(held_out)
    place = {example.id: n for n, example in enumerate(examples)}
    assert sorted([*train, *held_out], key=lambda each: place[each.id]) == examples
    for part in (train, held_out):
        assert part == sorted(part, key=lambda each: place[each.id])


@given(examples=two_articles(), seed=st.integers(0, 3), order=st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_the_order_of_the_data_plays_no_part(
    examples: list[Example], seed: int, order: random.Random
) -> None:
    """The same articles are held out however the examples are shuffled."""
    assert len(set(group_articles(examples))) > 1
    shuffled = order.sample(examples, len(examples))
    _, first = split_by_article(examples, 0.3, seed)
    _, second = split_by_article(shuffled, 0.3, seed)
    assert {example.id for example in first} == {example.id for example in second}


def test_the_seed_draws() -> None:
    """One seed gives one split, other seeds give others."""
    examples = articles(*[4] * 20)
    assert split_by_article(examples, 0.2, 1) == split_by_article(examples, 0.2, 1)
    assert len({tuple(split_by_article(examples, 0.2, seed)[1]) for seed in range(10)}) > 5


@pytest.mark.parametrize(("held_out", "expected"), [(0.1, 10), (0.25, 25), (10, 10), (1, 1), (99, 99)])
def test_the_amount_is_met(held_out: float, expected: int) -> None:
    """With small articles the share or the number of questions is met exactly."""
    assert len(split_by_article(articles(*[1] * 100), held_out, 5)[1]) == expected


def test_the_amount_is_met_as_nearly_as_whole_articles_allow() -> None:
    """A large article is passed over when it would overshoot by more than leaving it out falls short."""
    for seed in range(10):
        assert len(split_by_article(articles(90, 5, 5), 0.1, seed)[1]) == 10
        assert len(split_by_article(articles(50, 40), 0.01, seed)[1]) == 40


def test_articles_that_share_a_context_stay_together() -> None:
    """Two titles over one context are one article, also through a third."""
    examples = [
        Example("1", "q", "x", title="A"),
        Example("2", "q", "x", title="B"),
        Example("3", "q", "y", title="B"),
        Example("4", "q", "y"),
        Example("5", "q", "z"),
        Example("6", "q", "z", title="  "),
    ]
    groups = group_articles(examples)
    assert groups == ["a:A"] * 4 + ["c:z"] * 2


def test_without_titles_the_context_is_the_article() -> None:
    """Questions without a title do not all belong together."""
    examples = [Example(str(n), "q", f"context {n // 3}") for n in range(30)]
    train, held_out = split_by_article(examples, 0.2, 0)
    assert (len(train), len(held_out)) == (24, 6)


def test_one_article_cannot_be_split() -> None:
    """With one article only there is nothing to hold out."""
    with pytest.raises(DataError, match="all 8 questions belong to one article"):
        split_by_article(articles(8), 0.5, 0)


@pytest.mark.parametrize("held_out", [0, 0.0, 1.0, -0.1, 1.5, 8, -1, float("nan"), True, "0.1"])
def test_an_amount_that_makes_no_sense(held_out: float) -> None:
    """Shares lie between 0 and 1, numbers between 1 and less than all."""
    with pytest.raises(SettingsError, match="held_out is"):
        split_by_article(articles(4, 4), held_out, 0)
