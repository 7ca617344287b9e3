"""`windows`: questions and contexts become overlapping windows, whose tokens know their place in the text."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from tiny_tokenizers import KINDS, byte_level, metaspace_bpe, mpnet, untrimmed_byte_level, wordpiece, words
from tinyreader.data import Answer, Example, load_examples
from tinyreader.errors import DataError, ModelError, SettingsError
from tinyreader.windows import MIN_STEP, Window, Windower, WindowSettings, padded_length

QUESTION = "Who built the mill?"
CONTEXT = "The mill at Orrin Weir was built in 1811 by Tobe Harl. Tobe Harl sold it nine years later."

ANSWERS_IN_MANY_SCRIPTS = [
    pytest.param("The mill was built by Tobe Harl in 1811.", "Tobe Harl", id="latin"),
    pytest.param("Sold by Café Ünal, who else.", "Café Ünal", id="accents"),
    pytest.param("Sold by Cafe\u0301 U\u0308nal, who else.", "Cafe\u0301 U\u0308nal", id="combining"),
    pytest.param(
        "Zalgo: o\u0302\u0323\u0301 e\u0301\u0302 end.",
        "o\u0302\u0323\u0301 e\u0301\u0302",
        id="stacked-marks",
    ),
    pytest.param("Maya 🎻 won the 🏆 cup 👩🏽\u200d🚀 twice.", "🏆 cup 👩🏽\u200d🚀", id="emoji"),
    pytest.param("I ❤\ufe0f jam", "❤\ufe0f", id="variation-selector"),
    pytest.param("𝔐𝔦𝔩𝔩 𝔬𝔣 𝔏𝔢𝔫𝔫 is old.", "𝔏𝔢𝔫𝔫", id="outside-the-basic-plane"),
    pytest.param("その 橋 は 東京 に ある。", "東京", id="cjk"),
    pytest.param("다리는 서울 에 있다.", "서울", id="hangul"),
    pytest.param("بنى يوسف الجسر القديم.", "يوسف الجسر", id="arabic"),
    pytest.param("بَنَى يُوسُفُ الجِسْرَ.", "يُوسُفُ الجِسْرَ", id="vowelled-arabic"),
    pytest.param("הגשר נבנה על ידי נועם בשנת 1920.", "נועם", id="hebrew"),
    pytest.param("वह पुल मोहन ने बनाया था।", "पुल मोहन ने", id="devanagari"),
    pytest.param("Straße und ﬁne ½ İzmir.", "ﬁne ½ İzmir", id="signs-that-change-length"),
    pytest.param("one\u00a0two\u2003three\tfour\r\nfive", "two\u2003three\tfour", id="odd-spaces"),
]


def example(context: str = CONTEXT, answer: str = "", question: str = QUESTION, name: str = "q1") -> Example:
    """A question on `context`, answered by the first place of `answer` in it, or unanswerable."""
    return Example(name, question, context, (Answer(answer, context.index(answer)),) if answer else ())


def numbered(n_tokens: int, first: int = -1, last: int = -1, question: str = "w1 w2") -> Example:
    """A question on a context of `n_tokens` words; the answer is the words `first` to `last`."""
    each = [f"w{i % 40}" for i in range(n_tokens)]
    starts = np.cumsum([0, *(len(word) + 1 for word in each)]).tolist()
    text = " ".join(each[first : last + 1]) if first >= 0 else ""
    return Example("q1", question, " ".join(each), (Answer(text, starts[first]),) if text else ())


def cut(tokenizer: Tokenizer, examples: Example | Sequence[Example], **changes: Any) -> list[Window]:
    """The windows under `WindowSettings(**changes)`."""
    many = [examples] if isinstance(examples, Example) else examples
    return list(Windower(tokenizer, WindowSettings(**changes)).windows(many))


def labelled(window: Window, context: str) -> str:
    """What the window's label says is the answer."""
    return context[window.offsets[window.start, 0] : window.offsets[window.end, 1]]


def same(a: Window, b: Window) -> bool:
    """Whether two windows are equal in everything but the number of their example."""
    arrays = all(
        np.array_equal(getattr(a, n), getattr(b, n)) for n in ("input_ids", "segment_ids", "offsets")
    )
    return arrays and (a.first, a.stop, a.start, a.end) == (b.first, b.stop, b.start, b.end)


