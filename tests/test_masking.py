"""`augment.masking`: which words are asked for, in which sequences, and which vocabulary entries may
answer.
"""

from __future__ import annotations

import subprocess
import sys
import unicodedata
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from tiny_tokenizers import BRACKETS, KINDS, SENTENCES, byte_level, metaspace_bpe, wordpiece
from tinyreader.augment.masking import (
    Form,
    MaskedBatcher,
    MaskedLMOptions,
    MaskedSequences,
    Vocabulary,
    nearest_window,
    read_vocabulary,
    window_starts,
)
from tinyreader.augment.proposer import Passage
from tinyreader.augment.words import find_words, is_word
from tinyreader.errors import ModelError, SettingsError

PAD = 0
NAMES = [a + b for a in "abcdefgh" for b in "abcdefgh"]


def batcher(tokenizer: Tokenizer, max_tokens: int = 512, **options: Any) -> MaskedBatcher:
    """An asker for a tokenizer, with the tokenizer's own mask."""
    vocabulary = read_vocabulary(tokenizer, tokenizer.get_vocab_size())
    return MaskedBatcher(
        tokenizer, vocabulary, mask_of(tokenizer), PAD, max_tokens, MaskedLMOptions(**options)
    )


def mask_of(tokenizer: Tokenizer) -> int:
    """The id of the mask token."""
    return tokenizer.token_to_id("[MASK]") or tokenizer.token_to_id("<mask>")


def passage(text: str) -> Passage:
    """A text with all its words as places."""
    return Passage(text, find_words(text))


def ask(tokenizer: Tokenizer, text: str, **options: Any) -> MaskedSequences:
    """The sequences for all words of a text."""
    [questions] = batcher(tokenizer, **options).masked([passage(text)])
    return questions


def asked_words(tokenizer: Tokenizer, text: str) -> list[str]:
    """The words of the text that are asked for, in order."""
    return [passage(text).words[i] for i in sorted(ask(tokenizer, text).places)]


