"""The invented encyclopaedia: generated the same each time, honest about its answers, fair to the held-out
side.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from dataclasses import asdict, replace
from random import Random

import pytest

from tinyreader.data import Example
from tinyreader.errors import SettingsError
from tinyreader.sample import MINUTES, SHOWCASE, Encyclopaedia, encyclopaedia, minutes
from tinyreader.sample.articles import written
from tinyreader.sample.book import HELD_OUT_NAMES
from tinyreader.sample.kinds import Fact, Kind, kinds
from tinyreader.sample.names import RESERVED, divided_names

FIELD = re.compile(r"\{(\w+)\}")
MENTIONS = {"S", "s", "o", "p", "P"}
FACTS = [
    pytest.param(fact, id=f"{kind.noun}-{next(iter(fact.slots))}") for kind in kinds() for fact in kind.facts
]


@pytest.fixture(scope="module")
def book() -> Encyclopaedia:
    """An encyclopaedia a fifth as large as the quick start's."""
    return encyclopaedia(n_articles=600, n_held_out=110)


def both_sides(book: Encyclopaedia) -> tuple[Example, ...]:
    """All its examples."""
    return book.train + book.held_out


def words_in(examples: tuple[Example, ...]) -> set[str]:
    """Every word of their paragraphs and questions."""
    return {
        word for example in examples for word in re.findall(r"\w+", f"{example.context} {example.question}")
    }


def test_same_arguments_give_the_same_encyclopaedia(book: Encyclopaedia) -> None:
    """Two calls agree to the letter; another seed tells of other things."""
    assert encyclopaedia(n_articles=600, n_held_out=110) == book
    other = encyclopaedia(n_articles=600, n_held_out=110, seed=1)
    assert not {example.context for example in other.train} & {example.context for example in book.train}


def test_generation_does_not_depend_on_the_process(book: Encyclopaedia) -> None:
    """Another interpreter with another hash seed writes the same articles."""
    code = (
        "from tinyreader.sample import encyclopaedia\n"
        "book = encyclopaedia(n_articles=600, n_held_out=110)\n"
        "print(repr([example.context for example in book.held_out]))\n"
    )
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert printed.strip() == repr([example.context for example in book.held_out])


def test_answers_stand_where_they_are_marked_and_nowhere_else(book: Encyclopaedia) -> None:
    """Each offset points at its text, which the paragraph holds once as whole words."""
    for example in both_sides(book):
        for answer in example.answers:
            assert example.context[answer.start : answer.end] == answer.text
            found = re.findall(rf"\b{re.escape(answer.text)}\b", example.context)
            assert len(found) == 1, f"{answer.text!r} in {example.context!r}"


def test_names_are_in_one_pool_only() -> None:
    """But for given names, none is on both sides; none stands for two kinds of thing or is one of the
    showcase.
    """
    train, held_out = (asdict(side) for side in divided_names(Random(3), 0.2))
    assert all(held_out.pop(given) == train[given] for given in ("women", "men"))
    pools = [*train.values(), *held_out.values()]
    assert all(pools)
    counts = Counter(name for pool in pools for name in pool)
    assert max(counts.values()) == 1
    assert not RESERVED & counts.keys()


def test_held_out_articles_share_no_name_and_no_paragraph_with_training(book: Encyclopaedia) -> None:
    """No surname, place, river, ship or book title that held-out articles may use is known from training."""
    assert not {example.context for example in book.train} & {example.context for example in book.held_out}
    assert not {example.title for example in book.train} & {example.title for example in book.held_out}
    _, names = divided_names(Random(0), HELD_OUT_NAMES)
    known, text = words_in(book.train), "\n".join(example.context for example in book.train)
    pools = {pool: values for pool, values in asdict(names).items() if pool not in ("women", "men")}
    for name in (name for values in pools.values() for name in values):
        assert name not in known if " " not in name else name not in text, name
    used = words_in(book.held_out)
    assert sum(name in used for name in names.places) > 50, (
        "the pool checked here should be the one that was used"
    )


