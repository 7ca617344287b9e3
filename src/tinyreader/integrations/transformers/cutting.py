"""Pairs to windows as the pipeline cut them: any overlap that lets a window move on, and none asked of what
fits in one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from tinyreader.data import Example
from tinyreader.errors import SettingsError
from tinyreader.integrations.transformers.decoding import word_places
from tinyreader.integrations.transformers.inputs import InputError, Pair
from tinyreader.integrations.transformers.parameters import ParameterError
from tinyreader.windows import (
    SEGMENT_CHARACTERS,
    Window,
    Windower,
    WindowSettings,
    offsets_hold_spaces,
    segments,
    take_in_marks,
    trim_spaces,
)

IntArray = npt.NDArray[np.int32]


class Cutter:
    """Cuts pairs into windows of at most `max_seq_len` tokens that share `doc_stride` of them."""

    def __init__(self, tokenizer: Tokenizer, max_seq_len: int, doc_stride: int) -> None:
        self.max_seq_len, self.doc_stride = max_seq_len, doc_stride
        try:
            self._whole = Windower(tokenizer, WindowSettings(max_seq_len, 0, min_step=1))
        except SettingsError as error:
            raise ParameterError(
                f"max_seq_len is {max_seq_len}, which leaves no room for a question and a context"
            ) from error
        try:
            self._usual: Windower | None = Windower(
                tokenizer, WindowSettings(max_seq_len, doc_stride, min_step=1)
            )
        except (
            SettingsError
        ):  # then only contexts that fit in one window can be read, as long as no other comes
            self._usual = None
        self._tokenizer = self._whole.tokenizer
        self._trims = offsets_hold_spaces(self._tokenizer)
        self._last: tuple[str | None, IntArray] = (None, np.zeros((0, 2), np.int32))

    def cut(self, pairs: Sequence[Pair], first: int = 0) -> list[list[Window]]:
        """The windows of each pair. Raises `InputError`, counting pairs from `first`, where a question is too
        long.
        """
        examples = [Example(str(first + n), pair.question, pair.context) for n, pair in enumerate(pairs)]
        long = [n for n, pair in enumerate(pairs) if self._is_long(pair.question)]
        usual = sorted(set(range(len(pairs))) - set(long))
        windows: list[list[Window]] = [[] for _ in pairs]
        for row in long:
            if (n_tokens := self._n_tokens(pairs[row].question)) > self._whole.max_question_tokens:
                raise InputError(
                    f"the question of item {first + row} has {n_tokens} tokens, which leaves nothing of a "
                    "window of "
                    f"{self.max_seq_len} (max_seq_len) to its context. Shorten it, or raise max_seq_len."
                )
        for rows, windower in ((usual, self._usual), (long, self._whole)):
            if rows and windower is not None:
                for window in windower.windows([examples[row] for row in rows]):
                    windows[rows[window.example]].append(window)
        for row in long:
            if len(windows[row]) > 1:
                room = windows[row][0].stop - windows[row][0].first
                raise InputError(
                    f"the question of item {first + row} leaves room for {room} tokens of its context in a "
                    "window of "
                    f"{self.max_seq_len} (max_seq_len): windows that share {self.doc_stride} (doc_stride) "
                    "would never move on. "
                    "Shorten the question, raise max_seq_len or lower doc_stride."
                )
        return windows

    def words(self, windows: Sequence[Window], text: str) -> list[IntArray]:
        """For each window of the text, the places int32 [m, 2] of the words of its m context tokens, in code
        points.
        """
        known, places = self._last  # many questions are asked of one text in a row
        if known != text:
            places = self._word_places(text)
            self._last = (text, places)
        sizes = [window.stop - window.first for window in windows]
        step = (
            sizes[0] - self.doc_stride
        )  # of windows that are several, each but the last holds as much as the first
        return [places[number * step : number * step + size] for number, size in enumerate(sizes)]

    def _word_places(self, text: str) -> IntArray:
        """The place of each token's word, for the whole text, tokenised in the parts that windows are made
        of.
        """
        places = []
        for begin, end in segments(text, SEGMENT_CHARACTERS):
            part = text[begin:end]
            encoding = self._tokenizer.encode(part, add_special_tokens=False)
            offsets = np.array(encoding.offsets, dtype=np.int32).reshape(-1, 2)
            if self._trims:
                trim_spaces(part, offsets)
            if not part.isascii():
                take_in_marks(part, offsets)
            places.append(word_places(encoding.word_ids, offsets) + np.int32(begin))
        return np.concatenate(places)

    def _n_tokens(self, question: str) -> int:
        return len(self._tokenizer.encode(question, add_special_tokens=False).ids)

    def _is_long(self, question: str) -> bool:
        """Whether the question leaves no window that moves on; texts too short for that are not tokenised."""
        if self._usual is None:
            return True
        most = self._usual.max_question_tokens
        if len(question.encode()) <= most:
            return False
        return self._n_tokens(question) > most