@pytest.fixture(params=KINDS, scope="module")
def any_tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    """Each kind of tokenizer in turn."""
    return KINDS[request.param]()


def test_a_text_that_fits_becomes_what_the_tokenizer_makes_of_the_pair(any_tokenizer: Tokenizer) -> None:
    """One window, with the ids, segments and context tokens of the tokenizer's own pair encoding."""
    (window,) = cut(any_tokenizer, example())
    pair = any_tokenizer.encode(QUESTION, CONTEXT)
    assert window.input_ids.tolist() == pair.ids
    assert window.segment_ids.tolist() == pair.type_ids
    assert [i for i, s in enumerate(pair.sequence_ids) if s == 1] == list(range(window.first, window.stop))
    assert len(window) == len(pair.ids)
    assert all(part.dtype == np.int32 for part in (window.input_ids, window.segment_ids, window.offsets))


@pytest.mark.parametrize("direction", ["left", "right"])
def test_truncation_and_padding_that_came_with_a_file_change_nothing(
    any_tokenizer: Tokenizer, direction: str
) -> None:
    """A tokenizer that cuts at 128 tokens and pads to 200, on either side, gives the same windows, and keeps
    its settings.
    """
    long = example(" ".join([CONTEXT] * 20), "nine years", question="Who " * 60 + "?")
    expected = cut(any_tokenizer, long)
    spoilt = Tokenizer.from_str(any_tokenizer.to_str())
    spoilt.enable_truncation(128, stride=8, direction=direction)
    spoilt.enable_padding(direction=direction, length=200)
    found = cut(spoilt, long)
    assert max(len(w) for w in found) > 200
    assert len(found) == len(expected)
    assert all(same(a, b) for a, b in zip(found, expected, strict=True))
    assert spoilt.truncation is not None
    assert spoilt.truncation["max_length"] == 128
    assert len(spoilt.encode("mill").ids) == 200


def test_segment_ids_tell_question_from_context_where_the_tokenizer_has_them() -> None:
    """BERT's template puts the context and what follows it in segment 1."""
    (window,) = cut(wordpiece(), example())
    assert window.segment_ids.tolist() == [0] * window.first + [1] * (len(window) - window.first)


def test_mpnets_special_tokens_stand_where_its_template_puts_them() -> None:
    """`<s> question </s></s> context </s>`, all in segment 0, in each of several windows."""
    tokenizer = mpnet()
    n_question = len(tokenizer.encode(QUESTION, add_special_tokens=False).ids)
    windows = cut(tokenizer, example(" ".join([CONTEXT] * 5)), max_seq_len=80, doc_stride=20)
    assert len(windows) > 2
    for window in windows:
        tokens = [tokenizer.id_to_token(i) for i in window.input_ids]
        special = [i for i, token in enumerate(tokens) if token in ("<s>", "</s>")]
        assert special == [0, n_question + 1, n_question + 2, len(tokens) - 1]
        assert [tokens[i] for i in special] == ["<s>", "</s>", "</s>", "</s>"]
        assert (window.first, window.stop) == (n_question + 3, len(tokens) - 1)
        assert not window.segment_ids.any()


def test_only_context_tokens_have_a_place() -> None:
    """Offsets are zero on special tokens and on the question."""
    for window in cut(wordpiece(), example(CONTEXT * 4), max_seq_len=60, doc_stride=10):
        assert not window.offsets[: window.first].any()
        assert not window.offsets[window.stop :].any()
        assert (window.offsets[window.first : window.stop, 1] > 0).all()


@pytest.mark.parametrize(("context", "answer"), ANSWERS_IN_MANY_SCRIPTS)
def test_labels_slice_back_to_the_answer_in_every_script(
    any_tokenizer: Tokenizer, context: str, answer: str
) -> None:
    """Offsets are code points of the text as it was passed, in reading order, and leave out only spaces and
    joiners.
    """
    (window,) = cut(any_tokenizer, example(context, answer))
    assert window.first <= window.start <= window.end < window.stop
    assert labelled(window, context) == answer
    offsets = window.offsets[window.first : window.stop].tolist()
    assert all(a[0] <= b[0] and a[1] <= b[1] for a, b in pairwise(offsets))
    assert all(context[a:b] == context[a:b].strip() for a, b in offsets)
    covered = {i for a, b in offsets for i in range(a, b)}
    assert all(sign.isspace() or sign == "\u200d" for i, sign in enumerate(context) if i not in covered)


