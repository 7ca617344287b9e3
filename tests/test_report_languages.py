"""`report.languages`: answers compared in their language, and what a question asks with."""

from __future__ import annotations

import pytest

from tinyreader.errors import SettingsError
from tinyreader.metrics import normalise_answer
from tinyreader.report.languages import LANGUAGES, language_of, normalisations, normalise, question_word


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("de", "Die „große“ Mühle des Müllers", "große mühle müllers"),
        ("fr", "L'église, et l’École des Arts", "église et école arts"),
        ("es", "¡La Torre de los Ríos!", "torre de ríos"),
        ("it", "l'Arno e un'isola; gli archi", "arno e isola archi"),
        ("nl", "Het huis van de koning.", "huis van koning"),
        ("pt", "Os rios e uma «ponte»", "rios e ponte"),
        ("en", "The “Old” Mill – a place", "old mill place"),
        ("none", "The mill, le moulin", "the mill le moulin"),
        ("none", "cafe\u0301", "caf\u00e9"),
    ],
)
def test_articles_and_punctuation_of_a_language_do_not_count(name: str, text: str, expected: str) -> None:
    """Lower case, without the language's articles and without Unicode's punctuation, letters composed."""
    assert normalise(text, name) == expected


def test_the_default_is_the_official_rule() -> None:
    """squad-en is what the official script does, with its own notion of punctuation."""
    for text in ("The “Old” Mill", "a  b\tc", "an apple.", "die Mühle"):
        assert normalise(text, "squad-en") == normalise_answer(text)


def test_an_unknown_language_names_the_known_ones() -> None:
    """An unknown name is refused with all that there are."""
    with pytest.raises(SettingsError, match="squad-en, en, de, fr, es, it, nl, pt, none"):
        language_of("klingon")
    assert all(language_of(name).question_words for name in normalisations())


@pytest.mark.parametrize(
    ("name", "question", "word"),
    [
        ("en", "How many locks are there?", "how many"),
        ("en", "How much did it cost?", "how many"),
        ("en", "How did it open?", "how"),
        ("en", "In which year, and who said what?", "which"),
        ("en", "To whom was it sold?", "who"),
        ("en", "Is it old?", "other"),
        ("en", "?", "other"),
        ("de", "Wie viele Schleusen?", "wie viele"),
        ("de", "Wie hoch?", "wie"),
        ("de", "Wohin fährt sie?", "wo"),
        ("fr", "Où est le moulin ?", "où"),
        ("fr", "Qu'est-ce ?", "que"),
        ("es", "¿Por qué?", "por qué"),
        ("pt", "Por que não?", "por que"),
        ("it", "Che cosa?", "che"),
        ("nl", "Hoeveel?", "hoeveel"),
    ],
)
def test_the_first_question_word_counts(name: str, question: str, word: str) -> None:
    """The first word that asks names the group; two-word phrases stand before their parts."""
    assert question_word(question, LANGUAGES[name]) == word