def test_the_showcase_is_held_out_too(book: Encyclopaedia) -> None:
    """Its first question has an answer, its second has none, and no article has one of its names."""
    answerable, impossible = SHOWCASE
    assert answerable.context == impossible.context
    (answer,) = answerable.answers
    assert answer.text == answerable.context[answer.start : answer.end] == "Tamine Fenavane"
    assert impossible.is_impossible
    assert words_in(SHOWCASE) >= RESERVED
    assert not RESERVED & words_in(both_sides(book))


def test_about_a_third_of_the_questions_has_no_answer(book: Encyclopaedia) -> None:
    """On both sides, and no article is without such a question or has only such."""
    for side in (book.train, book.held_out):
        assert 0.25 <= sum(example.is_impossible for example in side) / len(side) <= 0.4
        by_article = Counter((example.title, example.is_impossible) for example in side)
        assert all(by_article[example.title, True] and by_article[example.title, False] for example in side)


def test_names_that_run_out_are_an_error() -> None:
    """An encyclopaedia that needs more names than there are says so, and does not look for them for ever."""
    (kind,) = (kind for kind in kinds() if kind.noun == "observatory")
    names = replace(divided_names(Random(0), 0.5)[0], places=("Tamholm",), surnames=("Venlow",))
    taken = {"the Tamholm Observatory", "the Venlow Observatory"}
    with pytest.raises(SettingsError, match="observatory"):
        written(kind, names, Random(0), taken)


def test_ids_are_unique(book: Encyclopaedia) -> None:
    """Over both sides and the showcase."""
    ids = [example.id for example in (*both_sides(book), *SHOWCASE)]
    assert len(set(ids)) == len(ids)


def test_paragraphs_and_questions_are_proper_sentences(book: Encyclopaedia) -> None:
    """No field is left, each sentence begins with a capital and ends once, no space is doubled or lost."""
    for example in (*both_sides(book), *SHOWCASE):
        for text in (example.context, example.question):
            assert not re.search(r"[{}_]|  |\.\.|,,| [,.?]|^\s|\s$", text), text
            assert re.fullmatch(r"[A-Z]", text[0]), text
        assert all(start.isupper() for start in re.findall(r"\. (.)", example.context)), example.context
        assert example.context.endswith(".")
        assert example.question.endswith("?")
        assert not re.search(r"\b[Aa] [aeiou]", example.context), example.context


def test_paragraphs_are_short_and_hold_more_than_the_answer(book: Encyclopaedia) -> None:
    """Three to six sentences; in a good part of them "when" alone does not tell which year is meant."""
    n_dated = n_with_other = 0
    for example in both_sides(book):
        assert 3 <= len(example.context.split(". ")) <= 6
        years = set(re.findall(r"\b\d{4}\b", example.context))
        n_dated += any(answer.text in years for answer in example.answers)
        n_with_other += len(years) > 1 and any(answer.text in years for answer in example.answers)
    assert n_with_other > n_dated / 5


@pytest.mark.parametrize("fact", FACTS)
def test_a_fact_states_and_asks_for_each_of_its_slots(fact: Fact) -> None:
    """Every sentence has all slots and no unknown field, every question names the subject and no value."""
    for sentence in fact.say:
        found = FIELD.findall(sentence)
        assert set(found) - MENTIONS == set(fact.slots), sentence
        assert len(found) == len(set(found)) or fact.lead is False, sentence
    assert set(fact.ask) == set(fact.slots)
    for questions in fact.ask.values():
        assert len(set(questions)) == len(questions) >= 2
        assert all(FIELD.findall(question) == ["q"] for question in questions)


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.noun)
def test_a_kind_has_one_lead_and_names_its_slots_apart(kind: Kind) -> None:
    """The lead names its subject first in each sentence, and no two facts of a kind have a slot of the same
    name.
    """
    assert sum(fact.lead for fact in kind.facts) == 1
    assert all(sentence.startswith("{S}") for sentence in kind.lead.say)
    slots = [slot for fact in kind.facts for slot in fact.slots]
    assert len(set(slots)) == len(slots)


def test_answers_of_the_minutes_stand_at_their_places() -> None:
    """Each gold answer is found where it is marked; one question has none."""
    for example in minutes():
        assert example.context == MINUTES
        for answer in example.answers:
            assert MINUTES[answer.start : answer.end] == answer.text
    assert [example.is_impossible for example in minutes()].count(True) == 1