def test_a_mark_that_a_normaliser_drops_stays_with_its_letter() -> None:
    """The last letter's accents belong to its token, and none to a space before or to a token of no width."""
    context = "\u0301a \u0302b\u0301\u0302 c\u0301"
    (window,) = cut(wordpiece(), example(context))
    places = [context[a:b] for a, b in window.offsets[window.first : window.stop].tolist()]
    assert places == ["a", "b\u0301\u0302", "c\u0301"]


def test_a_mark_that_is_a_token_of_its_own_is_not_taken_twice() -> None:
    """Byte-level tokens of a combining mark keep its place; the letter before it keeps its own."""
    context = "b\u0331 c"
    (window,) = cut(byte_level(), example(context))
    places = [context[a:b] for a, b in window.offsets[window.first : window.stop].tolist()]
    assert places == ["b", "\u0331", "\u0331", "c"]


def test_tokens_of_spaces_alone_have_no_width_and_bound_no_answer() -> None:
    """Neither a mark behind such a token nor an answer that begins or ends with white space gives it a
    place.
    """
    tokenizer, context = metaspace_bpe(), "one   two  \u0302"
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()])
    (window,) = cut(tokenizer, Example("q", QUESTION, context, (Answer("   two  ", 3),)))
    places = [context[a:b] for a, b in window.offsets[window.first : window.stop].tolist()]
    assert "" in places
    assert "".join(places) == "onetwo"
    assert labelled(window, context) == "two"


def test_spaces_belong_to_no_token_even_where_the_tokenizer_says_so() -> None:
    """Offsets that come with a space before the word, or that are a space alone, are trimmed."""
    context = "one  two\n\nthree "
    tokenizer = untrimmed_byte_level()
    raw = tokenizer.encode(context, add_special_tokens=False).offsets
    assert any(context[a:b] != context[a:b].strip() for a, b in raw), (
        "the test needs a tokenizer that does this"
    )
    (window,) = cut(tokenizer, example(context, "two"))
    assert labelled(window, context) == "two"
    assert all(context[a:b] == context[a:b].strip() for a, b in window.offsets.tolist())


def test_an_answer_inside_a_token_is_labelled_by_the_whole_token() -> None:
    """A gold answer that begins or ends within a token takes the token."""
    context = "w1 w12 w3"
    (window,) = cut(words(), Example("q", "w1", context, (Answer("1", 4),)))
    assert labelled(window, context) == "w12"


def test_the_first_gold_answer_is_the_label() -> None:
    """Of several gold answers the first one is learned."""
    (window,) = cut(words(), Example("q", "w1", "w1 w2 w3", (Answer("w3", 6), Answer("w1", 0))))
    assert labelled(window, "w1 w2 w3") == "w3"


def test_without_an_answer_the_label_is_the_null_position() -> None:
    """An unanswerable question points at token 0, and counts as no loss."""
    windower = Windower(words())
    (window,) = windower.windows([numbered(5)])
    assert (window.start, window.end) == (0, 0)
    assert (windower.counts.answerable_windows, windower.counts.answers_outside_every_window) == (0, 0)


def test_windows_share_exactly_the_stride() -> None:
    """With 30 tokens, 2 + 3 around the context and a stride of 5: windows of 25 that step by 20."""
    windows = cut(words(), numbered(80), max_seq_len=30, doc_stride=5)
    assert [len(w) for w in windows] == [30, 30, 30, 25]
    for a, b in pairwise(windows):
        assert np.array_equal(a.offsets[a.stop - 5 : a.stop], b.offsets[b.first : b.first + 5])
        assert b.offsets[b.first + 5, 0] > a.offsets[a.stop - 1, 0]


@pytest.mark.parametrize(
    ("n_tokens", "n_windows"), [(24, 1), (25, 1), (26, 2), (45, 2), (46, 3), (65, 3), (66, 4)]
)
def test_there_are_no_more_windows_than_needed(n_tokens: int, n_windows: int) -> None:
    """A window is added only when a token is left; a context that just fits makes one."""
    windows = cut(words(), numbered(n_tokens), max_seq_len=30, doc_stride=5)
    assert len(windows) == n_windows
    assert windows[-1].offsets[windows[-1].stop - 1, 1] == len(numbered(n_tokens).context)


