"""`augment.paragraphs` and `augment.rewrite`: copies that keep their answers, and what is counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyreader.augment.paragraphs import CHUNK, AugmentReport, augment, marked, paragraphs_of, prepare
from tinyreader.augment.proposer import AugmentOptions, Passage
from tinyreader.augment.words import find_words
from tinyreader.data import Answer, Example, load_examples
from tinyreader.errors import DataError, SettingsError

TEXT = "The old Bridge, built in 1911, crosses a WIDE river; 'few' people know it.\n\n Its height is 40 m 🙂."
EXAMPLE = Example(
    "x", "When was it made?", TEXT, answers=(Answer("1911", TEXT.index("1911")),), title="Bridges"
)
NOBODY = Example(
    "y", "Who paid?", TEXT, plausible_answers=(Answer("few' people", TEXT.index("few")),), title="Bridges"
)


def alphabet(passages: Sequence[Passage]) -> list[list[list[str]]]:
    """Proposals that tell what they replace: the word with a letter or a few after it."""
    return [[[word + "x" * n for n in range(1, 6)] for word in passage.words] for passage in passages]


def nobody(passages: Sequence[Passage]) -> list[list[list[str]]]:
    """No proposal at all."""
    return [[[] for _ in passage.places] for passage in passages]


def test_answers_stand_where_they_are_said_to_stand() -> None:
    """Each copy has both questions, its answers word for word at their new places, and ids that tell the
    origin.
    """
    copies = list(augment([EXAMPLE, NOBODY], [alphabet], AugmentOptions(times=3)))
    assert [c.id for c in copies] == ["x#aug1", "y#aug1", "x#aug2", "y#aug2", "x#aug3", "y#aug3"]
    for copy, original in zip(copies, [EXAMPLE, NOBODY] * 3, strict=True):
        assert copy.context != TEXT
        assert (copy.question, copy.title, copy.is_impossible) == (
            original.question,
            original.title,
            original.is_impossible,
        )
        for now, before in zip(
            (*copy.answers, *copy.plausible_answers),
            (*original.answers, *original.plausible_answers),
            strict=True,
        ):
            assert now.text == before.text == copy.context[now.start : now.end]


def test_the_form_of_the_text_stays() -> None:
    """Only words change: what is between them, and their case, stays as it was."""
    (copy, *_) = augment([EXAMPLE], [alphabet], AugmentOptions(times=1, probability=1.0))
    assert copy.context.rstrip("x 🙂.") != TEXT
    bare = copy.context.replace("x", "").replace("X", "")
    assert bare == TEXT
    assert "WIDEX" in copy.context
    assert "Bridgex" in copy.context


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_answer_is_ever_lost(data: st.DataObject) -> None:
    """Whatever the text, the answers and the settings: spans point at their text, and outside of words
    nothing changes.
    """
    text = data.draw(st.text(alphabet="ab Cé'’-1.\n🙂x東\u0301", min_size=1, max_size=60))
    spans = data.draw(st.lists(st.tuples(st.integers(0, len(text) - 1), st.integers(1, 12)), max_size=4))
    answers = tuple(Answer(text[start : start + n], start) for start, n in spans)
    cut = data.draw(st.integers(0, len(answers)))
    example = Example("q", "ab C?", text, answers[:cut], answers[cut:])
    options = AugmentOptions(
        times=4,
        probability=data.draw(st.sampled_from([0.2, 0.7, 1.0])),
        replace_answers=data.draw(st.booleans()),
        replace_digits=data.draw(st.booleans()),
        replace_question_words=data.draw(st.booleans()),
        keep_original=data.draw(st.booleans()),
        seed=data.draw(st.integers(0, 3)),
    )
    found = list(augment([example], [alphabet], options))
    assert len({e.id for e in found}) == len({e.context for e in found}) == len(found) >= 1
    for copy in found:
        before = (*example.answers, *example.plausible_answers)
        for now, then in zip((*copy.answers, *copy.plausible_answers), before, strict=True):
            assert copy.context[now.start : now.end] == now.text != ""
            assert options.replace_answers or now.text == then.text
        assert _between(copy.context) == _between(text)


def _between(text: str) -> list[str]:
    """What stands between the words."""
    ends = [0, *(end for _, end in find_words(text))]
    starts = [*(start for start, _ in find_words(text)), len(text)]
    return [text[a:b] for a, b in zip(ends, starts, strict=True)]


def test_answers_move_with_their_words_by_choice() -> None:
    """With replace_answers an answer's words change too, and the answer is what stands there now."""
    example = replace(EXAMPLE, answers=(Answer("old Bridge", TEXT.index("old")),))
    (copy,) = augment([example], [alphabet], AugmentOptions(times=1, probability=1.0, replace_answers=True))
    assert copy.answers[0].text.replace("x", "") == "old Bridge"
    assert copy.answers[0].text != "old Bridge"
    assert copy.context[copy.answers[0].start : copy.answers[0].end] == copy.answers[0].text


