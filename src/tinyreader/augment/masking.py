"""The tokenizer's side of `MaskedLM`: which vocabulary entries are whole words, and the masked sequences.

Nothing here needs torch or the model. A passage longer than the model's input is read in overlapping windows;
each word is masked in one window only, the one whose middle is nearest to it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from tokenizers import Tokenizer, decoders, models

from tinyreader.arrays import Bool, Int32, Int64
from tinyreader.augment.proposer import Passage
from tinyreader.augment.words import is_word
from tinyreader.errors import ModelError, SettingsError
from tinyreader.tokenizer import special_tokens
from tinyreader.windows import offsets_hold_spaces, padded_length, take_in_marks, trim_spaces, unbounded

PRECISIONS = ("auto", "bf16", "fp32")
ONE_LETTER_WORDS = frozenset("aAI")
_FIRST_IDEOGRAPH, _LAST_IDEOGRAPH = "\u4e00", "\u9fff"
_SPACE_MARK = "\u2581"  # SentencePiece's sign for a space


@dataclass(frozen=True, slots=True)
class MaskedLMOptions:
    """Settings of `MaskedLM`; raises `SettingsError` for values out of range.

    Each word gets `n_proposals`. By default the words of a window are spread over sequences in which at most
    `masked_share` of the tokens are masked, as in the model's own training; `exact` masks one word per
    sequence. A batch has at most `batch_tokens` tokens, or one sequence.
    """

    n_proposals: int = 15
    exact: bool = False
    masked_share: float = 0.15
    precision: str = "auto"
    batch_tokens: int = 2048

    def __post_init__(self) -> None:
        for name in ("n_proposals", "batch_tokens"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not 0 < self.masked_share <= 1:
            raise SettingsError(f"masked_share is {self.masked_share}; it must be above 0 and at most 1")
        if self.precision not in PRECISIONS:
            raise SettingsError(f"precision is {self.precision!r}; it must be one of {', '.join(PRECISIONS)}")


class Form(IntEnum):
    """What a vocabulary entry is in a text: part of a word, a word, or a word without a space before it.

    Tokenizers that mark spaces have most words twice: with the mark (`SPACED`) and, for the start of a text
    or after a bracket or hyphen, without it (`BARE`). Parts of words look like the latter. WordPiece marks
    the parts instead.
    """

    PART = 0
    SPACED = 1
    BARE = 2


@dataclass(frozen=True, slots=True, eq=False)
class Vocabulary:
    """The V entries of a vocabulary as words.

    `forms` int64 [V] has each entry's `Form`; `allowed` bool [3, V] says which entries may be proposed for a
    word of each form; `texts` are the words themselves. Entries with the same number in `folded` int64 [V]
    differ only in case; at most `max_case_variants` allowed entries share one.
    """

    forms: Int64
    allowed: Bool
    texts: list[str]
    folded: Int64
    max_case_variants: int


def read_vocabulary(tokenizer: Tokenizer, size: int) -> Vocabulary:
    """The vocabulary of `tokenizer`, for a model with `size` output scores.

    Only whole words of letters may be proposed: no special or added token, no part of a word. A bare entry
    is allowed only if the same word exists with a space before it, which distinguishes words from endings.
    Of single characters only "a", "A", "I" and ideographs are allowed. `ModelError` for a tokenizer that does
    not mark parts of words in a known way.
    """
    decode, apart = _decoder(tokenizer)
    texts, forms = [""] * size, np.full(size, Form.PART, dtype=np.int64)
    for token, number in tokenizer.get_vocab().items():
        if number not in apart:
            texts[number], forms[number] = decode(token)
    if "I" not in texts:  # in a vocabulary of small letters
        texts = ["I" if text == "i" else text for text in texts]
    words = np.array([_may_be_proposed(text) for text in texts])
    spaced = words & (forms == Form.SPACED)
    known = {texts[number] for number in np.flatnonzero(spaced)}
    bare = words & (forms == Form.BARE) & np.array([text in known for text in texts])
    if not known:
        raise ModelError(
            "this tokenizer does not mark which of its entries are whole words, so none can be proposed. "
            "Supported are WordPiece, byte-level BPE, and SentencePiece's Unigram and BPE"
        )
    numbers: dict[str, int] = {}
    folded = np.array([numbers.setdefault(text.casefold(), len(numbers)) for text in texts])
    max_case_variants = max(
        max(Counter(folded[chosen].tolist()).values(), default=1) for chosen in (spaced, bare)
    )
    return Vocabulary(forms, np.stack([np.zeros_like(words), spaced, bare]), texts, folded, max_case_variants)


def _may_be_proposed(text: str) -> bool:
    return is_word(text) and (
        len(text) > 1 or text in ONE_LETTER_WORDS or _FIRST_IDEOGRAPH <= text <= _LAST_IDEOGRAPH
    )


def _decoder(tokenizer: Tokenizer) -> tuple[Callable[[str], tuple[str, Form]], set[int]]:
    """A function from a token to its text and form, and the ids of special tokens."""
    content: dict[str, Any] = json.loads(tokenizer.to_str())
    model = tokenizer.model
    apart = {
        tokenizer.token_to_id(special_tokens(tokenizer).get("unk_token", "")),
        content["model"].get("unk_id"),
    }
    apart |= set(tokenizer.get_added_tokens_decoder())
    if isinstance(model, models.WordLevel):
        return lambda token: (token, Form.SPACED), apart
    if prefix := getattr(model, "continuing_subword_prefix", None):
        return lambda token: ("", Form.PART) if token.startswith(prefix) else (token, Form.SPACED), apart
    if "ByteLevel" in json.dumps([content["pre_tokenizer"], content["decoder"]]):
        bytes_to_text = decoders.ByteLevel()
        return lambda token: _by_mark(bytes_to_text.decode([token]), " "), apart
    return lambda token: _by_mark(token, _SPACE_MARK), apart


def _by_mark(text: str, mark: str) -> tuple[str, Form]:
    return (text.removeprefix(mark), Form.SPACED) if text.startswith(mark) else (text, Form.BARE)


class MaskedBatcher:
    """Turns passages into masked sequences; words that are not exactly one token are left out."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        vocabulary: Vocabulary,
        mask_id: int,
        pad_id: int,
        max_tokens: int,
        options: MaskedLMOptions,
    ) -> None:
        self.tokenizer = unbounded(tokenizer)
        self.vocabulary, self.options = vocabulary, options
        self.mask_id, self.pad_id, self.max_tokens = mask_id, pad_id, max_tokens
        self.prefix, self.suffix = _special_ids(self.tokenizer)
        self.room = max_tokens - len(self.prefix) - len(self.suffix)
        if self.room < 1:
            raise ModelError(
                f"an input of {max_tokens} tokens leaves no room for text besides the special tokens"
            )
        self._spaces = offsets_hold_spaces(self.tokenizer)

    def masked(self, passages: Sequence[Passage]) -> Iterator[MaskedSequences]:
        """Yield, for each passage, the sequences in which its one-token words are masked."""
        # Tokenizers refuse half of a surrogate pair; its replacement is one code point as well.
        texts = [passage.text.encode("utf-8", "replace").decode() for passage in passages]
        for passage, encoding in zip(
            passages, self.tokenizer.encode_batch(texts, add_special_tokens=False), strict=True
        ):
            ids = np.array(encoding.ids, dtype=np.int64)
            offsets = np.array(encoding.offsets, dtype=np.int32).reshape(-1, 2)
            if self._spaces:
                trim_spaces(passage.text, offsets)
            if not passage.text.isascii():
                take_in_marks(passage.text, offsets)
            yield self._sequences(ids, _tokens_at(passage, offsets, self.vocabulary.forms[ids] != Form.PART))

    def _sequences(self, ids: Int64, tokens: Int64) -> MaskedSequences:
        """The sequences that mask the places whose token is not -1."""
        places = np.argsort(tokens, kind="stable")[np.count_nonzero(tokens < 0) :]
        tokens, size, before = tokens[places], min(len(ids), self.room), len(self.prefix)
        starts = window_starts(len(ids), self.room)
        window = nearest_window(tokens, starts, size)
        n_words = np.bincount(window, minlength=len(starts))
        n_rows = n_sequences(n_words, size, self.options)
        rank = np.arange(len(places)) - (n_words.cumsum() - n_words)[window]  # of each word in its window
        rows = (n_rows.cumsum() - n_rows)[window] + rank % np.maximum(n_rows[window], 1)
        columns = tokens - starts[window] + before

        length = before + size + len(self.suffix)
        whole = np.full((len(starts), padded_length(length, self.max_tokens)), self.pad_id)
        whole[:, :before], whole[:, before + size : length] = self.prefix, self.suffix
        whole[:, before : before + size] = ids[starts[:, None] + np.arange(size)]
        sequences = np.repeat(whole, n_rows, axis=0)
        sequences[rows, columns] = self.mask_id
        order = np.argsort(rows, kind="stable")
        return MaskedSequences(
            sequences, length, places[order], ids[tokens[order]], rows[order], columns[order]
        )


