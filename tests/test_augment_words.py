"""`augment.words` and `augment.candidates`: what may be replaced, and by what."""

from __future__ import annotations

import pytest

from tinyreader.augment.proposer import AugmentOptions
from tinyreader.augment.words import (
    carry_case,
    clean,
    find_places,
    find_words,
    function_words,
    is_word,
    may_replace,
)
from tinyreader.data import Answer, Example
from tinyreader.errors import SettingsError

ANYTHING = AugmentOptions(replace_question_words=True, replace_digits=True)


def words_of(text: str) -> list[str]:
    """The words that are found in `text`."""
    return [text[start:end] for start, end in find_words(text)]


def replaceable(examples: list[Example], options: AugmentOptions = ANYTHING) -> list[str]:
    """The words of the examples' context that may be replaced."""
    return [examples[0].context[a:b] for a, b in find_places(examples, options).replaceable]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" \t\n…—!", []),
        ("Beyoncé's well-known song, isn’t it?", ["Beyoncé", "well", "known", "song", "isn’t", "it"]),
        ("THE DOGS' (1990s) snake_case", ["THE", "DOGS", "1990s", "snake", "case"]),
        ("e\u0301tude 🙂🎉 नमस्ते 東京 مرحبا", ["e\u0301tude", "नमस्ते", "東京", "مرحبا"]),
        ("O'Neill rock'n'roll 'quoted'", ["O'Neill", "rock'n'roll", "quoted"]),
    ],
)
def test_words_are_letters_with_what_belongs_to_them(text: str, words: list[str]) -> None:
    """Marks and inner apostrophes belong to a word; a genitive's 's, hyphens, underscores and emoji do
    not.
    """
    assert words_of(text) == words


def test_words_in_answers_stay() -> None:
    """Neither a word inside an answer or a plausible answer is replaced nor one that it touches, for any
    question.
    """
    text = "Ada Lovelace wrote the first program in 1843s style."
    examples = [
        Example("a", "q", text, answers=(Answer("Lovelace", 4), Answer("Ada Lovelace", 0))),
        Example("b", "q", text, plausible_answers=(Answer("1843", text.index("1843")),)),
    ]
    assert replaceable(examples) == ["wrote", "the", "first", "program", "in", "style"]


def test_words_in_answers_go_by_choice() -> None:
    """With replace_answers only words that an answer begins or ends within stay."""
    text = "Ada Lovelace wrote it in 1843s style."
    examples = [
        Example("a", "q", text, answers=(Answer("Ada Lovelace", 0), Answer("1843", text.index("1843"))))
    ]
    options = AugmentOptions(replace_answers=True, replace_question_words=True, replace_digits=True)
    assert replaceable(examples, options) == ["Ada", "Lovelace", "wrote", "it", "in", "style"]


def test_words_of_questions_digits_and_stop_words_stay_as_told() -> None:
    """Words that a question shares and words with digits stay unless told otherwise; stop words go unless
    told to stay.
    """
    examples = [Example("a", "Who BUILT what?", "In 1911 they built the 2nd bridge.")]
    assert replaceable(examples, AugmentOptions()) == ["In", "they", "the", "bridge"]
    assert replaceable(examples, AugmentOptions(keep_stop_words=True)) == ["bridge"]
    assert replaceable(examples) == ["In", "1911", "they", "built", "the", "2nd", "bridge"]


def test_very_long_words_stay() -> None:
    """What is longer than any word is none that a model could know."""
    assert replaceable([Example("a", "q", f"the {'x' * 61} it {'y' * 60}")]) == ["the", "it", "y" * 60]


def test_negation_and_lone_letters_stay() -> None:
    """Negation, grammar without a like and letters that are names are never replaced; one-letter words
    are.
    """
    told = [Example("a", "q", "I do not take vitamin C without a doctor of such sort.")]
    assert replaceable(told) == ["I", "do", "take", "vitamin", "a", "doctor", "sort"]


def test_parts_of_compounds_stay() -> None:
    """A word that a hyphen joins to another stays; a dash between words, or a hyphen at the end of one, joins
    nothing.
    """
    told = [Example("a", "q", "Port-au-Prince has low- and mid\u2010power ports - seven – eight—nine.")]
    assert replaceable(told) == ["has", "low", "and", "ports", "seven", "eight", "nine"]


def test_words_of_grammar_are_words() -> None:
    """The list is read as written: kinds of small words, each of them one word."""
    assert {"the", "of", "not"} <= function_words().keys()
    assert all(word == word.casefold() and words_of(word) == [word] for word in function_words())
    assert function_words()["her"] == {"determiner", "plural-determiner", "object"}


@pytest.mark.parametrize(
    ("word", "proposal", "may"),
    [
        ("bridge", "tunnel", True),
        ("on", "in", True),
        ("On", "was", False),
        ("on", "tunnel", False),
        ("bridge", "on", False),
        ("of", "on", False),
        ("is", "was", True),
        ("is", "are", False),
        ("her", "him", True),
        ("her", "their", True),
        ("never", "not", False),
        ("with", "without", False),
        ("no", "some", False),
        ("fluss", "berg", True),
    ],
)
def test_grammar_stands_for_grammar_of_its_kind(word: str, proposal: str, may: bool) -> None:
    """A word of content may be any other; a word of grammar only one that does the same; negation none."""
    assert may_replace(word, proposal) is may


def test_articles_go_with_what_follows() -> None:
    """After "a" and "an" only words that sound right are candidates, and the one never stands for the
    other.
    """
    assert clean("bridge", ["arch", "tunnel", "inn"], 5, before="A") == ("tunnel",)
    assert clean("arch", ["inn", "tunnel"], 5, before="an") == ("inn",)
    assert clean("a", ["an", "the", "A", "this"], 5) == ("the", "this")


def test_the_words_beside_it_are_no_candidates() -> None:
    """A copy does not say a word twice in a row."""
    assert clean("zone", ["climate", "Region", "area"], 5, before="Climate", after="region") == ("area",)


@pytest.mark.parametrize(
    ("word", "replacement", "result"),
    [
        ("bridge", "tunnel", "tunnel"),
        ("bridge", "London", "London"),
        ("Bridge", "tunnel", "Tunnel"),
        ("BRIDGE", "tunnel", "TUNNEL"),
        ("I", "we", "We"),
        ("iPhone", "nokia", "nokia"),
        ("Éclair", "überall", "Überall"),
        ("東京", "tunnel", "tunnel"),
    ],
)
def test_the_case_of_the_word_is_carried_over(word: str, replacement: str, result: str) -> None:
    """A capital first and all capitals are kept; otherwise the replacement stays as it came."""
    assert carry_case(word, replacement) == result


def test_candidates_are_other_words_each_once() -> None:
    """The word itself, repetitions in another case and what is no word are left out; the best come first, up
    to the limit.
    """
    proposals = ["Bridge", "tunnel", "TUNNEL", "##s", "12", "", "-", "via-duct", "o'", "road", "path"]
    assert clean("BRIDGE", proposals, 3) == ("TUNNEL", "VIA-DUCT", "ROAD")
    assert not is_word("12th")


@pytest.mark.parametrize(
    "wrong", [{"times": 0}, {"candidates": 0}, {"probability": 0.0}, {"probability": 1.1}, {"seed": -1}]
)
def test_settings_without_sense_are_refused(wrong: dict[str, float]) -> None:
    """A value that could do nothing or fail later is named at once."""
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        AugmentOptions(**wrong)  # type: ignore[arg-type]