def test_the_next_proposer_gets_what_the_first_leaves() -> None:
    """Words without a usable proposal go on to the next proposer, and only these; what nobody knows is
    counted.
    """
    asked: list[list[str]] = []

    def short_words(passages: Sequence[Passage]) -> list[list[list[str]]]:
        return [
            [["this", "at", "he", "was", "most", "zz"] if len(w) < 4 else [w.upper()] for w in p.words]
            for p in passages
        ]

    def others(passages: Sequence[Passage]) -> list[list[list[str]]]:
        asked.append(passages[0].words)
        return [[["yyyy"] if w != "river" else [] for w in p.words] for p in passages]

    report = AugmentReport()
    list(augment([EXAMPLE], [short_words, others], AugmentOptions(times=1), report))
    assert asked == [["Bridge", "built", "crosses", "WIDE", "river", "people", "know", "height"]]
    assert report.without_candidates == 1


def test_what_is_drawn_does_not_depend_on_the_neighbours() -> None:
    """A paragraph's copies are the same alone, among others, and in any order; another seed gives others."""
    others = [replace(EXAMPLE, id=f"o{n}", context=f"{TEXT} Number{'n' * n} here.") for n in range(2 * CHUNK)]
    options = AugmentOptions(times=2)

    def of_x(examples: list[Example], options: AugmentOptions) -> list[Example]:
        return [e for e in augment(examples, [alphabet], options) if e.id.startswith("x#")]

    alone = of_x([EXAMPLE], options)
    assert of_x([*others, EXAMPLE], options) == of_x([EXAMPLE, *others], options) == alone
    assert of_x([EXAMPLE], replace(options, seed=2)) != alone


def test_the_share_that_is_replaced_is_the_probability() -> None:
    """Over many words each is replaced with its probability, and all candidates come up about equally
    often.
    """
    text = " ".join(f"w{'abcdefghij'[n % 10]}{'abcdefghij'[n // 10]}" for n in range(100))
    report = AugmentReport()
    copies = list(
        augment([Example("x", "q", text)], [alphabet], AugmentOptions(times=50, probability=0.3), report)
    )
    assert abs(report.replaced_words / report.copied_words - 0.3) < 0.02
    assert abs(report.median_share() - 0.3) < 0.05
    counts = [sum(copy.context.count("x" * n) for copy in copies) for n in range(1, 6)]
    shares = [(a - b) / counts[0] for a, b in zip(counts, [*counts[1:], 0], strict=True)]
    assert report.copies == 50
    assert len(shares) == 5


def test_repeated_copies_are_drawn_again_then_dropped() -> None:
    """A paragraph with few possible copies gives each once; the rest is counted as dropped, not repeated."""
    report = AugmentReport()
    one = Example("x", "q", "word 1 2 3")
    copies = list(augment([one], [alphabet], AugmentOptions(times=20, probability=0.5), report))
    assert len(copies) == len({c.context for c in copies}) == 5 == report.copies
    assert report.dropped == 15
    assert report.redrawn > 15