@pytest.mark.parametrize(
    ("first", "last", "inside"),
    [
        (0, 0, [0]),
        (24, 24, [0, 1]),
        (25, 25, [1]),
        (20, 20, [0, 1]),
        (19, 20, [0]),
        (20, 24, [0, 1]),
        (20, 25, [1]),
        (19, 25, []),
        (0, 24, [0]),
        (20, 44, [1]),
        (79, 79, [3]),
        (60, 79, [3]),
    ],
)
def test_answers_at_window_borders(first: int, last: int, inside: list[int]) -> None:
    """A window is labelled if and only if it holds the whole answer, at its very first and last token too."""
    one = numbered(80, first, last)
    windower = Windower(words(), WindowSettings(max_seq_len=30, doc_stride=5))
    windows = list(windower.windows([one]))
    assert [i for i, w in enumerate(windows) if (w.start, w.end) != (0, 0)] == inside
    assert all(labelled(windows[i], one.context) == one.answers[0].text for i in inside)
    assert windower.counts.answerable_windows == len(inside)
    assert windower.counts.answers_outside_every_window == (not inside)


def test_an_answer_longer_than_any_window_is_counted() -> None:
    """It labels every window as unanswerable, and is not lost in silence."""
    windower = Windower(words(), WindowSettings(max_seq_len=30, doc_stride=5))
    windows = list(windower.windows([numbered(80, 3, 60), numbered(80, 3, 5)]))
    assert {(w.start, w.end) for w in windows if w.example == 0} == {(0, 0)}
    counts = windower.counts
    assert (counts.examples, counts.windows, counts.answerable_windows) == (2, 8, 1)
    assert (counts.answers_outside_every_window, counts.answers_without_tokens) == (1, 0)


@pytest.mark.parametrize("answer", [" ", "\u200b", "\x07"])
def test_an_answer_without_a_token_is_counted(answer: str) -> None:
    """White space and signs that the normaliser removes cannot be pointed at."""
    windower = Windower(wordpiece())
    (window,) = windower.windows([example(f"The {answer} mill", answer)])
    assert (window.start, window.end) == (0, 0)
    assert (windower.counts.answers_without_tokens, windower.counts.answers_outside_every_window) == (1, 0)


@pytest.mark.parametrize("context", ["", " ", "\n\t "])
def test_a_context_without_tokens_makes_one_window(any_tokenizer: Tokenizer, context: str) -> None:
    """Its context tokens, if any, have no width, so that nothing can be answered from them."""
    (window,) = cut(any_tokenizer, example(context))
    assert not window.offsets[:, 1].any() or (window.offsets[:, 0] == window.offsets[:, 1]).all()
    assert window.input_ids.tolist() == any_tokenizer.encode(QUESTION, context).ids


def test_an_empty_question_is_no_trouble(any_tokenizer: Tokenizer) -> None:
    """The template stands without it."""
    (window,) = cut(any_tokenizer, example(question=""))
    assert window.input_ids.tolist() == any_tokenizer.encode("", CONTEXT).ids


def test_too_long_a_question_is_an_error_that_names_it_and_the_remedy() -> None:
    """The message has the id, both lengths and what can be changed."""
    windower = Windower(words(), WindowSettings(max_seq_len=40, doc_stride=5))
    limit = 40 - 5 - MIN_STEP - 3
    assert windower.max_question_tokens == limit
    fits, too_long = " ".join(["w1"] * limit), " ".join(["w1"] * (limit + 1))
    list(windower.windows([numbered(90, question=fits)]))
    with pytest.raises(DataError) as caught:
        list(windower.windows([numbered(90), numbered(90, question=too_long)]))
    message = str(caught.value)
    assert f"'q1' has {limit + 1} tokens; at most {limit} fit" in message
    assert "max_seq_len 40 and doc_stride 5" in message
    assert 'raise max_seq_len, lower doc_stride, or set on_long_question = "truncate"' in message
    with pytest.raises(DataError, match="'q1'"):
        windower.check_question(numbered(1, question=too_long))
    windower.check_question(numbered(1, question=fits))


def test_the_error_names_the_limit_that_was_set() -> None:
    """Where `max_question_tokens` is what a question exceeds, raising `max_seq_len` is not the advice."""
    windower = Windower(words(), WindowSettings(max_question_tokens=2))
    with pytest.raises(DataError, match=r"allows 2\. Shorten it, raise max_question_tokens, or set"):
        list(windower.windows([numbered(5, question="w1 w2 w3")]))