@dataclass(frozen=True, slots=True, eq=False)
class MaskedSequences:
    """Masked sequences int64 [S, L] of one passage; columns from `length` on are padding.

    For each masked word, in the order of `rows`: `places` is its index in the passage's places, `originals`
    the id of the masked token, and [`rows`, `columns`] its position.
    """

    sequences: Int64
    length: int
    places: Int64
    originals: Int64
    rows: Int64
    columns: Int64

    def batches(self, max_tokens: int) -> Iterator[MaskedSequences]:
        """Yield batches of similar size with at most `max_tokens` tokens, or one sequence."""
        n, length = self.sequences.shape
        n_parts = -(-n // max(1, max_tokens // length)) if n else 0
        for part in range(n_parts):
            first, stop = part * n // n_parts, (part + 1) * n // n_parts
            own = slice(*np.searchsorted(self.rows, [first, stop]).tolist())
            yield MaskedSequences(
                self.sequences[first:stop],
                self.length,
                self.places[own],
                self.originals[own],
                self.rows[own] - first,
                self.columns[own],
            )


def n_sequences(n_words: Int64, n_tokens: int, options: MaskedLMOptions) -> Int64:
    """The number of sequences for each window: one per word, or as few as `masked_share` permits."""
    return n_words if options.exact else -(-n_words // max(1, int(options.masked_share * n_tokens)))


def window_starts(n_tokens: int, room: int) -> Int64:
    """The first tokens of evenly spaced windows of `room` tokens that overlap by at least half."""
    beyond = max(0, n_tokens - room)
    n = 1 + -(-beyond // max(1, room // 2))
    return np.arange(n) * beyond // max(1, n - 1)


def nearest_window(tokens: Int64, starts: Int64, size: int) -> Int64:
    """For each token the window with the nearest middle (the first of two), where it has the most context."""
    distances = np.abs(2 * (tokens[:, None] - starts[None, :]) - (size - 1))
    return np.asarray(distances.argmin(axis=1), dtype=np.int64)


def _tokens_at(passage: Passage, offsets: Int32, whole: Bool) -> Int64:
    """For each place the index of the single word token that covers exactly this place; else -1."""
    covers = np.zeros(len(passage.text) + 2, dtype=np.int64)
    np.add.at(covers, offsets[:, 0] + 1, 1)
    np.add.at(covers, offsets[:, 1] + 1, -1)
    before = covers.cumsum().cumsum()  # before[n]: code points below n, each counted once per covering token
    at = {(start, end): number for number, (start, end) in enumerate(offsets.tolist()) if whole[number]}
    found = [at.get((a, b), -1) if before[b] - before[a] == b - a else -1 for a, b in passage.places]
    return np.array(found, dtype=np.int64)


def _special_ids(tokenizer: Tokenizer) -> tuple[Int64, Int64]:
    """The special tokens that the tokenizer adds before and after a text."""
    known = next((sign for sign in "aA1.的" if tokenizer.encode(sign, add_special_tokens=False).ids), "a")
    encoding = tokenizer.encode(known)
    text = [i for i, sequence in enumerate(encoding.sequence_ids) if sequence == 0]
    if not text:
        raise ModelError(
            f"this tokenizer makes no token of {known!r}; it is damaged, or of an unsupported kind"
        )
    ids = np.array(encoding.ids, dtype=np.int64)
    return ids[: text[0]], ids[text[-1] + 1 :]