@pytest.mark.parametrize("text", ["12 34 !", "🙂🎉", "... -- ..."])
def test_a_paragraph_that_cannot_be_changed_is_kept_once(text: str) -> None:
    """Without a replaceable word, or a proposal for one, the paragraph stands in the result as it was, and is
    counted.
    """
    odd = [Example("x", "q", text), Example("y", "q", text)]
    for proposer in (alphabet, nobody):
        report = AugmentReport()
        assert list(augment(odd, [proposer], AugmentOptions(times=2), report)) == odd
        assert (report.unchanged_paragraphs, report.unchanged_examples, report.copies, report.dropped) == (
            1,
            2,
            0,
            0,
        )
        kept = AugmentOptions(times=2, keep_original=True)
        assert list(augment(odd, [proposer], kept)) == odd


def test_the_original_is_added_only_when_asked_for() -> None:
    """keep_original puts the paragraph itself, under its own ids, before its copies."""
    ids = [e.id for e in augment([EXAMPLE, NOBODY], [alphabet], AugmentOptions(times=1, keep_original=True))]
    assert ids == ["x", "y", "x#aug1", "y#aug1"]


def test_copies_are_not_rewritten_again() -> None:
    """An id that is a copy's already is refused: two originals could give the same id."""
    with pytest.raises(DataError, match=r"'x#aug3' is already a rewritten copy"):
        list(paragraphs_of([EXAMPLE, replace(EXAMPLE, id="x#aug3")]))


def test_nobody_to_ask_is_an_error() -> None:
    """Without a proposer nothing could change."""
    with pytest.raises(SettingsError, match="no proposers"):
        list(augment([EXAMPLE], [], AugmentOptions()))


def test_examples_are_taken_as_they_are_needed() -> None:
    """An endless stream of paragraphs is rewritten as it comes: no more than a chunk is read ahead."""
    read = 0

    def endless():  # type: ignore[no-untyped-def]
        nonlocal read
        while True:
            read += 1
            yield replace(EXAMPLE, id=str(read), context=f"{TEXT} {'n' * (read % 7)} {read}")

    stream = augment(endless(), [alphabet], AugmentOptions(times=2))
    for _ in range(10 * CHUNK):
        next(stream)
    assert read <= 6 * CHUNK + 1


def test_marked_pieces_make_up_the_copy() -> None:
    """The pieces for a person to look at are the copy's text, each replaced word with the one that stood
    there.
    """
    (prepared,) = prepare([[EXAMPLE]], [alphabet], AugmentOptions(times=1))
    (copy,) = prepared.copies(AugmentOptions(times=1))
    pieces = list(marked(prepared, copy))
    assert "".join(now for now, _ in pieces) == copy.text
    assert "".join(before or now for now, before in pieces) == TEXT
    assert sum(bool(before) for _, before in pieces) == len(copy.replacements) > 0


def test_reports_add_up() -> None:
    """Two reports added are the report of both, and a report comes back from its counts."""
    both, first, second = AugmentReport(), AugmentReport(), AugmentReport()
    a, b = replace(EXAMPLE, id="a"), replace(EXAMPLE, id="b", context=TEXT + " More words here.")
    list(augment([a, b], [alphabet], AugmentOptions(), both))
    list(augment([a], [alphabet], AugmentOptions(), first))
    list(augment([b], [alphabet], AugmentOptions(), second))
    first.add(second)
    assert first.counts() == both.counts()
    assert AugmentReport(**both.counts()) == both
    assert AugmentReport().as_dict()["median_replaced_share"] == 0.0


def test_rewritten_data_is_good_data(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """What comes out passes the checks that data from elsewhere must pass."""
    copies = list(augment([EXAMPLE, NOBODY], [alphabet], AugmentOptions(times=20)))
    assert load_examples(copies) == copies