def test_too_long_a_question_is_cut_and_counted_by_choice() -> None:
    """Truncation keeps the question's first tokens; looking ahead with `check_question` counts nothing."""
    given = WindowSettings(max_seq_len=40, doc_stride=5, max_question_tokens=4, on_long_question="truncate")
    windower = Windower(words(), given)
    asked = [numbered(90, question="w1 w2 w3 w4 w5"), numbered(90, question="w9 w8 w7 w6")]
    for one in asked:
        windower.check_question(one)
    assert windower.counts.truncated_questions == 0
    windows = list(windower.windows(asked))
    assert windower.counts.truncated_questions == 1
    id_of = windower.tokenizer.token_to_id
    assert {tuple(w.input_ids[1:5].tolist()) for w in windows if w.example == 0} == {
        tuple(id_of(f"w{i}") for i in (1, 2, 3, 4))
    }
    assert {w.first for w in windows} == {6}
    assert max(len(w) for w in windows) == 40


@pytest.mark.parametrize(
    ("longest", "most", "padded"),
    [(1, 384, 8), (8, 384, 8), (9, 384, 16), (379, 384, 384), (380, 381, 381), (9, 9, 9)],
)
def test_batches_are_padded_to_eights(longest: int, most: int, padded: int) -> None:
    """Rounded up to a multiple of 8, but not beyond what a window may have."""
    assert padded_length(longest, most) == padded


def test_examples_are_numbered_in_order_over_any_number_of_them() -> None:
    """`Window.example` counts the examples of one call, and an example's windows do not depend on its
    neighbours.
    """
    examples = [numbered(n % 50, 0, 0, question=f"w{n % 40}") for n in range(1, 1100) if n % 50]
    windower = Windower(words(), WindowSettings(max_seq_len=30, doc_stride=5))
    windows = list(windower.windows(iter(examples)))
    assert [w.example for w in windows] == sorted(w.example for w in windows)
    assert {w.example for w in windows} == set(range(len(examples)))
    assert windower.counts.examples == len(examples)
    assert windower.counts.windows == len(windows)
    for number in (0, 511, 512, 1077):
        alone = cut(words(), examples[number], max_seq_len=30, doc_stride=5)
        together = [w for w in windows if w.example == number]
        assert len(alone) == len(together)
        assert all(same(a, b) for a, b in zip(alone, together, strict=True))
    assert next(iter(windower.windows(examples[5:]))).example == 0


def test_a_stream_is_read_as_it_is_needed() -> None:
    """Windows come before the last example is read, so a data set need not fit in memory."""
    read = []

    def stream() -> Any:
        for number in range(2000):
            read.append(number)
            yield numbered(3)

    next(iter(Windower(words()).windows(stream())))
    assert len(read) < 1000


@st.composite
def cuts(draw: st.DrawFn) -> tuple[int, int, int, int, int]:
    """Context tokens, window length, stride, and the first and last token of an answer shorter than the
    stride.
    """
    stride = draw(st.integers(1, 12))
    length = draw(st.integers(stride + MIN_STEP + 5, stride + MIN_STEP + 20))
    n_tokens = draw(st.integers(1, 150))
    first = draw(st.integers(0, n_tokens - 1))
    last = draw(st.integers(first, min(n_tokens - 1, first + max(0, stride - 2))))
    return n_tokens, length, stride, first, last


@given(cuts())
@settings(deadline=None, max_examples=150)
def test_every_token_lies_in_a_window_and_every_short_answer_whole_in_one(
    case: tuple[int, int, int, int, int],
) -> None:
    """Windows cover the context without gaps, overlap by the stride, fit, and label what they hold."""
    n_tokens, length, stride, first, last = case
    one = numbered(n_tokens, first, last)
    answer = one.answers[0]
    windows = cut(words(), one, max_seq_len=length, doc_stride=stride)
    place = {
        int(start): i for i, start in enumerate(np.cumsum([0, *(len(w) + 1 for w in one.context.split())]))
    }
    ranges = [(place[int(w.offsets[w.first, 0])], place[int(w.offsets[w.stop - 1, 1]) + 1]) for w in windows]
    assert all(len(w) <= length for w in windows)
    assert ranges[0][0] == 0
    assert ranges[-1][1] == n_tokens
    assert all(a[1] - b[0] == stride for a, b in pairwise(ranges))
    holding = [w for w, (a, b) in zip(windows, ranges, strict=True) if a <= first and last < b]
    assert holding
    for window in windows:
        assert ((window.start, window.end) != (0, 0)) == (window in holding)
    assert all(labelled(w, one.context) == answer.text for w in holding)


