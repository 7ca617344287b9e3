"""`passages`: whole sentences with their offsets, and those that share most with a question."""

from __future__ import annotations

import builtins
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyreader.documents import Document
from tinyreader.errors import MissingExtraError, SettingsError
from tinyreader.passages import Passage, PassageIndex, joined, passages_of, query_words, words_of

TEXTS = st.text(alphabet=st.sampled_from("ab c.。\n\nA \té"), max_size=400)


@given(TEXTS, st.integers(2, 60), st.integers(0, 30))
def test_passages_cover_the_document(text: str, size: int, overlap: int) -> None:
    """Whatever the text: none is too long, none empty, they move on, and only white space stands in no
    passage.
    """
    overlap = min(overlap, size - 1)
    passages = list(passages_of(Document("d", text), size, overlap))
    covered = [False] * len(text)
    for passage in passages:
        assert 0 < passage.end - passage.start <= size
        assert passage.text == text[passage.start : passage.end]
        assert not passage.text[0].isspace()
        covered[passage.start : passage.end] = [True] * (passage.end - passage.start)
    assert all(is_covered or sign.isspace() for is_covered, sign in zip(covered, text, strict=True))
    assert all(a.start < b.start and a.end < b.end for a, b in pairwise(passages))


def test_short_paragraphs_stay_together() -> None:
    """Neighbours are joined up to the size, and a passage ends where a paragraph does if it can."""
    paragraphs = [f"Paragraph {n} has some words." for n in range(8)]
    passages = [p.text for p in passages_of(Document("d", "\n\n".join(paragraphs)), 100, 0)]
    assert passages == ["\n\n".join(paragraphs[n : n + 3]) for n in (0, 3, 6)]


def test_sentences_are_not_cut() -> None:
    """A long paragraph is cut between sentences, and each passage begins with the last one of the passage
    before.
    """
    sentences = [f"Sentence number {n} was written by Dr. Ada No. {n}." for n in range(30)]
    passages = [p.text for p in passages_of(Document("d", " ".join(sentences)), 300, 60)]
    assert len(passages) > 4
    assert all(any(sentence in passage for passage in passages) for sentence in sentences)
    assert all(passage.startswith("Sentence") or passage[0].isupper() for passage in passages)
    assert all(later[:20] in earlier for earlier, later in pairwise(passages))


def test_a_sentence_without_end_is_read_in_overlapping_parts() -> None:
    """Its words stay whole, and neighbours of any place are together in one passage."""
    text = " ".join(f"word{n}" for n in range(400))
    passages = list(passages_of(Document("d", text), 200, 50))
    for n in range(399):
        assert any(f"word{n} word{n + 1}" in passage.text for passage in passages)


def test_the_best_passages_share_words_with_the_question() -> None:
    """The passage with the rare words comes first, ranks hold across documents, and more are filled up in
    order.
    """
    documents = [Document(str(n), f"The bridge number {n} is long. " * 30) for n in range(5)]
    documents.insert(3, Document("gold", "The observatory was opened by Queen Astrid."))
    index = PassageIndex(documents)
    assert index.best("Who opened the OBSERVATORY?", 1)[0].document.id == "gold"
    assert index.best("zzz", 2) == index.passages[:2]
    assert index.best("observatory", 10_000) == index.passages
    assert len(index.best("observatory", 3)) == 3
    assert index.best("the", 4) == index.best("the", 4)
    with pytest.raises(SettingsError, match="passages is 0"):
        index.best("a", 0)
    assert PassageIndex([Document("empty", " "), Document("", "")]).best("a", 3) == []
    assert [p.text for p in PassageIndex([Document("signs", "?!")]).best("a", 3)] == ["?!"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Straße, 12 m", ["strass", "12", "m"]),
        ("北京 city", ["北", "京", "citi"]),
        ("Zoe\u0308 caf\u00e9", ["zoe", "cafe"]),
        ("co\u00adoperate o\u200bffice ﬁnal", ["cooper", "offic", "final"]),
        ("the dogs' leads", ["the", "dog", "lead"]),
        ("हिंदी", ["हिंदी"]),
    ],
)
def test_words_are_folded_and_stemmed(text: str, words: list[str]) -> None:
    """Case, European marks, compatibility forms and invisible characters do not matter; other scripts keep theirs."""
    assert words_of(text) == words


def test_a_question_is_its_words_of_content() -> None:
    """Words of grammar are left out, and each word counts once; a question of nothing else keeps them."""
    assert query_words("When do the dogs eat, and what does a dog eat?") == ["dog", "eat"]
    assert query_words("Who is it?") == ["who", "is", "it"]


def test_passages_that_touch_become_one() -> None:
    """What overlaps or has only white space between is joined, apart for each document and in its order."""
    one, other = Document("1", "abcd  efgh"), Document("2", "abcd  efgh")
    picked = [
        Passage(other, 0, 2),
        Passage(one, 6, 9),
        Passage(one, 0, 4),
        Passage(one, 8, 10),
        Passage(other, 3, 4),
    ]
    assert joined(picked) == [Passage(other, 0, 2), Passage(other, 3, 4), Passage(one, 0, 10)]
    assert joined([]) == []


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its library, picking is an error that says what to install."""
    honest = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name == "bm25s":
            raise ImportError(name)
        return honest(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r'picking passages needs packages.*tinyreader\[search\]"'):
        PassageIndex([])


def test_senseless_sizes_are_refused() -> None:
    """An overlap as long as the passage would never move on."""
    with pytest.raises(SettingsError, match="overlap is 10 with passages of 10"):
        list(passages_of(Document("d", "a"), 10, 10))