def plain(text: str) -> str:
    """Small letters without accents."""
    return "".join(c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")


def by_hand(kind: str, *entries: str) -> Tokenizer:
    """A tokenizer with special tokens and just these entries."""
    tokens = [*BRACKETS, *entries]
    if kind == "words":
        tokenizer = Tokenizer(models.WordLevel({t: n for n, t in enumerate(tokens)}, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    elif kind == "wordpiece":
        tokenizer = Tokenizer(models.WordPiece({t: n for n, t in enumerate(tokens)}, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    else:
        tokenizer = Tokenizer(models.Unigram([(t, -1.0 - len(t) / 9) for t in tokens], unk_id=1))
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens(list(BRACKETS))
    tokenizer.post_processor = wordpiece().post_processor
    return tokenizer


def allowed(tokenizer: Tokenizer, form: Form = Form.SPACED) -> list[str]:
    """What may be proposed for a word of the form, by id."""
    vocabulary = read_vocabulary(tokenizer, tokenizer.get_vocab_size())
    return [vocabulary.texts[n] for n in np.flatnonzero(vocabulary.allowed[form])]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"n_proposals": 0}, "n_proposals is 0"),
        ({"batch_tokens": 0}, "batch_tokens is 0"),
        ({"masked_share": 0.0}, "masked_share is 0.0"),
        ({"masked_share": 1.5}, "masked_share is 1.5"),
        ({"precision": "fp16"}, "precision is 'fp16'; it must be one of auto, bf16, fp32"),
    ],
)
def test_options_that_make_no_sense_are_refused(changes: dict[str, Any], said: str) -> None:
    """The message names the value and what is allowed."""
    with pytest.raises(SettingsError, match=said):
        MaskedLMOptions(**changes)


def test_no_model_is_needed() -> None:
    """Planning what to ask loads neither torch nor Transformers."""
    code = "import sys, tinyreader.augment.masking; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("kind", KINDS)
def test_only_whole_words_may_be_proposed(kind: str) -> None:
    """In every kind of vocabulary what may be proposed are words that the tokenizer cuts out of a text as
    that one token.
    """
    tokenizer = KINDS[kind]()
    vocabulary = read_vocabulary(tokenizer, tokenizer.get_vocab_size() + 3)
    assert vocabulary.allowed.shape == (3, tokenizer.get_vocab_size() + 3)
    assert not vocabulary.allowed[Form.PART].any()
    for form in (Form.SPACED, Form.BARE):
        numbers = np.flatnonzero(vocabulary.allowed[form])
        assert all(is_word(vocabulary.texts[n]) for n in numbers)
        assert not set(numbers) & {
            tokenizer.token_to_id(t) for t in (*BRACKETS, "<s>", "</s>", "<pad>", "<unk>", "<mask>")
        }
        assert (vocabulary.forms[numbers] == form).all()
    spaced = {vocabulary.texts[n] for n in np.flatnonzero(vocabulary.allowed[Form.SPACED])}
    bare = {vocabulary.texts[n] for n in np.flatnonzero(vocabulary.allowed[Form.BARE])}
    assert len(spaced) >= 2
    assert bare <= spaced
    assert bool(bare) == (kind not in ("wordpiece", "mpnet"))
    assert vocabulary.max_case_variants == max_case_variants(vocabulary)


def max_case_variants(vocabulary: Vocabulary) -> int:
    """How many entries differ in case alone, counted plainly."""
    most = 1
    for form in (Form.SPACED, Form.BARE):
        texts = [vocabulary.texts[n].casefold() for n in np.flatnonzero(vocabulary.allowed[form])]
        most = max([most, *map(texts.count, texts)])
    return most


def test_parts_digits_and_letters_are_no_words() -> None:
    """Endings, numbers, signs, unused entries and single letters are not proposed; real one-letter words and
    的 are.
    """
    entries = [
        "the",
        "##ing",
        "1911",
        ".",
        "[unused1]",
        "b",
        "e",
        "a",
        "A",
        "I",
        "的",
        "é",
        "ca-fe",
        "rock'n",
        "x2",
        "The",
    ]
    assert allowed(by_hand("wordpiece", *entries)) == ["the", "a", "A", "I", "的", "ca-fe", "rock'n", "The"]


def test_a_small_i_is_proposed_as_a_capital() -> None:
    """A vocabulary without capitals has the English word I as "i"."""
    assert allowed(by_hand("wordpiece", "i", "he")) == ["I", "he"]
    assert allowed(by_hand("wordpiece", "i", "I", "he")) == ["I", "he"]


def test_bare_entries_need_a_twin_with_a_blank() -> None:
    """After a bracket or hyphen only such entries are proposed that are also there as words of their own."""
    tokenizer = by_hand("unigram", "▁the", "the", "ing", "▁mill", "▁", "(", ")", "▁(")
    assert allowed(tokenizer) == ["the", "mill"]
    assert allowed(tokenizer, Form.BARE) == ["the"]
    assert asked_words(tokenizer, "the (mill) the") == ["the", "the"]


def test_added_tokens_are_left_alone() -> None:
    """Tokens added to a vocabulary, special or not, are neither asked for nor proposed."""
    tokenizer = by_hand("wordpiece", "the", "mill")
    tokenizer.add_tokens(["ferry"])
    assert allowed(tokenizer) == ["the", "mill"]
    assert asked_words(tokenizer, "the ferry mill") == ["the", "mill"]


def test_tokenizers_without_marks_are_refused() -> None:
    """A vocabulary in which endings cannot be told from words is an error that says what works."""
    tokens = {token: n for n, token in enumerate((*BRACKETS, "a", "b</w>", "ab</w>"))}
    tokenizer = Tokenizer(models.BPE(tokens, [], end_of_word_suffix="</w>"))
    tokenizer.post_processor = wordpiece().post_processor
    with pytest.raises(ModelError, match=r"which of its entries are whole words.*WordPiece, byte-level BPE"):
        read_vocabulary(tokenizer, len(tokens))


@pytest.mark.parametrize("kind", KINDS)
def test_words_of_one_token_are_asked_for(kind: str) -> None:
    """For every kind of tokenizer just the words are asked for that one known token covers, found here from
    the offsets.
    """
    tokenizer = KINDS[kind]()
    sentences = SENTENCES[
        :-1
    ]  # the last one's vowel signs are marks, which some take away: see the test of accents
    text = " ".join(["The (mill) well-built.", *sentences, "Caf\u00e9 built\tthe  day 🙂 at 東京! on a"])
    encoding = tokenizer.encode(text, add_special_tokens=False)
    pieces = []
    for number, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
        left = len(text[start:end]) - len(text[start:end].lstrip())
        pieces.append((number, start + left, max(start + left, end)))
    unknown = {tokenizer.token_to_id(t) for t in ("[UNK]", "<unk>")}
    expected = []
    for start, end in find_words(text):
        over = [(n, a, b) for n, a, b in pieces if a < end and start < b]
        whole = len(over) == 1 and over[0][1:] == (start, end) and over[0][0] not in unknown
        if whole and not tokenizer.id_to_token(over[0][0]).startswith("##"):
            expected.append(text[start:end])
    assert expected
    assert asked_words(tokenizer, text) == expected


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_sequences_are_the_text_with_words_masked(kind: str, exact: bool) -> None:
    """With the masked tokens put back each sequence is what the tokenizer itself makes of the text, and
    padding.
    """
    tokenizer = KINDS[kind]()
    text = "The mill at Lenn (built by Tobe Harl) was built in the day; jam is on. Café a 1811."
    questions = ask(tokenizer, text, exact=exact)
    sequences = questions.sequences.copy()
    assert (sequences[questions.rows, questions.columns] == mask_of(tokenizer)).all()
    sequences[questions.rows, questions.columns] = questions.originals
    expected = tokenizer.encode(text).ids
    assert questions.length == len(expected)
    assert questions.sequences.shape[1] == -(-len(expected) // 8) * 8
    for sequence in sequences.tolist():
        assert sequence == expected + [PAD] * (len(sequence) - len(expected))
    if kind in ("wordpiece", "mpnet"):
        for place, original in zip(questions.places, questions.originals, strict=True):
            assert tokenizer.id_to_token(original) == plain(passage(text).words[place])


def test_the_words_form_is_that_of_its_token() -> None:
    """A word after a blank is asked for as spaced, one after a bracket or at the start of the text as
    bare.
    """
    tokenizer = by_hand("unigram", "▁the", "the", "▁(", ")")
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    own = batcher(tokenizer)
    [questions] = own.masked([passage("the the (the)")])
    assert own.vocabulary.forms[questions.originals].tolist() == [Form.BARE, Form.SPACED, Form.BARE]


def test_letters_of_several_bytes_are_several_tokens() -> None:
    """A letter that byte-level tokens share, each with the whole letter's place, is no word of one token."""
    tokenizer = byte_level()
    offsets = tokenizer.encode("橋", add_special_tokens=False).offsets
    assert len(offsets) > 1
    assert set(offsets) == {(0, 1)}
    assert asked_words(tokenizer, "橋 the") == ["the"]


def test_a_ligature_cut_in_two_is_no_single_token() -> None:
    """Where normalising makes two letters of one, a token with part of the word but all of its place does not
    count.
    """
    tokenizer = by_hand("unigram", "▁f", "in", "▁the")
    tokenizer.normalizer = normalizers.NFKC()
    encoding = tokenizer.encode("ﬁn", add_special_tokens=False)
    assert encoding.tokens == ["▁f", "in"]
    assert encoding.offsets[1] == (0, 2)
    assert asked_words(tokenizer, "ﬁn the") == ["the"]


def test_accents_are_no_obstacle() -> None:
    """Accents that a tokenizer takes away, composed or not, belong to the word: café is one token at the
    whole word.
    """
    tokenizer = wordpiece()
    for text in ("Café jam", unicodedata.normalize("NFD", "Café jam")):
        questions = ask(tokenizer, text)
        assert [passage(text).words[i] for i in sorted(questions.places)] == text.split()
        assert tokenizer.token_to_id("cafe") in questions.originals


def test_special_tokens_in_a_text_are_text() -> None:
    """What looks like a special token in a text is neither one nor asked for."""
    tokenizer = by_hand("wordpiece", "the", "[", "]", "MASK")
    questions = ask(tokenizer, "the [MASK] the")
    whole = [2, *(tokenizer.token_to_id(t) for t in ("the", "[", "MASK", "]", "the")), 3]
    assert questions.length == len(whole)
    assert len(questions.places) == 3


def test_half_a_surrogate_pair_does_no_harm() -> None:
    """A text that no file can hold is asked about with its places where they are."""
    assert asked_words(wordpiece(), "the \ud83d built") == ["the", "built"]


@pytest.mark.parametrize("text", ["", "   ", "🙂🙂", "...", "\u0301"])
def test_texts_without_words_ask_nothing(text: str) -> None:
    """Empty texts and texts of signs alone give no sequence."""
    for make in (wordpiece, byte_level, metaspace_bpe):
        questions = ask(make(), text)
        assert len(questions.sequences) == len(questions.places) == 0
        assert list(questions.batches(100)) == []


def test_places_may_come_in_any_order() -> None:
    """Places are answered by their numbers, whatever their order."""
    places = find_words("the mill was built")
    one = batcher(wordpiece(), exact=True)
    [forth, back] = one.masked(
        [Passage("the mill was built", places), Passage("the mill was built", places[::-1])]
    )
    assert np.array_equal(forth.sequences, back.sequences)
    assert np.array_equal(3 - back.places, forth.places)


@settings(max_examples=200, deadline=None)
@given(
    n_tokens=st.integers(0, 150),
    max_tokens=st.integers(3, 80),
    share=st.floats(0.01, 1.0),
    exact=st.booleans(),
    data=st.data(),
)
def test_every_word_is_masked_once(
    n_tokens: int, max_tokens: int, share: float, exact: bool, data: st.DataObject
) -> None:
    """Each asked word is masked in one sequence and there only, no sequence has more masks than allowed, none
    is too long.
    """
    tokenizer = by_hand("words", *NAMES)
    text = " ".join(NAMES[n % 64] for n in range(n_tokens))
    every = find_words(text)
    chosen = sorted(data.draw(st.sets(st.sampled_from(range(n_tokens))) if n_tokens else st.just(set[int]())))
    asking = batcher(tokenizer, max_tokens, masked_share=share, exact=exact)
    [questions] = asking.masked([Passage(text, tuple(every[i] for i in chosen))])
    size = min(n_tokens, max_tokens - 2)
    assert questions.length == size + 2 <= max_tokens
    assert questions.sequences.shape[1] <= max_tokens or questions.sequences.shape[1] == questions.length
    assert sorted(questions.places) == list(range(len(chosen)))
    assert (np.diff(questions.rows) >= 0).all()
    assert set(questions.rows) == set(range(len(questions.sequences)))
    masked = questions.sequences == mask_of(tokenizer)
    assert masked.sum() == len(chosen)
    assert masked[questions.rows, questions.columns].all()
    most = 1 if exact else max(1, int(share * size))
    assert masked.sum(axis=1).max(initial=0) <= most
    starts = window_starts(n_tokens, max_tokens - 2)
    for place, row, column in zip(questions.places, questions.rows, questions.columns, strict=True):
        token = chosen[place]
        start = token - (column - 1)
        assert start in starts
        assert int(questions.originals[questions.places == place][0]) == tokenizer.token_to_id(
            NAMES[token % 64]
        )
        context = [
            a for i, a in enumerate(questions.sequences[row, 1 : size + 1].tolist(), start) if i != token
        ]
        plain_ids = [tokenizer.token_to_id(NAMES[i % 64]) for i in range(start, start + size) if i != token]
        assert all(a in (b, mask_of(tokenizer)) for a, b in zip(context, plain_ids, strict=True))


@settings(deadline=None)
@given(n_tokens=st.integers(0, 2000), room=st.integers(1, 512))
def test_windows_cover_a_text_evenly(n_tokens: int, room: int) -> None:
    """Windows begin and end with the text and overlap by half; a word is read where it has most text on its
    shorter side.
    """
    starts = window_starts(n_tokens, room)
    size = min(n_tokens, room)
    assert starts[0] == 0
    assert starts[-1] + size == n_tokens
    steps = np.diff(starts)
    assert (steps <= max(1, room // 2)).all()
    assert not len(steps) or steps.max() - steps.min() <= 1
    if not n_tokens:
        return
    tokens = np.arange(n_tokens)
    chosen = starts[nearest_window(tokens, starts, size)]
    assert ((chosen <= tokens) & (tokens < chosen + size)).all()
    sides = np.minimum(tokens - chosen, chosen + size - 1 - tokens)
    best = np.minimum(tokens[:, None] - starts, starts + size - 1 - tokens[:, None]).max(axis=1)
    assert (sides == best).all()
    assert (np.diff(chosen) >= 0).all()


def test_masked_words_stand_apart() -> None:
    """The words of a sequence come from all over the window, never two that follow each other in the text."""
    questions = ask(by_hand("words", *NAMES), " ".join(NAMES[:40]), masked_share=0.15)
    assert len(questions.sequences) == 7
    for row in range(7):
        columns = questions.columns[questions.rows == row]
        assert len(columns) <= 6
        assert all(b - a == 7 for a, b in pairwise(columns))


@settings(deadline=None)
@given(n_words=st.integers(1, 60), budget=st.integers(1, 700), exact=st.booleans())
def test_batches_are_even_and_whole(n_words: int, budget: int, exact: bool) -> None:
    """Batches keep to their tokens, differ by one sequence at most, and give everything once, in order."""
    questions = ask(by_hand("words", *NAMES), " ".join(NAMES[:n_words]), exact=exact)
    parts = list(questions.batches(budget))
    length = questions.sequences.shape[1]
    sizes = [len(part.sequences) for part in parts]
    assert max(sizes) <= max(1, budget // length)
    assert max(sizes) - min(sizes) <= 1
    assert len(parts) == -(-len(questions.sequences) // max(1, budget // length))
    assert np.array_equal(np.concatenate([part.sequences for part in parts]), questions.sequences)
    assert np.array_equal(np.concatenate([part.places for part in parts]), questions.places)
    assert np.array_equal(np.concatenate([part.originals for part in parts]), questions.originals)
    for part in parts:
        assert (part.sequences[part.rows, part.columns] == questions.sequences[0, questions.columns[0]]).all()


def test_a_window_without_room_is_refused() -> None:
    """A model whose input the special tokens fill is an error."""
    with pytest.raises(ModelError, match="2 tokens leaves no room"):
        batcher(wordpiece(), 2)