@given(
    st.sampled_from(sorted(KINDS)),
    st.text(
        st.one_of(st.sampled_from("ab \u0301\u200d\ufe0fé東ي🏆\n"), st.characters(exclude_categories=["Cs"])),
        max_size=60,
    ),
    st.data(),
)
@settings(deadline=None, max_examples=150)
def test_any_text_is_cut_into_places_that_exist(kind: str, context: str, data: st.DataObject) -> None:
    """Whatever the text: offsets lie in it, in order, and a label takes in all of the answer that has
    tokens.
    """
    start = data.draw(st.integers(0, max(0, len(context) - 1)))
    text = context[start : start + data.draw(st.integers(1, 10))]
    one = Example("q", "who?", context, (Answer(text, start),) if text else ())
    windower = Windower(_made(kind), WindowSettings(max_seq_len=50, doc_stride=12))
    windows = list(windower.windows([one]))
    for window in windows:
        places = window.offsets[window.first : window.stop]
        assert (places >= 0).all()
        assert (places <= len(context)).all()
        assert (places[:, 0] <= places[:, 1]).all()
        assert (np.diff(places[:, 0]) >= 0).all()
        if window.end:
            inside = places[
                (places[:, 1] > start) & (places[:, 0] < start + len(text)) & (places[:, 0] < places[:, 1])
            ]
            assert window.offsets[window.start, 0] == inside[:, 0].min()
            assert window.offsets[window.end, 1] == inside[:, 1].max()
    counts = windower.counts
    n_labelled = sum(w.end > 0 for w in windows)
    lost = counts.answers_without_tokens + counts.answers_outside_every_window
    assert counts.answerable_windows == n_labelled
    assert lost == (bool(text) and not n_labelled)


def _made(kind: str, made: dict[str, Tokenizer] = {}) -> Tokenizer:  # noqa: B006 - one of each kind for all examples
    return made.setdefault(kind, KINDS[kind]())


def test_a_tokenizer_that_draws_lots_is_calmed() -> None:
    """BPE dropout in a file would cut one text in many ways; windows are always the same."""
    letters = {token: i for i, token in enumerate(("<s>", "</s>", "a", "b", "ab"))}
    tokenizer = Tokenizer(models.BPE(letters, [("a", "b")], dropout=0.5))
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    windower = Windower(tokenizer)
    texts = {tuple(w.input_ids.tolist()) for w in windower.windows([example("ab" * 20, question="a")] * 20)}
    assert texts == {(0, 2, 1, 1, *[4] * 20, 1)}


def test_a_tokenizer_without_a_null_position_is_refused() -> None:
    """Where nothing stands before the question, nothing can mean "no answer"."""
    tokenizer = words()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A [SEP]", pair="$A [SEP] $B [SEP]", special_tokens=[("[SEP]", 3)]
    )
    with pytest.raises(ModelError, match="no null position"):
        Windower(tokenizer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A", pair="$A $B", special_tokens=[])
    with pytest.raises(ModelError, match="no null position"):
        Windower(tokenizer)


def test_a_tokenizer_that_puts_the_context_first_is_refused() -> None:
    """Questions come first in every reader this project knows."""
    tokenizer = words()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A", pair="[CLS] $B [SEP] $A", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    with pytest.raises(ModelError, match="before its context"):
        Windower(tokenizer)


def test_a_tokenizer_that_knows_no_letter_a_still_shows_its_template() -> None:
    """The template is read off whatever sign the vocabulary has."""
    tokenizer = Tokenizer(models.BPE({"<s>": 0, "</s>": 1, "1": 2, "2": 3}, []))
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    (window,) = cut(tokenizer, example("2112", "11", question="12"))
    assert window.input_ids.tolist() == [0, 2, 3, 1, 1, 3, 2, 2, 3, 1]
    assert labelled(window, "2112") == "11"


def test_a_tokenizer_with_a_part_in_python_is_refused_with_a_reason() -> None:
    """Such a part cannot be copied or kept with a model."""

    class Nothing:
        def pre_tokenize(self, _: Any) -> None:
            """Leaves the text as it is."""

    tokenizer = words()
    tokenizer.pre_tokenizer = pre_tokenizers.PreTokenizer.custom(Nothing())
    with pytest.raises(ModelError, match=r"cannot be copied .*tokenizer\.json"):
        Windower(tokenizer)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_seq_len": 128, "doc_stride": 128}, "leaves no room"),
        ({"max_seq_len": 128, "doc_stride": 128 - MIN_STEP - 3}, "leaves no room"),
        ({"doc_stride": -1}, "doc_stride at least 0"),
        ({"max_question_tokens": 0}, "at least 1"),
        ({"on_long_question": "cut"}, "'cut'; it must be"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, Any], message: str) -> None:
    """The message names the value and what is allowed."""
    with pytest.raises(SettingsError, match=message):
        WindowSettings(**changes)


