"""Questions that engines are tried on: their windows, and what a runtime says to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from tinyreader.data import Example
from tinyreader.errors import DataError
from tinyreader.reader.settings import ReaderSettings
from tinyreader.runtimes import Inputs, Runtime
from tinyreader.runtimes.batches import padded_batches, run_windows
from tinyreader.sample import encyclopaedia
from tinyreader.spans import WindowLogits, decode
from tinyreader.windows import Window, Windower, WindowSettings

FloatArray = npt.NDArray[np.float32]

_PARAGRAPHS = 6


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """Questions with their windows, cut as the reader's settings say."""

    examples: tuple[Example, ...]
    windows: tuple[Window, ...]
    settings: ReaderSettings

    @property
    def has_answers(self) -> bool:
        """Whether the data says what is right."""
        return any(example.answers for example in self.examples)

    def run(self, runtime: Runtime) -> Outcome:
        """What the runtime says to every window, and the answers that makes."""
        logits = run_windows(self.windows, runtime, most=self.settings.max_seq_len)
        parts: list[list[WindowLogits]] = [[] for _ in self.examples]
        for window, (start, end) in zip(self.windows, logits, strict=True):
            parts[window.example].append(WindowLogits(start, end, window.first, window.stop, window.offsets))
        answers = []
        for example, own in zip(self.examples, parts, strict=True):
            decoding = decode(own, max_answer_tokens=self.settings.max_answer_tokens, n_best=1)
            best = decoding.spans[0] if decoding.spans else None
            is_none = best is None or decoding.null_odds > self.settings.no_answer_threshold
            answers.append("" if is_none or best is None else best.text(example.context))
        return Outcome(tuple(answers), tuple(logits))

    def some(self, n_windows: int) -> Trial:
        """A trial of the first questions, as many as have so many windows."""
        n = 0
        for count, window in enumerate(self.windows):
            if count >= n_windows and window.example > n:
                break
            n = window.example
        return Trial(
            self.examples[: n + 1],
            tuple(window for window in self.windows if window.example <= n),
            self.settings,
        )

    def batches(self, pad_id: int, max_tokens: int = 1024) -> Iterator[Inputs]:
        """The windows in small batches of like lengths."""
        return padded_batches(self.windows, pad_id, most=self.settings.max_seq_len, max_tokens=max_tokens)


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """Answers to a trial's questions ("" for none), and start and end logits, float32 [n] each, of its
    windows.
    """

    answers: tuple[str, ...]
    logits: tuple[tuple[FloatArray, FloatArray], ...]


def make_trial(examples: Sequence[Example], tokenizer: Tokenizer, settings: ReaderSettings) -> Trial:
    """The trial of these questions; those too long for a window are cut, as nothing is lost by it here."""
    if not examples:
        raise DataError("there is no question to try the engines on; give data with at least one")
    cut = WindowSettings(settings.max_seq_len, settings.doc_stride, None, "truncate")
    windows = tuple(Windower(tokenizer, cut).windows(examples))
    return Trial(tuple(examples), windows, settings)


def sample_examples(n: int = 48) -> tuple[Example, ...]:
    """Questions on the sample encyclopaedia, with contexts of one to six paragraphs, whose answers are not
    told.

    A reader that was not trained on it need not know them; two engines should still say the same.
    """
    source = encyclopaedia(n_articles=8, n_held_out=max(8, n // 2), seed=5).held_out
    contexts = list(dict.fromkeys(example.context for example in source))
    made = []
    for number, example in enumerate(source[:: max(1, len(source) // n)][:n]):
        others = [contexts[(7 * number + k) % len(contexts)] for k in range(number % _PARAGRAPHS)]
        context = "\n".join([*others[: number % 3], example.context, *others[number % 3 :]])
        made.append(replace(example, context=context, answers=()))
    return tuple(made)
