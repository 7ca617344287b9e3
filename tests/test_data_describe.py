"""Counts and lengths."""

from __future__ import annotations

import json
from array import array

import pytest

from data_samples import EXAMPLES, FERRY, MILL, SHARED_DATA
from tinyreader.data import Example, Quantiles, fingerprint, load_examples, stats

DEV = SHARED_DATA / "squad2-dev-a.json"


def test_counts() -> None:
    """Questions, articles, paragraphs and answers are counted, lengths are in code points and words."""
    facts = stats(iter(EXAMPLES))
    assert (facts.n_questions, facts.n_answerable, facts.n_impossible) == (3, 2, 1)
    assert (facts.n_articles, facts.n_paragraphs, facts.n_with_plausible) == (2, 2, 1)
    assert facts.fingerprint == fingerprint(EXAMPLES)
    assert (facts.context_chars.least, facts.context_chars.most) == (len(FERRY), len(MILL))
    assert facts.context_words.most == 19
    assert facts.answers_per_question == Quantiles(1.5, 1, 1, 1, 2, 2)
    assert facts.answer_words == Quantiles(1.67, 1, 1, 2, 2, 2)
    assert json.loads(json.dumps(facts.as_dict()))["question_words"]["median"] == 4


def test_untitled_contexts_are_articles() -> None:
    """Without titles each context counts as an article."""
    assert stats([Example("1", "q", "x"), Example("2", "q", "x"), Example("3", "q", "y")]).n_articles == 2


def test_nothing() -> None:
    """No examples give zeros."""
    facts = stats([])
    assert (facts.n_questions, facts.n_articles, facts.context_chars) == (0, 0, Quantiles())


def test_quantiles_are_values_that_occur() -> None:
    """Of 0 to 100, the 5 % quantile is 5."""
    assert Quantiles.of(array("q", range(100, -1, -1))) == Quantiles(50.0, 0, 5, 50, 95, 100)


@pytest.mark.skipif(not DEV.exists(), reason="../shared/data/squad2-dev-a.json is not here")
def test_real_data() -> None:
    """The development half of SQuAD 2.0 has the numbers its description gives."""
    facts = stats(load_examples(DEV))
    assert (facts.n_articles, facts.n_questions) == (18, 5404)
    assert round(facts.n_impossible / facts.n_questions, 3) == 0.482