def test_room_for_the_tokenizers_own_special_tokens_is_needed_too() -> None:
    """Settings that would do for three special tokens are refused for MPNet's four."""
    tight = WindowSettings(max_seq_len=40, doc_stride=20)
    assert Windower(words(), tight).max_question_tokens == 1
    with pytest.raises(SettingsError, match="beside 4 special tokens"):
        Windower(mpnet(), tight)


@pytest.mark.parametrize("name", ["teacher", "mlm"])
def test_windows_equal_a_real_tokenizers_pairs(shared_dir: Path, name: str) -> None:
    """On real questions, MPNet's and BERT's tokenizers give the same ids, segments and places by
    themselves.
    """
    tokenizer = Tokenizer.from_file(str(shared_dir / "models" / name / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    examples = load_examples(shared_dir / "data" / "squad2-dev-a.json")[::40]
    windows = list(Windower(tokenizer).windows(examples))
    n_windows = Counter(w.example for w in windows)
    single = [w for w in windows if n_windows[w.example] == 1]
    assert len(single) > 100
    for window in single:
        one = examples[window.example]
        pair = tokenizer.encode(one.question, one.context)
        assert window.input_ids.tolist() == pair.ids
        assert window.segment_ids.tolist() == pair.type_ids
        if one.context.isascii():
            assert [tuple(x) for x in window.offsets[window.first : window.stop].tolist()] == [
                place for place, s in zip(pair.offsets, pair.sequence_ids, strict=True) if s == 1
            ]
        if window.end:
            assert one.answers[0].text in labelled(window, one.context)


def test_a_long_text_is_tokenised_in_parts_with_the_same_tokens(
    any_tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever a long text is parted, its windows are those of the whole."""
    draw = random.Random(3)
    long = " ".join(draw.choice(CONTEXT.split()) for _ in range(300)) + "\n\n" + CONTEXT
    whole = cut(any_tokenizer, example(long))
    for size in (40, 101, 1000):
        monkeypatch.setattr("tinyreader.windows.SEGMENT_CHARACTERS", size)
        parted = cut(any_tokenizer, example(long))
        assert len(parted) == len(whole)
        assert all(same(a, b) for a, b in zip(parted, whole, strict=True))


def test_a_text_without_spaces_is_parted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no place between words, a part ends after so many code points, and every sign keeps its
    place.
    """
    monkeypatch.setattr("tinyreader.windows.SEGMENT_CHARACTERS", 50)
    text = "w1w2w3" * 100
    windows = cut(byte_level(), example(text))
    covered = {
        place for w in windows for a, b in w.offsets[w.first : w.stop].tolist() for place in range(a, b)
    }
    assert covered == set(range(len(text)))


def test_texts_met_last_are_remembered_up_to_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept tokenised is bounded, and forgetting changes nothing."""
    monkeypatch.setattr("tinyreader.windows.REMEMBERED_CHARACTERS", 60)
    windower = Windower(words(), WindowSettings(64, 8))
    texts = ["w1 w2 w3", "w4 " * 15, "w5", "w1 w2 w3", "w6 " * 40]
    first = [next(windower.windows([example(text)])) for text in texts]
    assert windower._recent._size == sum(map(len, windower._recent._kept)) <= 60
    assert all(
        same(next(windower.windows([example(text)])), window)
        for text, window in zip(texts, first, strict=True)
    )
